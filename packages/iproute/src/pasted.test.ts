import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { objectJson } from './json-message.ts';
import type { JsonObject } from './json-parts.ts';
import { parseRulesFile, type RulesStep } from './rules-file.ts';

const folder = new URL('../vectors/pasted/', import.meta.url);

interface Vector {
	readonly source: string;
	readonly damage: readonly string[];
	readonly host?: string;
	readonly expected: readonly JsonObject[];
}

function told(step: RulesStep): JsonObject {
	if (step.kind === 'command') {
		return { command: step.text };
	}
	const { hiddenKeys, statistics } = step.untold;
	const { lifetime, current, stats, ...json } = objectJson(step.message) ?? {};
	const lifetimes = step.kind === 'state' ? { lifetime, current, stats } : { lifetime, current };
	return {
		...json,
		...(statistics ? lifetimes : {}),
		...(hiddenKeys.length === 0 ? {} : { hidden: hiddenKeys }),
	};
}

const names = readdirSync(folder).filter((name) => name.endsWith('.json'));

describe('dumps as people paste them', () => {
	for (const name of names) {
		const vector = JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as Vector;
		const text = readFileSync(new URL(name.replace('.json', '.txt'), folder), 'utf8');
		it(`${name.replace('.json', '')}: ${vector.damage.join(', ') || 'no damage'}`, () => {
			const context = vector.host === undefined ? {} : { host: vector.host };
			const { steps, problem } = parseRulesFile(text, context);
			assert.equal(problem, undefined);
			assert.deepEqual(
				steps?.map(told).map((one) => JSON.parse(JSON.stringify(one)) as JsonObject),
				vector.expected,
			);
			assert.match(vector.source, /^https:/);
		});
	}

	it('are twenty, none without its thread', () => {
		assert.ok(names.length >= 20);
	});
});
