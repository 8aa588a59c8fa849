// The blocks of docs/netlink-client.md, run one after the other on our server.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as netlink from '@xfrm/netlink';
import * as xfrm from '@xfrm/wire/xfrm';
import ts from 'typescript';
import { newServer, ServerTransport } from './server-transport.ts';

const path = new URL('../../docs/netlink-client.md', import.meta.url);
const blocks = [...readFileSync(path, 'utf8').matchAll(/^```ts( setup)?\n(.*?)^```$/gms)].map(
	([, setup, code = '']) => ({ setup: setup !== undefined, code }),
);

/** Runs TypeScript with these names; imports are what they stand for. */
async function run(code: string, names: Readonly<Record<string, unknown>>): Promise<void> {
	const target = ts.ScriptTarget.ES2022;
	const { outputText } = ts.transpileModule(code.replaceAll(/^import .*$/gm, ''), {
		compilerOptions: { target },
	});
	const keys = Object.keys(names);
	const body = `return (async () => {${outputText}\n})();`;
	await new Function(...keys, body)(...keys.map((key) => names[key]));
}

test('there are blocks, the first of them the setup', () => {
	assert.equal(blocks.length, 6);
	assert.deepEqual(
		blocks.map(({ setup }) => setup),
		[true, false, false, false, false, false],
	);
});

for (const [i, { code }] of blocks.entries()) {
	const first = code.split('\n').find((line) => line !== '');
	test(`block ${i} runs: ${first}`, async () => {
		const printed: unknown[][] = [];
		const names = {
			...xfrm,
			...netlink,
			linuxTransport: () => new ServerTransport(newServer({})),
			console: { log: (...values: unknown[]) => printed.push(values) },
		};
		const setup = blocks[0]?.code ?? '';
		await run(i === 0 ? setup : `${setup}\n{\n${code}\n}`, names);
		const [row] = printed;
		if (code.includes('error.detail')) {
			const sentence = 'Invalid prefix length in selector (must be <= 32 for IPv4)';
			assert.deepEqual(row, ['policies.add', 22, sentence, undefined]);
		}
		if (code.includes('defaults.get')) {
			assert.deepEqual(row, [{ in: 2, fwd: 1, out: 2 }]);
		}
	});
}
