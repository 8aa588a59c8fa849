/** Edits of the host: forwarding is off, rp_filter drops, a device is exempt from XFRM, an address is missing. */
import { addressEquals, Family, formatAddress } from '@xfrm/wire/xfrm';
import { endsOf, type Generator, hostBits, hostCommand } from './fix-parts.ts';
import type { Edit, EditCommand } from './fix-trial.ts';
import { stateName } from './names.ts';

export const setSysctls: Generator = (at) => {
	const { answer, digest, packet } = at;
	const ipv4 = endsOf(packet).family === 2;
	if (answer.code === 'host.not-forwarding') {
		const name = ipv4 ? 'net.ipv4.ip_forward' : 'net.ipv6.conf.all.forwarding';
		const edit: Edit = {
			text: 'let this host forward: it is no router yet',
			commands: [sysctl(name, 1)],
			want: 'clear',
		};
		return [edit];
	}
	if (answer.code === 'host.reverse-path') {
		return loosenFilter(at);
	}
	const device = at.explainer.world.deviceName(digest.exemptBy ?? 0);
	if (!/^(out|fwd)\.exempt$/.test(answer.code) || device === undefined || device === 'lo') {
		return [];
	}
	const { host } = at.before.world;
	const names = [device, 'all']
		.map((one) => `net.ipv4.conf.${one}.disable_xfrm`)
		.filter((name) => host.sysctl(name) !== 0);
	return [
		{
			text: `let the policies be asked for what leaves by ${device}`,
			commands: names.map((name) => sysctl(name, 0)),
			want: 'protected',
		},
	];
};

/** Loose where it was strict, as many as are: the higher of the device's and of `all` counts. */
const loosenFilter: Generator = (at) => {
	const names = [at.options.device, 'all']
		.map((one) => `net.ipv4.conf.${one}.rp_filter`)
		.filter((name) => at.before.world.host.sysctl(name) === 1);
	const others: Edit = {
		text: 'take packets whose answers leave by another device (loose, in place of strict)',
		commands: names.map((name) => sysctl(name, 2)),
		want: 'clear',
	};
	return names.length === 0 ? [] : [others];
};

/** ESP for an address that the host lacks, as a virtual one that has not moved here: a state is there for it. */
export const addAddress: Generator = (at) => {
	const { answer, digest, packet } = at;
	const { first } = digest;
	if (answer.direction !== 'fwd' || answer.outcome !== 'pass' || first?.spi === undefined) {
		return [];
	}
	const { family, destination } = endsOf(packet);
	const known = family === 2 ? Family.Ipv4 : Family.Ipv6;
	const state = [...at.before.world.engine.states()].find(
		(one) =>
			one.spi >>> 0 === first.spi &&
			one.family === family &&
			addressEquals(one.config.id.daddr, destination, family),
	);
	const device = at.options.device;
	return state === undefined || device === undefined
		? []
		: [
				{
					text:
						`${stateName(state)} is for ${first.destination}, which is no address of this host: ` +
						`give it to ${device}`,
					commands: [
						hostCommand(
							`ip addr add ${formatAddress(destination, known)}/${hostBits(family)} dev ${device}`,
						),
					],
					want: 'protected',
				},
			];
};

function sysctl(name: string, value: number): EditCommand {
	return { shown: `sysctl -w ${name}=${value}`, sysctl: { name, value } };
}
