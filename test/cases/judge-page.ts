/** Do `explain` and the kernel agree about a page? Outcome, counters, acquires, and the octets that came out. */
import { PROFILES } from '@xfrm/engine';
import type { Answer, Explainer } from '@xfrm/explain';
import { formatHex } from '@xfrm/wire';
import { type Difference, differs } from '../golden/difference.ts';
import { availableOf, readProfiles } from '../golden/golden-files.ts';
import { bytesOf } from '../golden/laboratory.ts';
import { maskPacket, maskWanted } from '../golden/packet-mask.ts';
import { unwrap } from '../golden/unwrap.ts';
import type { DeliveredPacket, VectorCase, VectorStep } from '../golden/vector-case.ts';
import { runVectorCase } from '../golden/vector-runner.ts';
import type { CasePage } from './case-page.ts';
import { type Chosen, explainPage } from './explain-page.ts';

/** The first difference, undefined where all agrees. */
export function judgePage(page: CasePage, kernel: VectorCase): Difference | undefined {
	const available = readProfiles().available['uml61'];
	if (available === undefined) {
		return { field: 'golden/profiles.json', want: 'uml61', have: 'nothing' };
	}
	const engine = runVectorCase(kernel, PROFILES.linux61, availableOf(available), false);
	if (engine !== undefined) {
		return 'skipped' in engine ? { field: 'engine', want: 'judged', have: engine.skipped } : engine;
	}
	for (const useDump of page.dump === undefined ? [false] : [false, true]) {
		const difference = judgeAnswers(page, kernel, useDump);
		if (difference !== undefined) {
			return difference;
		}
	}
	return undefined;
}

function judgeAnswers(
	page: CasePage,
	kernel: VectorCase,
	useDump: boolean,
): Difference | undefined {
	const steps = kernel.steps.filter((step) => step.packet !== undefined);
	const { explainer, asked } = explainPage(page, {
		useDump,
		chosen: chosenBy(page, steps),
	});
	for (const [i, step] of steps.entries()) {
		const answer = asked[i]?.answer;
		const name = `${useDump ? 'dump, ' : ''}packet ${i + 1}`;
		const difference =
			answer === undefined
				? { field: name, want: 'an answer', have: 'none' }
				: judgeAnswer(name, answer, step, explainer);
		if (difference !== undefined) {
			return difference;
		}
	}
	return undefined;
}

/** IV, identification and padding that the kernel took for its first protected packet of a step. */
function chosenBy(page: CasePage, steps: readonly VectorStep[]): Chosen {
	const { engine } = explainPage(page).explainer.world;
	return (packet) => {
		for (const emitted of steps[packet]?.expect.emit ?? []) {
			const { ivs, ids, paddings } = unwrap(bytesOf(emitted.packet), engine);
			const shown = emitted.fields?.iv;
			const iv = ivs[0] ?? (shown === undefined ? undefined : bytesOf(shown));
			const [ipId] = ids.slice(0, -1);
			const [padding] = paddings;
			if (ids.length > 1 || iv !== undefined || paddings.length > 0) {
				return {
					...(iv === undefined ? {} : { iv }),
					...(ipId === undefined ? {} : { ipId }),
					...(padding === undefined ? {} : { padding }),
				};
			}
		}
		return {};
	};
}

function judgeAnswer(
	name: string,
	answer: Answer,
	step: VectorStep,
	explainer: Explainer,
): Difference | undefined {
	const { expect } = step;
	const acquired = (expect.events ?? []).some(({ msg }) => msg === 'ACQUIRE');
	const outcome = kernelOutcome(step);
	return (
		(outcome.includes(answer.outcome)
			? undefined
			: { field: `${name} outcome`, want: outcome.join(' or '), have: answer.outcome }) ??
		// How often depends on the sockets that are open: each handler checks (the engine's own run counts).
		differs(
			`${name} counters`,
			Object.keys(expect.stat ?? {}).sort(),
			Object.keys(answer.counters).sort(),
		) ??
		differs(
			`${name} acquire`,
			acquired,
			answer.events.some(({ event }) => event === 'acquire'),
		) ??
		differs(
			`${name} devices`,
			[...new Set((expect.emit ?? []).map(({ dev }) => dev))].sort(),
			[
				...new Set(answer.steps.filter((one) => one.step === 'EMIT').map((one) => one.which)),
			].sort(),
		) ??
		judgePackets(name, answer, step, explainer)
	);
}

