/** The outputs in docs/reading-ip-xfrm.md are those of its commands: `READING=write` puts them in anew. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { nodeProvider } from '@xfrm/crypto/node';
import { PROFILES } from '@xfrm/engine';
import { Explainer, makePacket, parseFlow, splitWords } from '@xfrm/explain';

const path = new URL('../../docs/reading-ip-xfrm.md', import.meta.url);

/** The host of the page, with one packet sent and one that lacked a state. */
function hostOf(page: string): Explainer {
	const explainer = new Explainer({
		profile: PROFILES.linux61,
		provider: nodeProvider(),
		random: (bytes) => bytes.fill(0x5a),
		startUs: 1_780_000_000_000_000,
	});
	const commands = /^```sh\n([\s\S]*?)^```$/m.exec(page)?.[1] ?? '';
	for (const command of commands.trim().split('\n')) {
		assert.equal(explainer.run(command.replace(/^ip /, '')).stderr, '', command);
	}
	explainer.wait(3);
	for (const [to, mark] of [
		['10.2.0.9', 0x2a],
		['10.3.0.9', 0],
	] as const) {
		const flow = parseFlow(splitWords(`src 10.1.0.5 dst ${to} proto udp dport 53`));
		explainer.ask(makePacket(flow), { device: 'lan', direction: 'fwd', mark });
	}
	return explainer;
}

test('docs/reading-ip-xfrm.md shows what the commands print', () => {
	const page = readFileSync(path, 'utf8');
	const explainer = hostOf(page);
	const printed = page.replaceAll(
		/^```console\n\$ ip (.*)\n[\s\S]*?^```$/gm,
		(_block, command: string) => {
			const { status, stdout } = explainer.run(command);
			assert.equal(status, 0, command);
			return `\`\`\`console\n$ ip ${command}\n${stdout}\`\`\``;
		},
	);
	if (process.env['READING'] === 'write') {
		writeFileSync(path, printed);
	}
	assert.equal(page, printed, 'READING=write node scripts/test.mjs test/docs');
});
