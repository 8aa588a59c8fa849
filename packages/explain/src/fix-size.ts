/** Edits for packets that are too big: the largest packet that goes through, and who is to be told. */
import { checksumAdd, checksumFold } from '@xfrm/wire';
import { Family, formatAddress } from '@xfrm/wire/xfrm';
import { endsOf, type Generator, type Situation, shellOnly } from './fix-parts.ts';
import { attempt, type Edit } from './fix-trial.ts';

/** The smallest MTU that is tried. */
const MTU_MIN = 576;

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
	const header = (packet[0] ?? 0) >> 4 === 4 ? 40 : 60;
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
