/** The cases of the golden files as grounds for packets: their hosts, and what was put in and came out there. */
import { parseHex } from '@xfrm/wire';
import { goldenFolder, readLines } from '../golden/golden-files.ts';
import type { VectorCase } from '../golden/vector-case.ts';
import type { Random } from '../kernel/random.ts';

export interface GoldenCase extends VectorCase {
	/** From a kernel 6.19. */
	readonly newer: boolean;
}

const FILES = ['kernel-vectors', 'kernel-vectors-619', 'kernel-interfaces'] as const;

let cases: readonly GoldenCase[] | undefined;

/** All cases that are about packets, in one order. */
export function goldenCases(): readonly GoldenCase[] {
	cases ??= FILES.flatMap((file) =>
		(readLines<VectorCase>(goldenFolder(), file) ?? []).map((one) => ({
			...one,
			newer: file === 'kernel-vectors-619',
		})),
	);
	return cases;
}

export function octetsOf(hex: string): Uint8Array {
	const octets = parseHex(hex);
	return octets instanceof Uint8Array ? octets : new Uint8Array(0);
}

/** A packet of a case, and where it was put in; `emitted`: it came out of there. */
export interface CasePacket {
	readonly at: 'lan' | 'wan' | 'local' | 'emitted';
	readonly octets: Uint8Array;
}

export function packetsOf(one: VectorCase): CasePacket[] {
	return one.steps.flatMap(({ at = 'wan', packet, burst = [], expect }) => [
		...(packet === undefined ? [] : [packet]).concat(burst).map((hex) => ({
			at,
			octets: octetsOf(hex),
		})),
		...(expect.emit ?? []).map((emitted) => ({
			at: 'emitted' as const,
			octets: octetsOf(emitted.packet),
		})),
	]);
}

/** Packets of any cases. */
export function goldenPackets(random: Random, count: number): Uint8Array[] {
	const all = goldenCases();
	const found: Uint8Array[] = [];
	while (found.length < count) {
		found.push(...packetsOf(random.pick(all)).map(({ octets }) => octets));
	}
	return found.slice(0, count);
}
