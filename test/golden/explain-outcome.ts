/**
 * The outcome that `explain` has to tell of a packet, by what a kernel was seen to do with it: the table of
 * golden/README.md.
 */
import type { Answer } from '@xfrm/explain';
import { formatHex } from '@xfrm/wire';
import { parseAddress } from '@xfrm/wire/xfrm';
import { isTunneled } from './applied-states.ts';
import { isKeepalive } from './keepalive-compare.ts';
import { bytesOf } from './laboratory.ts';
import type { DeliveredPacket, VectorCase, VectorStep } from './vector-case.ts';

const ACQUIRE = 23;
/** IPComp's states, helpers too. */
const IPCOMP: ReadonlySet<string> = new Set(['comp', 'ipip', 'ipv6']);

/** What of a case's host decides how its packets are read. */
export interface HostFacts {
	/** Of sockets with UDP_ENCAP. */
	readonly ports: ReadonlySet<number>;
	/** Addresses, as octets in hex. */
	readonly locals: ReadonlySet<string>;
}

export function hostFacts({ encap = [], setup, steps }: VectorCase): HostFacts {
	const commands = [...setup, ...steps.flatMap(({ ip }) => ip ?? [])];
	const texts = commands.flatMap(
		(command) => /addr(?:ess)? add ([0-9a-f.:]+)/.exec(command)?.[1] ?? [],
	);
	return { ports: new Set(encap.map(({ port }) => port)), locals: new Set(texts.map(addressHex)) };
}

function addressHex(text: string): string {
	const parsed = parseAddress(text);
	return formatHex(parsed?.address.subarray(0, parsed.family === 2 ? 4 : 16) ?? new Uint8Array(0));
}

/** Outcomes that the kernel's doings allow for the packets of a step. */
export function outcomesOf(
	step: VectorStep,
	host: HostFacts,
	answers: readonly Answer[],
): readonly string[] {
	const seen = seenOutcomes(step, host);
	return [...seen, ...alsoRight(step, seen, answers)];
}

/** What the kernel's doings do not show. */
function alsoRight(
	{ expect }: VectorStep,
	seen: readonly string[],
	answers: readonly Answer[],
): readonly string[] {
	const { emit = [], deliver = [], stat = {} } = expect;
	const nothing = emit.length + deliver.length + Object.keys(stat).length === 0;
	const verbs = answers.flatMap(({ steps }) => steps.map(({ step }) => step));
	const states = answers.flatMap(({ states }) => states.map(({ proto }) => proto));
	return [
		// A state of IPComp that left the packet as it was: it has been applied, its counters say.
		...(seen.includes('pass') && states.some((proto) => IPCOMP.has(proto)) ? ['transform'] : []),
		// IKE went to the socket with UDP_ENCAP, which the laboratory does not read.
		...(nothing && verbs.at(-1) === 'DELIVER' ? ['pass'] : []),
		// What left is an ICMP error about the packet, itself protected.
		...(emit.length > 0 && verbs.includes('ICMP') ? ['drop'] : []),
		// The queue of an IPTFS state sends it later, within the time of the step.
		...(answers.some(({ code }) => code === 'out.iptfs.queued') ? ['consume'] : []),
	];
}

function seenOutcomes(step: VectorStep, host: HostFacts): readonly string[] {
	const { emit = [], deliver = [], stat = {}, events = [], error, tcp, ike = [] } = step.expect;
	const packet = bytesOf(step.packet ?? step.burst?.[0] ?? '');
	const { ports, locals } = host;
	const left = emit.filter((one) => {
		const bytes = bytesOf(one.packet);
		return !isOwnIcmpError(bytes, locals) && !isKeepalive(bytes);
	});
	const delivered = deliver.filter((one) => !isErrorToSocket(one, locals));
	if (tcp !== undefined) {
		return ['transform'];
	}
	if (left.length > 0 || delivered.length > 0) {
		const segment = step.tcp_send !== undefined;
		// A UDP socket's own headers are not those of the packet that the case tells.
		const tunneled =
			step.sender === 'udp'
				? left.some(({ fields }) => fields?.chain?.join() !== '17')
				: isTunneled(packet, left, delivered, ports);
		return [segment || tunneled ? 'transform' : 'pass'];
	}
	if (ike.length > 0) {
		return ['pass', 'drop'];
	}
	if (events.some(({ hex }) => bytesOf(hex)[4] === ACQUIRE)) {
		return ['acquire'];
	}
	if (Object.keys(stat).length > 0 || error !== undefined || emit.length > 0) {
		return ['drop'];
	}
	return ['drop', 'consume'];
}

/** An ICMP error made here: that is not the packet, which is gone. */
function isOwnIcmpError(emitted: Uint8Array, locals: ReadonlySet<string>): boolean {
	const v4 = (emitted[0] ?? 0) >> 4 === 4;
	const type = emitted[v4 ? ((emitted[0] ?? 0) & 15) * 4 : 40] ?? 0;
	const isError = v4
		? emitted[9] === 1 && [3, 4, 5, 11, 12].includes(type)
		: emitted[6] === 58 && type < 128;
	return isError && locals.has(formatHex(v4 ? emitted.subarray(12, 16) : emitted.subarray(8, 24)));
}

/** A socket's error queue, or an ICMP error that this host has sent to itself. */
function isErrorToSocket(one: DeliveredPacket, locals: ReadonlySet<string>): boolean {
	if (one.socket_error !== undefined) {
		return true;
	}
	if (one.packet !== undefined) {
		return isOwnIcmpError(bytesOf(one.packet), locals);
	}
	const type = Number.parseInt(one.payload?.slice(0, 2) ?? '', 16);
	return one.proto === 58 && type < 128 && locals.has(addressHex(one.src ?? ''));
}

/** A segment of a case's TCP connection, from the peer, with these octets. */
export function segmentOf(tcp: NonNullable<VectorCase['tcp']>, octets: Uint8Array): Uint8Array {
	const [ours, peers] = tcp.addr.map((text) => parseAddress(text));
	if (ours === undefined || peers === undefined) {
		throw new RangeError(`no addresses: ${tcp.addr.join(' ')}`);
	}
	const ipv4 = ours.family === 2;
	const header = ipv4 ? 20 : 40;
	const packet = new Uint8Array(header + 20 + octets.length);
	const view = new DataView(packet.buffer);
	packet[0] = ipv4 ? 0x45 : 0x60;
	view.setUint16(ipv4 ? 2 : 4, ipv4 ? packet.length : packet.length - 40);
	packet[ipv4 ? 9 : 6] = 6;
	packet[ipv4 ? 8 : 7] = 64;
	const size = ipv4 ? 4 : 16;
	packet.set(peers.address.subarray(0, size), ipv4 ? 12 : 8);
	packet.set(ours.address.subarray(0, size), ipv4 ? 16 : 24);
	view.setUint16(header, tcp.port[1]);
	view.setUint16(header + 2, tcp.port[0]);
	packet[header + 12] = 0x50;
	packet[header + 13] = 0x18;
	packet.set(octets, header + 20);
	return packet;
}
