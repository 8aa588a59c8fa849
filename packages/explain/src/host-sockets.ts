/**
 * Sockets and connections of the host: those that were named, and those that states imply, as a state with
 * encap implies a UDP socket with UDP_ENCAP, or a TCP connection with the ULP espintcp (RFC 9329). There is
 * no TCP here: a segment's octets are taken as the next of their connection.
 */
import type { XfrmState } from '@xfrm/engine';
import type { StreamOptions } from '@xfrm/host';
import {
	type Address,
	addressEquals,
	addressFrom,
	Direction,
	EncapType,
	Errno,
	Family,
	formatAddress,
	IpProto,
	isAnyAddress,
	PolicyAction,
	type PolicyConfig,
	type Refusal,
} from '@xfrm/wire/xfrm';
import type { World } from './world.ts';

/** An established TCP connection, and its number in the host. */
interface OpenStream {
	readonly id: number;
	readonly options: StreamOptions;
}

/** Where IKE daemons listen, without and with encapsulation (RFC 7296, 2.23). */
const IKE_PORT = 500;
const IKE_ENCAP_PORT = 4500;

export function isIkePort(port: number | undefined): boolean {
	return port === IKE_PORT || port === IKE_ENCAP_PORT;
}

/** Does it let everything of its socket pass? */
export function isBypass({ action, templates }: PolicyConfig): boolean {
	return action === PolicyAction.Allow && templates.length === 0;
}

export class HostSockets {
	readonly #world: World;
	readonly #streams: OpenStream[] = [];
	/** Policies of sockets that a dump tells of: an IKE daemon's, as a rule, that let its packets pass. */
	readonly #policies: PolicyConfig[] = [];
	/** Are sockets taken to be there that nobody named? */
	#implied: boolean = true;

	constructor(world: World) {
		this.#world = world;
		world.host.assumeSockets = true;
	}

	/** From now on only those sockets with UDP_ENCAP are there that are named. */
	implyNone(): void {
		this.#implied = false;
	}

	/** From now on only those sockets listen that are named; nobody named: none. */
	listenNowhere(): void {
		this.#world.host.assumeSockets = false;
	}

	/** Some socket has this policy; the implied ones with UDP_ENCAP are taken for those that have. */
	notePolicy(config: PolicyConfig): void {
		this.#policies.push(config);
	}

	/** A socket listens, for both families: a raw one, or UDP with a port. */
	listen(proto: number, port: number | undefined): Refusal | undefined {
		this.listenNowhere();
		const { host } = this.#world;
		if (proto === IpProto.Tcp || (proto === IpProto.Udp && port === undefined)) {
			return { errno: Errno.EPROTONOSUPPORT };
		}
		const answers = [Family.Ipv4, Family.Ipv6].map((family) =>
			port === undefined ? host.openRaw({ family, proto }) : host.openUdp({ family, port }),
		);
		return answers.find((answer) => answer.refusal !== undefined)?.refusal;
	}

	/** A TCP connection is there. */
	openStream(options: StreamOptions): Refusal | undefined {
		const opened = this.#world.host.openStream(options);
		if (opened.refusal !== undefined) {
			return opened.refusal;
		}
		this.#streams.push({ id: opened.value, options });
		return undefined;
	}

	/**
	 * Opens what states imply and nobody named.
	 *
	 * @returns what was assumed, a sentence each
	 */
	openImplied(isLocal: (family: number, address: Address) => boolean): readonly string[] {
		if (!this.#implied) {
			return [];
		}
		const assumed: string[] = [];
		const opened = new Set<string>();
		for (const state of this.#world.engine.states()) {
			const { encap, family } = state;
			const inward = encap !== undefined && isLocal(family, state.config.id.daddr);
			if (encap?.type === EncapType.EspInTcp) {
				assumed.push(...this.#implyStream(state, inward));
				continue;
			}
			if (encap === undefined || !(inward || isLocal(family, state.config.saddr))) {
				continue;
			}
			const port = inward ? encap.dport : encap.sport;
			const key = `${family} ${port}`;
			if (!opened.has(key) && this.#openUdp(family, port, encap.type)) {
				const passes = this.#policies.length === 0 ? '' : ', with the socket policies of the dump';
				assumed.push(
					`a socket with UDP_ENCAP on port ${port}, as a state with encap implies${passes}`,
				);
			}
			opened.add(key);
		}
		return [...assumed, ...this.#implyDaemon(opened)];
	}

	/** Policies of sockets are those of an IKE daemon, as a rule, which lets its own packets pass. */
	#implyDaemon(opened: ReadonlySet<string>): readonly string[] {
		const families = [Family.Ipv4, Family.Ipv6].filter((family) =>
			this.#policies.some((one) => isBypass(one) && one.selector.family === family),
		);
		for (const family of families) {
			this.#openUdp(family, IKE_PORT, undefined);
			if (!opened.has(`${family} ${IKE_ENCAP_PORT}`)) {
				this.#openUdp(family, IKE_ENCAP_PORT, EncapType.EspInUdp);
			}
		}
		return families.length === 0
			? []
			: [
					`sockets of an IKE daemon on UDP ${IKE_PORT} and ${IKE_ENCAP_PORT}, with the socket policies of ` +
						'the dump',
				];
	}

	/** A policy of the socket that sends this, by its port; undefined for none that is known. */
	policyOfSender(packet: Uint8Array): PolicyConfig | undefined {
		const ipv4 = (packet[0] ?? 0) >> 4 === 4;
		const at = ipv4 ? ((packet[0] ?? 0) & 15) * 4 : 40;
		const port = ((packet[at] ?? 0) << 8) | (packet[at + 1] ?? 0);
		return this.#implied && isIkePort(port) && packet[ipv4 ? 9 : 6] === IpProto.Udp
			? this.#policies.find(
					(one) =>
						isBypass(one) &&
						one.direction === Direction.Out &&
						one.selector.family === (ipv4 ? Family.Ipv4 : Family.Ipv6),
				)
			: undefined;
	}

