/** What the loop practises with (practice.ts): requests as key managers and administrators make them. */
import {
	beginMessage,
	MessageFlag,
	policyRequestAttributes,
	policyRequestBody,
	writeAttributes,
} from '@xfrm/netlink';
import {
	anySelector,
	Direction,
	Family,
	IpProto,
	Mode,
	type PolicyConfig,
	UNLIMITED,
} from '@xfrm/wire/xfrm';

/** Policies of a table, before it is emptied for the next. */
export const POLICIES = 64;
/** As clocks and kernels make them: larger than what V8 keeps in a word. */
const NUMBER = 0xf000_0001;

const HEADER = { flags: MessageFlag.Request | MessageFlag.Ack, seq: NUMBER, pid: NUMBER };
const DIRECTIONS = [Direction.Out, Direction.In, Direction.Fwd] as const;

/** Of the networks for examples: 192.0.2.0/24, 2001:db8::/32. */
function address(family: number, last: number): Uint8Array {
	const octets = new Uint8Array(16);
	if (family === Family.Ipv4) {
		octets.set([192, 0, 2, last]);
	} else {
		octets.set([0x20, 0x01, 0x0d, 0xb8]);
		octets[15] = last;
	}
	return octets;
}

/** A tunnel's: between hosts or networks, of either family, in each direction. */
function policy(number: number): PolicyConfig {
	const family = number % 8 < 6 ? Family.Ipv4 : Family.Ipv6;
	const bits = family === Family.Ipv4 ? 32 : 128;
	const prefix = number % 4 < 2 ? bits : bits - 2;
	return {
		selector: {
			...anySelector(family),
			saddr: address(family, number),
			daddr: address(family, 255 - number),
			prefixlenS: prefix,
			prefixlenD: prefix,
		},
		lifetime: UNLIMITED,
		priority: 0,
		index: 0,
		direction: DIRECTIONS[number % DIRECTIONS.length] ?? Direction.Out,
		action: 0,
		flags: 0,
		share: 0,
		type: 0,
		templates: [
			{
				id: { daddr: address(family, 254), spi: 0, proto: IpProto.Esp },
				saddr: address(family, 253),
				family,
				reqid: 1,
				mode: Mode.Tunnel,
				share: 0,
				optional: 0,
				aalgos: 0xffff_ffff,
				ealgos: 0xffff_ffff,
				calgos: 0xffff_ffff,
			},
		],
	};
}

function newPolicy(number: number): Uint8Array {
	const config = policy(number);
	const writer = beginMessage('newpolicy', policyRequestBody(config), HEADER);
	writeAttributes(writer, policyRequestAttributes(config));
	return writer.finish();
}

/** For nobody's tables: the first empties them, the others fill them. */
export function tableRequests(): readonly Uint8Array[] {
	const flush = beginMessage('flushpolicy', {}, HEADER).finish();
	return [flush, ...Array.from({ length: POLICIES }, (_, number) => newPolicy(number))];
}

/** For the daemon's own tables: one that changes nothing. */
export function harmlessRequest(): Uint8Array {
	return beginMessage('getspdinfo', { flags: 0 }, HEADER).finish();
}
