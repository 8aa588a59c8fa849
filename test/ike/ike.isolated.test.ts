// A short selection; `npm run test:ike` runs them all.
import { test } from 'node:test';
import { cases, situations } from './cases.ts';
import { reasonToSkip } from './laboratory.ts';

const skip = reasonToSkip() ?? false;

for (const { name, quick, run } of cases) {
	if (quick === true) {
		test(name, { skip }, async () => void (await run()));
	}
}
for (const { group, name, quick, run } of situations) {
	if (quick === true) {
		test(`${group}: ${name}`, { skip }, async () => void (await run('ourselves')));
	}
}
