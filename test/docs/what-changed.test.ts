/** The outputs in docs/what-changed.md are those of `xfrm diff`: `READING=write` puts them in anew. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { nodeProvider } from '@xfrm/crypto/node';
import { PROFILES } from '@xfrm/engine';
import { diffRules, diffText, Explainer, type World } from '@xfrm/explain';

const path = new URL('../../docs/what-changed.md', import.meta.url);

function worldOf(...texts: readonly string[]): World {
	const explainer = new Explainer({
		profile: PROFILES.linux61,
		provider: nodeProvider(),
		random: (bytes) => bytes.fill(0x5a),
		startUs: 1_780_000_000_000_000,
	});
	for (const command of texts.flatMap((text) => text.trim().split('\n'))) {
		assert.equal(explainer.run(`xfrm ${command}`).stderr, '', command);
	}
	explainer.takeEvents();
	explainer.prepare();
	return explainer.world;
}

test('docs/what-changed.md shows what diff says', () => {
	const page = readFileSync(path, 'utf8');
	const texts = new Map(
		[...page.matchAll(/^```sh (\w+)\n([\s\S]*?)^```$/gm)].map(([, name, text]) => [
			name,
			text ?? '',
		]),
	);
	const before = texts.get('before') ?? '';
	const printed = page.replaceAll(/^```console (\w+)\n[\s\S]*?^```$/gm, (_block, name: string) => {
		const diff = diffRules(worldOf(before), worldOf(before, texts.get(name) ?? ''));
		const lines = ['$ xfrm diff before.json after.json', ...diffText(diff)];
		assert.ok(!/[0-9a-f]{40}/.test(lines.join()), 'a key');
		return `\`\`\`console ${name}\n${lines.join('\n')}\n\`\`\``;
	});
	if (process.env['READING'] === 'write') {
		writeFileSync(path, printed);
	}
	assert.equal(page, printed, 'READING=write node scripts/test.mjs test/docs');
});
