/** The registry, the documents and the sources agree about reason codes. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { REASON_CODES } from './reason-codes.ts';

const packages = new URL('../../', import.meta.url);

function* sources(folder: URL): Generator<string> {
	for (const entry of readdirSync(folder, { withFileTypes: true })) {
		if (entry.isDirectory()) {
			yield* sources(new URL(`${entry.name}/`, folder));
		} else if (entry.name.endsWith('.ts') && !entry.name.includes('.test.')) {
			yield readFileSync(new URL(entry.name, folder), 'utf8');
		}
	}
}

describe('reason codes', () => {
	it('that engine and host raise are registered', () => {
		const raised = new Set<string>();
		for (const room of ['engine/src/', 'host/src/']) {
			for (const text of sources(new URL(room, packages))) {
				for (const [, code = ''] of text.matchAll(/'((?:in|out|check|host)\.[a-z0-9.-]+)'/g)) {
					raised.add(code);
				}
			}
		}
		assert.ok(raised.size > 50);
		assert.deepEqual(
			[...raised].filter((code) => REASON_CODES[code] === undefined),
			[],
		);
	});

	it('stand in docs/reasons.md, each with its meaning', () => {
		const document = readFileSync(new URL('../docs/reasons.md', packages), 'utf8');
		const rows = [...document.matchAll(/^\| `([^`]+)` \| (.+) \|$/gm)].map((row) => [
			row[1],
			row[2],
		]);
		assert.deepEqual(rows, Object.entries(REASON_CODES));
	});
});