/** The word of `explain` for what was seen of a packet (golden/README.md). */
export function kernelOutcome(step: VectorStep): readonly string[] {
	const { expect, packet = '' } = step;
	const { emit = [], deliver = [], stat = {}, events = [], error } = expect;
	const through = emit.filter((one) => !isIcmpError(bytesOf(one.packet)));
	if (through.length > 0 || deliver.length > 0) {
		const same =
			through.length > 0
				? through.every((one) => endsOf(bytesOf(one.packet)) === endsOf(bytesOf(packet)))
				: deliver.every((one) => isDelivered(bytesOf(packet), one));
		return [same ? 'pass' : 'transform'];
	}
	if (events.some(({ msg }) => msg === 'ACQUIRE')) {
		return ['acquire'];
	}
	const told = Object.keys(stat).length > 0 || error !== undefined || emit.length > 0;
	return told ? ['drop'] : ['drop', 'consume'];
}

function isIcmpError(packet: Uint8Array): boolean {
	const v4 = (packet[0] ?? 0) >> 4 === 4;
	const at = v4 ? ((packet[0] ?? 0) & 15) * 4 : 40;
	return v4
		? packet[9] === 1 && [3, 11, 12].includes(packet[at] ?? 0)
		: packet[6] === 58 && (packet[at] ?? 255) < 128;
}

/** Addresses, protocol and length. */
function endsOf(packet: Uint8Array): string {
	const v4 = (packet[0] ?? 0) >> 4 === 4;
	const addresses = v4 ? packet.subarray(12, 20) : packet.subarray(8, 40);
	return `${formatHex(addresses)} ${v4 ? packet[9] : packet[6]} ${packet.length}`;
}

function isDelivered(packet: Uint8Array, one: DeliveredPacket): boolean {
	const v4 = (packet[0] ?? 0) >> 4 === 4;
	const headers = (v4 ? ((packet[0] ?? 0) & 15) * 4 : 40) + (one.proto === 17 ? 8 : 0);
	return one.packet === undefined
		? (v4 ? packet[9] : packet[6]) === one.proto &&
				formatHex(packet.subarray(headers)) === (one.payload ?? '')
		: endsOf(packet) === endsOf(bytesOf(one.packet));
}

/**
 * What left, octet by octet, and what sockets got. Where a compressor chose, or where the kernel made the
 * header of what a socket sent and its identification, what is inside is compared.
 */
function judgePackets(
	name: string,
	answer: Answer,
	{ expect, sender }: VectorStep,
	explainer: Explainer,
): Difference | undefined {
	const have = answer.packets.map(bytesOf);
	const layersOf = (packet: Uint8Array): string => {
		const layers = unwrap(packet, explainer.world.engine).layers.join('\n');
		return sender === 'udp' ? layers.replaceAll(/ id \d+/g, '') : layers;
	};
	for (const { packet } of expect.emit ?? []) {
		const want = bytesOf(packet);
		const layers = layersOf(want);
		const at = have.findIndex(
			(one) => maskWanted(want, one) === maskPacket(one) || layersOf(one) === layers,
		);
		if (at < 0) {
			return { field: `${name} emitted`, want: packet, have: answer.packets.join(' | ') };
		}
		have.splice(at, 1);
	}
	for (const { packet, payload = '' } of expect.deliver ?? []) {
		const found = have.some((one) =>
			packet === undefined
				? formatHex(one).endsWith(payload)
				: maskPacket(one) === maskPacket(bytesOf(packet)),
		);
		if (!found) {
			return {
				field: `${name} delivered`,
				want: packet ?? payload,
				have: answer.packets.join(' | '),
			};
		}
	}
	return have.length > 0 && (expect.deliver ?? []).length === 0
		? { field: `${name} packets`, want: 'no more', have: have.map(formatHex).join(' | ') }
		: undefined;
}
