/** The registry, the documents and the sources agree about reason codes. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { REASON_CODES } from './reason-codes.ts';
import { REASON_PAGES } from './reason-pages.ts';

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

	it('have a page each: who is guilty, how to see it, what to do', () => {
		assert.deepEqual(Object.keys(REASON_PAGES).sort(), Object.keys(REASON_CODES).sort());
		for (const [code, { guilty, see, todo }] of Object.entries(REASON_PAGES)) {
			assert.ok(guilty !== '' && see !== '' && /[.`?]$/.test(todo), code);
		}
	});

	it('stand in docs/reasons.md, which `npm run pages` writes', () => {
		const document = readFileSync(new URL('../docs/reasons.md', packages), 'utf8');
		for (const [code, meaning] of Object.entries(REASON_CODES)) {
			const { guilty, see, todo } = REASON_PAGES[code] ?? { guilty: '', see: '', todo: '' };
			const told = `\`${code}\`\n\n${meaning}\n\n- **Guilty**: ${guilty}\n- **See it**: ${see}\n- **Do**: ${todo}\n`;
			assert.ok(document.includes(told), `${code}: run npm run pages`);
		}
	});

	it('are all those that there ever were', () => {
		const known = [...Object.keys(REASON_CODES)].sort().join('\n');
		for (const code of NEVER_TO_GO) {
			assert.ok(known.includes(code), `${code} was taken away or renamed`);
		}
	});
});

/** Codes that answers have borne in a release: none of them may go. */
const NEVER_TO_GO = [
	'check.block',
	'check.policy.none',
	'check.selector',
	'check.template',
	'in.icv',
	'in.replay.old',
	'in.replay.repeated',
	'in.state.dst',
	'in.state.encap',
	'in.state.expired',
	'in.state.mark',
	'in.state.spi',
	'out.acquire',
	'out.policy.block',
	'out.policy.none',
	'out.sequence.overflow',
	'out.state.missing',
	'out.transformed',
];
