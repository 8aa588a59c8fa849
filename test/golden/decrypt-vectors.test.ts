/** What kernels sealed in the golden vectors, the decryptor opens with the rules of the case. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { nodeProvider } from '@xfrm/crypto/node';
import { PROFILES } from '@xfrm/engine';
import { Decryptor, Explainer } from '@xfrm/explain';
import { goldenFolder, readLines } from './golden-files.ts';
import { bytesOf, seededRandom } from './laboratory.ts';
import type { VectorCase } from './vector-case.ts';

/** A routing header in front needs its host; a fragment needs the others, which are told as fragments. */
const CLOSED = [
	'mip6-esp-rh2-esp-first-out',
	'mip6-esp-rh2-one-out',
	'mip6-esp-rh2-sub-out',
	'out_mtu4-tunnel',
];

it('opens every packet that left protected', () => {
	const provider = nodeProvider();
	const closed = new Set<string>();
	let opened = 0;
	for (const { id, tags, setup, xfrm, steps } of readLines<VectorCase>(
		goldenFolder(),
		'kernel-vectors',
	) ?? []) {
		if (!tags.includes('out')) {
			continue;
		}
		const options = { profile: PROFILES.linux61, provider, startUs: 1_700_000_000_000_000 };
		const rules = new Explainer({ ...options, random: seededRandom(7) });
		for (const command of [...setup, ...xfrm]) {
			rules.run(command);
		}
		const decryptor = new Decryptor(rules, seededRandom(3));
		for (const { packet, fields } of steps.flatMap(({ expect }) => expect.emit ?? [])) {
			if (fields?.spi !== undefined && fields.fragment === undefined) {
				const isOpen = decryptor.open(bytesOf(packet)).kind === 'opened';
				opened += isOpen ? 1 : 0;
				if (!isOpen) {
					closed.add(id);
				}
			}
		}
	}
	assert.deepEqual([...closed].sort(), CLOSED);
	assert.equal(opened, 449);
});
