/** docs/walkthrough.md says nothing that the engine does not do: its rules are loaded, its bytes compared. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { linux619 } from '@xfrm/engine';
import type { World } from '@xfrm/explain';
import { formatHex } from '@xfrm/wire';
import { availableOf, readProfiles } from '../golden/golden-files.ts';
import { bytesOf, makeLaboratory } from '../golden/laboratory.ts';

const page: string = readFileSync(new URL('../../docs/walkthrough.md', import.meta.url), 'utf8');

/** The text of the fenced block of this name. */
function block(name: string): string {
	const text = new RegExp(`^\`\`\`${name}\n([^]*?)^\`\`\`$`, 'm').exec(page)?.[1];
	assert.ok(text !== undefined, `the page has a block "${name}"`);
	return text;
}

/** Its hex, without what stands behind two blanks. */
function hex(name: string): string {
	return block(name)
		.split('\n')
		.map((line) => line.replace(/ {2,}.*$/, '').replaceAll(' ', ''))
		.join('');
}

function gateway(policies: string, local: string, behind: string, beyond: string): World {
	const text = readProfiles().available['uml619'];
	assert.ok(text !== undefined);
	const { world } = makeLaboratory(linux619, availableOf(text), true);
	for (const command of [
		`addr add ${behind} dev lan`,
		`addr add ${local}/24 dev wan`,
		`route add ${beyond} dev wan`,
		'route add default dev wan',
		...block('rules').trim().split('\n'),
		...block(policies).trim().split('\n'),
	]) {
		assert.equal(world.run(command).stderr, '', command);
	}
	return world;
}

test('the walkthrough tells what happens', () => {
	const out = gateway('sender', '192.0.2.1', '10.1.0.1/16', '10.2.0.0/16');
	out.engine.net.fixed = { ivs: [bytesOf(hex('esp').slice(16))], ipIds: [], paddings: [] };
	const sent = out.receive('lan', bytesOf(hex('plain')));
	const wire = sent.emitted.map(({ device, packet }) => `${device} ${formatHex(packet)}`);
	assert.deepEqual(wire, [`wan ${hex('wire')}`]);
	assert.ok(hex('wire').startsWith(hex('outer') + hex('esp')));

	const back = gateway('receiver', '198.51.100.7', '10.2.0.1/16', '10.1.0.0/16');
	const received = back.receive('wan', bytesOf(hex('wire')));
	assert.deepEqual(
		received.emitted.map(({ device, packet }) => `${device} ${formatHex(packet)}`),
		[`lan ${hex('delivered')}`],
	);
	// The trailer is seen where it is taken off: open the packet with nothing but the key.
	const sealed = bytesOf(hex('wire')).subarray(36, 84 - 16);
	assert.equal(sealed.length, 28 + hex('trailer').length / 2);
});