	#openUdp(family: number, port: number, encap: number | undefined): boolean {
		const { host, nowUs } = this.#world;
		const options = { family, port, ...(encap === undefined ? {} : { encap }) };
		const socket = host.openUdp(options).value;
		const own = this.#policies.filter(({ selector }) => selector.family === family);
		for (const direction of socket === undefined ? [] : [Direction.In, Direction.Out]) {
			const policy = own.find((one) => one.direction === direction);
			if (socket !== undefined && policy !== undefined) {
				host.setSocketPolicy(socket, direction, policy, nowUs);
			}
		}
		return socket !== undefined;
	}

	#implyStream({ family, encap, config }: XfrmState, inward: boolean): readonly string[] {
		const { saddr, id } = config;
		if (encap === undefined || isAnyAddress(saddr, family)) {
			return [];
		}
		const out: StreamOptions = {
			family,
			local: saddr,
			localPort: encap.sport,
			remote: id.daddr,
			remotePort: encap.dport,
			espInTcp: true,
		};
		const options = inward
			? { ...out, local: id.daddr, localPort: encap.dport, remote: saddr, remotePort: encap.sport }
			: out;
		const known = this.#streams.some(({ options: one }) => sameEnds(one, options));
		if (known || this.openStream(options) !== undefined) {
			return [];
		}
		return [`the TCP connection ${streamText(options)}, as a state with encap espintcp implies`];
	}

	/** The connection that a segment belongs to, coming in, and the octets it brings. */
	streamOf(packet: Uint8Array): { readonly id: number; readonly octets: Uint8Array } | undefined {
		if (this.#streams.length === 0) {
			return undefined;
		}
		const ipv4 = (packet[0] ?? 0) >> 4 === 4;
		const at = ipv4 ? ((packet[0] ?? 0) & 15) * 4 : 40;
		if (packet[ipv4 ? 9 : 6] !== IpProto.Tcp || packet.length < at + 20) {
			return undefined;
		}
		const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
		const source = ipv4 ? addressFrom(packet, 12, 4) : addressFrom(packet, 8, 16);
		const destination = ipv4 ? addressFrom(packet, 16, 4) : addressFrom(packet, 24, 16);
		const segment: StreamOptions = {
			family: ipv4 ? Family.Ipv4 : Family.Ipv6,
			local: destination,
			localPort: view.getUint16(at + 2),
			remote: source,
			remotePort: view.getUint16(at),
			espInTcp: true,
		};
		const stream = this.#streams.find(({ options }) => sameEnds(options, segment));
		const end = ipv4 ? view.getUint16(2) : 40 + view.getUint16(4);
		return stream === undefined
			? undefined
			: { id: stream.id, octets: packet.subarray(at + (view.getUint8(at + 12) >> 4) * 4, end) };
	}
}

function sameEnds(a: StreamOptions, b: StreamOptions): boolean {
	return (
		a.family === b.family &&
		a.localPort === b.localPort &&
		a.remotePort === b.remotePort &&
		addressEquals(a.local, b.local, a.family) &&
		addressEquals(a.remote, b.remote, a.family)
	);
}

/** `192.0.2.1:4500 → 198.51.100.7:4500` */
export function streamText(options: StreamOptions): string {
	const family = options.family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
	const end = (address: Address, port: number): string => {
		const text = formatAddress(address, family);
		return family === Family.Ipv4 ? `${text}:${port}` : `[${text}]:${port}`;
	};
	return `${end(options.local, options.localPort)} → ${end(options.remote, options.remotePort)}`;
}
