/** Edits for packets that are too big: the largest packet that goes through, and who is to be told. */
import { checksumAdd, checksumFold } from '@xfrm/wire';
import { type Generator, shellOnly } from './fix-parts.ts';
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
	const where = answer.direction === 'out' ? 'towards the peer' : `behind ${device}`;
	return [
		{
			text:
				`${mtu} bytes go through: that is the MTU for the hosts ${where} (path MTU discovery ` +
				'tells them, if their ICMP is let through)',
			commands: [
				shellOnly(
					answer.direction === 'out'
						? `ip route change ${answer.policies[0]?.selector.match(/dst (\S+)/)?.[1] ?? 'DST'} mtu ${mtu}`
						: `ip link set dev ${device} mtu ${mtu}`,
				),
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
