/**
 * Values that a kernel chose by chance, read off the packets that came out of it, so that the engine can
 * be given the same (`Namespace.fixed`): IVs, identifications, and the octets that round headers up.
 */
import type { EngineDoor, XfrmState } from '@xfrm/engine';
import { StreamMessages } from '@xfrm/wire';
import { bytesOf } from './laboratory.ts';
import { unwrap } from './unwrap.ts';
import type { DeliveredPacket, EmittedPacket, Expectation } from './vector-case.ts';

/** In order of use: a packet's innermost layer first. */
interface Chosen {
	readonly ivs: Uint8Array[];
	readonly ipIds: number[];
	readonly paddings: Uint8Array[];
	/** Of the header that the host has made. */
	ownId?: number;
}

/**
 * Gives the engine what the kernel chose in this step.
 *
 * @param ownHeader the innermost IPv4 header is made here too
 */
export function fixChosenValues(engine: EngineDoor, expect: Expectation, ownHeader: boolean): void {
	const chosen: Chosen = { ivs: [], ipIds: [], paddings: [] };
	for (const emitted of expect.emit ?? []) {
		takeEmitted(engine, emitted, chosen, ownHeader);
	}
	const before: Uint8Array[] = [];
	for (const delivered of expect.deliver ?? []) {
		takeQuoted(engine, delivered, expect.emit ?? [], before, chosen.ivs);
	}
	chosen.ivs.unshift(...before);
	takeStream(engine, bytesOf(expect.tcp ?? ''), chosen);
	engine.net.fixed = chosen;
}

function takeEmitted(
	engine: EngineDoor,
	emitted: EmittedPacket,
	chosen: Chosen,
	ownHeader: boolean,
): void {
	const { packet, fields } = emitted;
	if (fields === undefined) {
		return;
	}
	const found = unwrap(bytesOf(packet), engine);
	const visible = fields.iv === undefined ? [] : [bytesOf(fields.iv)];
	chosen.ivs.push(...(found.ivs.length > 0 ? found.ivs.reverse() : visible));
	chosen.paddings.push(...found.paddings.reverse());
	const { innerId } = found;
	const reached = found.complete || found.ids.length > 1;
	// Pieces of one packet share its identification.
	if (ownHeader && reached && innerId !== undefined && chosen.ownId !== innerId) {
		chosen.ownId = innerId;
		chosen.ipIds.push(innerId);
	}
	// The innermost header is the packet's own (maybe a piece's), unless it could not be reached.
	const made = reached ? found.ids.slice(0, -1) : found.ids;
	chosen.ipIds.push(...made.reverse().filter((id) => id !== undefined));
}

/** ESP in TCP shows its IVs as any ESP. */
function takeStream(engine: EngineDoor, octets: Uint8Array, chosen: Chosen): void {
	for (const message of new StreamMessages().push(octets)) {
		if (message.length >= 8) {
			const spi = new DataView(message.buffer, message.byteOffset).getUint32(0);
			chosen.ivs.push(message.slice(8, 8 + (findEsp(engine, spi)?.ivOctets ?? 0)));
		}
	}
}

function findEsp(engine: EngineDoor, spi: number): XfrmState | undefined {
	return [...engine.states()].find((one) => one.proto === 50 && one.spi >>> 0 === spi);
}

/** An ICMP error to ourselves may quote ESP that has not left: its IV stands behind the header. */
function takeQuoted(
	engine: EngineDoor,
	delivered: DeliveredPacket,
	emit: readonly EmittedPacket[],
	before: Uint8Array[],
	behind: Uint8Array[],
): void {
	const { family, proto, packet, payload } = delivered;
	if (proto !== 1 && proto !== 58) {
		return;
	}
	const octets = bytesOf(packet ?? payload ?? '');
	const message = octets.subarray(family === 4 ? ((octets[0] ?? 0) & 15) * 4 : 0);
	const quoted = message.subarray(8);
	const esp = quoted.subarray(family === 4 ? ((quoted[0] ?? 0) & 15) * 4 : 40);
	if (quoted[family === 4 ? 9 : 6] !== 50 || esp.length < 8) {
		return;
	}
	const view = new DataView(esp.buffer, esp.byteOffset);
	const spi = view.getUint32(0);
	const state = findEsp(engine, spi);
	if (state === undefined) {
		return;
	}
	const iv = esp.slice(8, 8 + state.ivOctets);
	// Others of the state may have left after it.
	if (emit.some(({ fields }) => fields?.spi === spi && (fields.seq ?? 0) > view.getUint32(4))) {
		before.push(iv);
	} else {
		behind.push(iv);
	}
}
