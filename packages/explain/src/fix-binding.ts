/**
 * Edits for bindings of Mobile IPv6: the state for a home address option or a type 2 routing header is missing, or has
 * another care-of address than the packet. Such states have no keys; a mobility daemon makes them.
 */
import { anySelector, IpProto, Mode, parseAddress, UNLIMITED } from '@xfrm/wire/xfrm';
import { addState, endsOf, type Generator, updateState } from './fix-parts.ts';
import { stateName, stateProtoName } from './names.ts';

export const mendBinding: Generator = (at) => {
	const { answer, digest, packet, before } = at;
	const lookup = digest.stateLookup;
	if (answer.code !== 'in.binding.none' || lookup === undefined) {
		return [];
	}
	const check = digest.failedChecks.find(({ field }) => field === 'coa');
	const moved = check === undefined ? undefined : parseAddress(check.have)?.address;
	if (check !== undefined && moved !== undefined) {
		return [
			{
				text:
					`give ${stateName(check.state)} the care-of address that its packets have now, ${check.have} ` +
					'(a mobility daemon does so when the binding is updated)',
				commands: updateState(at, check.state, { coaddr: moved }),
				want: 'protected',
			},
		];
	}
	const { proto, family, saddr, daddr } = lookup;
	const isAsked = [...before.world.engine.policies()].some(({ templates }) =>
		templates.some(({ id }) => id.proto === proto),
	);
	if (!isAsked || digest.applied.length > 0) {
		return [];
	}
	const { source, destination } = endsOf(packet);
	return [
		{
			text:
				`add the binding that the policies ask for, a ${stateProtoName(proto)} state ` +
				'(a mobility daemon does so when the mobile node registers)',
			commands: [
				addState(at, {
					id: { daddr, spi: 0, proto },
					saddr,
					family,
					selector: anySelector(0),
					lifetime: UNLIMITED,
					reqid: 0,
					mode: Mode.RouteOptimization,
					replayWindow: 0,
					flags: 0,
					seq: 0,
					coaddr: proto === IpProto.Routing ? destination : source,
				}),
			],
			want: 'protected',
		},
	];
};
