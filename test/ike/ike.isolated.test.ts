// A short selection; `npm run test:ike` runs them all.
import { test } from 'node:test';
import { cases } from './cases.ts';
import { reasonToSkip } from './laboratory.ts';

const skip = reasonToSkip() ?? false;

for (const { name, quick, run } of cases) {
	if (quick === true) {
		test(name, { skip }, run);
	}
}
