/** All demands of a policy that a flow does not meet, with what was wanted and what was there. */
import type { XfrmPolicy } from '@xfrm/engine';
import type { Flow } from '@xfrm/wire';
import { Family, formatAddress, IpProto } from '@xfrm/wire/xfrm';
import { flowAddress, greKey, hexNumber, markText, portWords, protocolName } from './names.ts';

export interface Mismatch {
	readonly field: string;
	readonly want: string;
	readonly have: string;
}

/** In the order of a selector's fields; none when the policy matches. */
export function flowMismatches(
	policy: XfrmPolicy,
	flow: Flow,
	ifId: number,
	deviceName: (ifindex: number) => string | undefined,
): readonly Mismatch[] {
	const { selector, family } = policy;
	const { saddr, daddr } = policy.config.selector;
	const known = family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
	const found: Mismatch[] = [];
	const note = (field: string, want: string | number, have: string | number): void => {
		found.push({ field, want: `${want}`, have: `${have}` });
	};
	if (family !== flow.family) {
		note('family', familyName(family), familyName(flow.family));
		return found;
	}
	if (differs(flow.saddr, selector.saddr, selector.saddrMask)) {
		note(
			'src',
			`${formatAddress(saddr, known)}/${selector.prefixlenS}`,
			flowAddress(flow.saddr, family),
		);
	}
	if (differs(flow.daddr, selector.daddr, selector.daddrMask)) {
		note(
			'dst',
			`${formatAddress(daddr, known)}/${selector.prefixlenD}`,
			flowAddress(flow.daddr, family),
		);
	}
	if (selector.proto !== 0 && selector.proto !== flow.proto) {
		note('proto', protocolName(selector.proto), protocolName(flow.proto));
	}
	const [first, second] = portWords(selector.proto);
	const otherSport = ((flow.sport ^ selector.sport) & selector.sportMask) !== 0;
	const otherDport = ((flow.dport ^ selector.dport) & selector.dportMask) !== 0;
	if (selector.proto === IpProto.Gre && (otherSport || otherDport)) {
		note('key', greKey(selector), greKey(flow));
	} else {
		if (otherSport) {
			note(first, selector.sport, flow.sport);
		}
		if (otherDport) {
			note(second, selector.dport, flow.dport);
		}
	}
	if (selector.ifindex !== 0 && selector.ifindex !== flow.oif) {
		note('dev', deviceName(selector.ifindex) ?? selector.ifindex, deviceName(flow.oif) ?? 'none');
	}
	if (!policy.markFits(flow.mark)) {
		note('mark', markText(policy.markValue, policy.markMask), hexNumber(flow.mark));
	}
	if (policy.ifId !== ifId) {
		note('if_id', hexNumber(policy.ifId), hexNumber(ifId));
	}
	return found;
}

function differs(have: Int32Array, want: Int32Array, masks: Int32Array): boolean {
	return have.some((word, i) => ((word ^ (want[i] ?? 0)) & (masks[i] ?? 0)) !== 0);
}

function familyName(family: number): string {
	return family === Family.Ipv4 ? 'ipv4' : 'ipv6';
}
