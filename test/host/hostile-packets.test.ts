/**
 * Damaged packets, made of the packets of real cases: cut at every octet of their headers, octets
 * changed, lengths that lie. Nothing may throw, hang or make memory grow, and afterwards the host still
 * works.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type KernelProfile, linux61 } from '@xfrm/engine';
import type { World } from '@xfrm/explain';
import { setIpv4Checksum } from '@xfrm/wire';
import { availableOf, goldenFolder, readLines, readProfiles } from '../golden/golden-files.ts';
import { bytesOf, makeLaboratory } from '../golden/laboratory.ts';
import type { VectorCase } from '../golden/vector-case.ts';

/** Every so many cases one is taken. */
const STRIDE = 5;
/** Headers end before this offset. */
const HEADERS_OCTETS = 140;
/** Damaged copies of a packet beside the cut ones. */
const COPIES = 60;

/** Numbers that look random and are the same in every run. */
function* numbers(seed: number): Generator<number, never> {
	let state = seed | 1;
	for (;;) {
		state ^= state << 13;
		state ^= state >>> 17;
		state ^= state << 5;
		yield state >>> 0;
	}
}

function lengthsAgree(packet: Uint8Array): Uint8Array {
	const view = new DataView(packet.buffer);
	if (packet.length >= 20 && view.getUint8(0) >> 4 === 4) {
		view.setUint16(2, packet.length);
		if ((view.getUint8(0) & 15) * 4 <= packet.length) {
			setIpv4Checksum(view, 0);
		}
	} else if (packet.length >= 40) {
		view.setUint16(4, packet.length - 40);
	}
	return packet;
}

/** Copies of a packet that are no longer what they were. */
function* damaged(packet: Uint8Array, random: Generator<number, never>): Generator<Uint8Array> {
	for (let octets = 0; octets < Math.min(packet.length, HEADERS_OCTETS); octets++) {
		yield packet.slice(0, octets);
		yield lengthsAgree(packet.slice(0, octets));
	}
	for (let copy = 0; copy < COPIES; copy++) {
		const changed = packet.slice();
		for (let change = 0; change <= copy % 4; change++) {
			const at = random.next().value % Math.min(changed.length, HEADERS_OCTETS);
			changed[at] = random.next().value & 255;
		}
		yield copy % 2 === 0 ? lengthsAgree(changed) : changed;
	}
}

function prepared(vector: VectorCase, profile: KernelProfile): World {
	const [entry] = readProfiles().entries.filter((one) => one.file === 'kernel-vectors');
	const text = entry === undefined ? undefined : readProfiles().available[entry.available];
	assert.ok(text !== undefined);
	const available = { ...availableOf(text), modules: new Set(vector.modules) };
	const { world } = makeLaboratory(profile, available, false);
	for (const command of [...vector.setup, ...vector.xfrm]) {
		world.run(command);
	}
	for (const socket of vector.encap ?? []) {
		world.openEncapSocket(socket.family === 4 ? 2 : 10, socket.port, socket.type);
	}
	return world;
}

for (const file of ['kernel-vectors', 'kernel-interfaces']) {
	test(`damaged copies of real packets do no harm: ${file}`, (t) => {
		const cases = readLines<VectorCase>(goldenFolder(), file);
		if (cases === undefined) {
			t.skip(`${file} is not there`);
			return;
		}
		damageAll(cases);
	});
}

function damageAll(cases: readonly VectorCase[]): void {
	const random = numbers(20261);
	let count = 0;
	for (const vector of cases.filter((_, i) => i % STRIDE === 0)) {
		const world = prepared(vector, linux61);
		for (const step of vector.steps.slice(0, 2)) {
			if (step.packet === undefined || step.at === undefined) {
				continue;
			}
			for (const packet of damaged(bytesOf(step.packet), random)) {
				count++;
				if (step.at !== 'local') {
					world.receive(step.at, packet);
				} else if (packet.length >= 40) {
					world.send(packet, { sender: 'hdrincl' });
				}
			}
		}
		const after = world.advance(1000);
		assert.ok(after.emitted.length < 1000);
	}
	assert.ok(count > 10_000, `${count} packets`);
}
