/**
 * Larval states as key managers make and answer them (xfrm_state.c: __find_acq_core, xfrm_find_acq_byseq,
 * xfrm_alloc_spi): looking for one that waits, and giving one its SPI. Those that output makes are in
 * acquire.ts.
 */
import {
	addressFrom,
	addressOctets,
	Errno,
	Family,
	IpProto,
	isAnyAddress,
	type StateConfig,
	UNLIMITED,
} from '@xfrm/wire/xfrm';
import { type Answer, answer, refuse } from './answer.ts';
import type { AllocSpiRequest } from './engine.ts';
import { NONE } from './hash-chains.ts';
import type { Namespace } from './namespace.ts';
import { destinationHash, seqHash, wordsEqual } from './sad.ts';
import { addressWords } from './selector-match.ts';
import { Current, StateCondition, XfrmState } from './state.ts';
import { insertLarval } from './state-life.ts';

/** Does this protocol's identity have an SPI (IPSEC_PROTO_ANY), rather than a source address? */
export function hasSpi(proto: number): boolean {
	return proto === IpProto.Esp || proto === IpProto.Ah || proto === IpProto.Comp;
}

/** The newest larval state with this sequence number. */
export function findAcquiredBySeq(
	net: Namespace,
	seq: number,
	mark: number,
	pcpu: number,
): XfrmState | null {
	const { bySeqNumber: index } = net.sad;
	for (let entry = index.first(seqHash(seq)); entry !== NONE; entry = index.next(entry)) {
		const state = index.owner(entry);
		if (
			state !== null &&
			state.seq === seq &&
			state.condition === StateCondition.Acq &&
			state.pcpu === pcpu &&
			state.markFits(mark)
		) {
			return state;
		}
	}
	return null;
}

/** The newest larval state without SPI that has the addresses, reqid, mode and so on of `like`. */
export function findAcquired(net: Namespace, like: XfrmState): XfrmState | null {
	const mark = like.markValue & like.markMask;
	const { byDestination: index } = net.sad;
	for (
		let entry = index.first(destinationHash(like.family, like.daddr, like.saddr, like.reqid));
		entry !== NONE;
		entry = index.next(entry)
	) {
		const state = index.owner(entry);
		if (
			state !== null &&
			state.reqid === like.reqid &&
			state.mode === like.mode &&
			state.family === like.family &&
			state.condition === StateCondition.Acq &&
			state.spi === 0 &&
			state.proto === like.proto &&
			state.pcpu === like.pcpu &&
			state.markFits(mark) &&
			wordsEqual(state.daddr, like.daddr, like.family) &&
			wordsEqual(state.saddr, like.saddr, like.family)
		) {
			return state;
		}
	}
	return null;
}

/**
 * Gives a larval state an SPI, making one if there is none: ALLOCSPI. When no SPI is free the larval state
 * stays behind without.
 *
 * @spec S-2 A-3
 */
export function allocSpi(net: Namespace, request: AllocSpiRequest): Answer<XfrmState> {
	const { proto } = request.id;
	if (!hasSpi(proto)) {
		return refuse(Errno.EINVAL, 'Invalid protocol, must be one of AH, ESP, IPCOMP');
	}
	if (proto === IpProto.Comp && request.max > 0xffff) {
		return refuse(Errno.EINVAL, 'IPCOMP SPI must be <= 65535');
	}
	if (request.min > request.max) {
		return refuse(Errno.EINVAL, 'Invalid SPI range: min > max');
	}
	const state = findOrMakeLarval(net, request);
	if (state.spi === 0) {
		const spi = drawSpi(net, request);
		if (spi === 0) {
			return refuse(Errno.ENOENT, 'No SPI available in the requested range');
		}
		net.sad.assignSpi(state, spi);
		net.watcher?.stateChanged(state);
	}
	if (request.direction !== undefined) {
		state.direction = request.direction;
	}
	return answer(state);
}

function findOrMakeLarval(net: Namespace, request: AllocSpiRequest): XfrmState {
	const made = new XfrmState(larvalConfig(net, request));
	const mark = made.markValue & made.markMask;
	if (request.seq !== 0) {
		const larval = findAcquiredBySeq(net, request.seq | 0, mark, made.pcpu);
		const daddr = addressWords(request.id.daddr, request.family);
		if (larval !== null && wordsEqual(larval.daddr, daddr, request.family)) {
			return larval;
		}
	}
	const larval = canBeKnown(request) ? findAcquired(net, made) : null;
	if (larval !== null) {
		return larval;
	}
	made.lifetime[Current.AddTime] = net.nowSeconds();
	insertLarval(net, made);
	return made;
}

/** A larval state of an unknown family has no addresses: one that asks by some does not find it. */
function canBeKnown({ id, saddr, family }: AllocSpiRequest): boolean {
	return (
		family === Family.Ipv4 ||
		family === Family.Ipv6 ||
		(isAnyAddress(id.daddr, Family.Ipv4) && isAnyAddress(saddr, Family.Ipv4))
	);
}

/** A state between two hosts that nothing is known of yet; of an unknown family it has no addresses. */
function larvalConfig(net: Namespace, request: AllocSpiRequest): StateConfig {
	const { family } = request;
	const isKnown = family === Family.Ipv4 || family === Family.Ipv6;
	const bits = family === Family.Ipv4 ? 32 : 128;
	const octets = isKnown ? addressOctets(family) : 0; // what is behind an IPv4 address is not kept
	const daddr = addressFrom(request.id.daddr, 0, octets);
	const saddr = addressFrom(request.saddr, 0, octets);
	return {
		id: { daddr, spi: 0, proto: request.id.proto },
		saddr,
		family,
		selector: {
			daddr,
			saddr,
			dport: 0,
			dportMask: 0,
			sport: 0,
			sportMask: 0,
			family: Family.Unspec,
			prefixlenD: isKnown ? bits : 0,
			prefixlenS: isKnown ? bits : 0,
			proto: 0,
			ifindex: 0,
			user: 0,
		},
		lifetime: { ...UNLIMITED, hardAddExpiresSeconds: net.sysctl.xfrm_acq_expires },
		reqid: request.reqid,
		mode: request.mode,
		replayWindow: 0,
		flags: 0,
		seq: 0,
		...(request.mark === undefined ? {} : { mark: request.mark }),
		...(request.ifId === undefined ? {} : { ifId: request.ifId }),
		...(request.pcpu === undefined ? {} : { pcpu: request.pcpu }),
	};
}

/** An SPI of the range that no state of the protocol has; as many draws as there are numbers. 0 for none. */
function drawSpi(net: Namespace, request: AllocSpiRequest): number {
	const { min, max } = request;
	const { proto } = request.id;
	if (min === max) {
		return net.sad.spiInUse(min, proto) ? 0 : min;
	}
	const range = max - min + 1;
	const octets = new Uint8Array(4);
	const view = new DataView(octets.buffer);
	for (let draw = 0; draw < range; draw++) {
		net.options.random(octets);
		const spi = min + Math.floor((view.getUint32(0) / 0x1_0000_0000) * range);
		if (!net.sad.spiInUse(spi, proto)) {
			return spi;
		}
	}
	return 0;
}
