/** Edits for packets that are too big: the largest packet that goes through, and who is to be told. */
import { checksumAdd, checksumFold } from '@xfrm/wire';
import { Family, formatAddress } from '@xfrm/wire/xfrm';
import { endsOf, type Generator, hostCommand, type Situation, shellOnly } from './fix-parts.ts';
import { attempt, type Edit } from './fix-trial.ts';

/** The smallest MTU that is tried. */
const MTU_MIN = 576;
/** Of an IPv6 link (RFC 8200, 5). */
const IPV6_MTU_MIN = 1280;
/** What ESP may add to come to a whole block. */
const PADDING_MAX = 16;

/** The packet cut to a length, its IP header told so. */
export function cutTo(packet: Uint8Array, length: number): Uint8Array {
	const cut = packet.slice(0, length);
	const view = new DataView(cut.buffer);
	if ((cut[0] ?? 0) >> 4 === 6) {
		view.setUint16(4, length - 40);
		return cut;
	}
	view.setUint16(2, length);
	view.setUint16(10, 0);
	const header = ((cut[0] ?? 0) & 15) * 4;
	view.setUint16(10, checksumFold(checksumAdd(cut, 0, header, 0)));
	return cut;
}

/** A smaller packet: the MTU of the sender, or the segments of TCP. */
export const shrinkPacket: Generator = (at) => {
	const { digest, answer, packet, explainer } = at;
	if (!/too-big|\.mtu\./.test(answer.code) && digest.icmpError === undefined) {
		return [];
	}
	const told = digest.icmpError?.rest ?? 0;
	const mtu = told >= MTU_MIN && told < packet.length ? told : largest();
	if (mtu === undefined) {
		return [];
	}
	const ipv4 = (packet[0] ?? 0) >> 4 === 4;
	if (!ipv4 && mtu < IPV6_MTU_MIN) {
		return widerWay(at, mtu);
	}
	const header = ipv4 ? 40 : 60;
	const device = at.options.device ?? 'DEV';
	return [
		{
			text:
				answer.direction === 'out'
					? `${mtu} bytes go through: let the route have that MTU, which programs and TCP heed`
					: `${mtu} bytes go through: that is the MTU for the hosts behind ${device} (path MTU discovery ` +
						'tells them, if their ICMP is let through)',
			commands:
				answer.direction === 'out'
					? [shellOnly(routeCommand(at, mtu))]
					: [
							shellOnly(`ip link set dev ${device} mtu ${mtu}`),
							shellOnly(
								`nft add rule inet filter forward tcp flags syn tcp option maxseg size set ${mtu - header}`,
							),
						],
			packet: cutTo(packet, mtu),
			want: 'protected',
		},
	];

	/** By halves: each try is a world of its own. */
	function largest(): number | undefined {
		let [fits, over] = [MTU_MIN, packet.length];
		if (over <= MTU_MIN || !goes(fits)) {
			return undefined;
		}
		while (over - fits > 1) {
			const middle = (fits + over) >> 1;
			[fits, over] = goes(middle) ? [middle, over] : [fits, middle];
		}
		return fits;
	}

	function goes(length: number): boolean {
		const edit: Edit = { text: '', commands: [], packet: cutTo(packet, length), want: 'protected' };
		return attempt(explainer, [edit], at.isWanted)?.question.answer.outcome === 'transform';
	}
};

/** No link may carry less than IPv6's least MTU: the device that the protected packet leaves by has to take more. */
function widerWay(at: Situation, mtu: number): Edit[] {
	const { template } = at.digest;
	const { world } = at.before;
	const route =
		template === undefined
			? undefined
			: world.host.lookupRoute(template.family, template.daddr, template.saddr, 0, 0);
	const device = route === undefined ? undefined : world.deviceName(route.ifindex);
	if (route === undefined || device === undefined) {
		return [];
	}
	// Padding may add some to what is missing.
	const wanted = (route.mtu + IPV6_MTU_MIN - mtu + PADDING_MAX) & ~7;
	return [
		{
			text:
				`only ${mtu} bytes go through, and an IPv6 link has to take ${IPV6_MTU_MIN}: let ${device}, by which ` +
				`the protected packet leaves, have an MTU of ${wanted} at least`,
			commands: [hostCommand(`ip link set dev ${device} mtu ${wanted}`)],
			packet: cutTo(at.packet, Math.min(at.packet.length, IPV6_MTU_MIN)),
			want: 'protected',
		},
	];
}

/** A route to where the packet goes, like the one that it takes, with this MTU. */
function routeCommand(at: Situation, mtu: number): string {
	const { family, source, destination } = endsOf(at.packet);
	const known = family === 2 ? Family.Ipv4 : Family.Ipv6;
	const { world } = at.before;
	const route = world.host.lookupRoute(family, destination, source, 0, 0);
	const device = route === undefined ? undefined : world.deviceName(route.ifindex);
	const via = route?.gateway === undefined ? '' : ` via ${formatAddress(route.gateway, known)}`;
	const selector = at.digest.policies[0]?.config.selector;
	const to =
		selector === undefined || selector.prefixlenD === 0
			? formatAddress(destination, known)
			: `${formatAddress(selector.daddr, known)}/${selector.prefixlenD}`;
	const six = known === Family.Ipv6 ? '-6 ' : '';
	return `ip ${six}route replace ${to}${via} dev ${device ?? 'DEV'} mtu ${mtu}`;
}
