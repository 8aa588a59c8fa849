/**
 * Any message of NETLINK_XFRM as `ip xfrm` prints it: members of lists, answers, and events of the monitor
 * (spec 5.2; iproute2's ip/xfrm_state.c, ip/xfrm_policy.c, ip/xfrm_monitor.c).
 */
import {
	type AttributeSource,
	attributeValue,
	type NamedMessage,
	type UserSaId,
	type XfrmAttribute,
	type XfrmMessage,
} from '@xfrm/netlink';
import { AeventFlag, DefaultAction } from '@xfrm/wire/xfrm';
import { attributeLines, maskText } from './format-attributes.ts';
import { policyLines, policyTypeName } from './format-policy.ts';
import { addressText, selectorLine } from './format-selector.ts';
import { stateLines } from './format-state.ts';
import { decimal8, hex8, type Layout } from './layout.ts';
import { protocolName, xfrmProtocolName } from './protocol-names.ts';

/** Attributes of a message, to be asked by name. */
export function sourceOf(attributes: readonly XfrmAttribute[]): AttributeSource {
	return { get: (name) => attributeValue(attributes, name) };
}

function acquireText(message: NamedMessage<'acquire'>, layout: Layout): string {
	const { body } = message;
	const from = sourceOf(message.attributes);
	const stats = layout.stats > 0;
	const spi =
		stats || body.id.spi !== 0
			? `spi 0x${hex8(body.id.spi)}${stats ? `(${body.id.spi})` : ''} `
			: '';
	const family = body.selector.family || body.policy.selector.family || layout.family;
	const masks = stats ? `  seq 0x${decimal8(body.seq)} ${maskText(body)}` : '';
	return (
		`acquire proto ${xfrmProtocolName(body.id.proto)} ${spi}${layout.end}` +
		`  sel ${selectorLine(body.selector, family, layout)}` +
		policyLines(body.policy, from, layout, '    ', '  policy ') +
		masks +
		layout.end +
		layout.objectEnd
	);
}

function reportText(message: NamedMessage<'report'>, layout: Layout): string {
	const { proto, selector } = message.body;
	const family = selector.family || layout.family;
	return (
		`report proto ${xfrmProtocolName(proto)} ${layout.end}` +
		`  sel ${selectorLine(selector, family, layout)}` +
		attributeLines(sourceOf(message.attributes), family, '  ', true, layout) +
		layout.objectEnd
	);
}

/** What the end of an asynchronous event says of its state. */
function stateText(id: UserSaId, reqid: number): string {
	const names = `reqid 0x${reqid.toString(16)} protocol ${protocolName(id.proto)}`;
	return `dst ${addressText(id.daddr, id.family)}  ${names}  SPI 0x${id.spi.toString(16)}`;
}

function aeventText(message: NamedMessage<'newae'>): string {
	const { saId, saddr, flags, reqid } = message.body;
	const causes = [
		[AeventFlag.CausedByReplay, ' replay update '],
		[AeventFlag.CausedByTimer, ' timer expired '],
		[AeventFlag.CausedByUpdate, ' policy updated '],
	] as const;
	const words = causes.map(([bit, text]) => ((flags & bit) === 0 ? '' : text)).join('');
	const source = addressText(saddr, saId.family);
	const state = `\tsrc ${source} ${stateText(saId, reqid)}\n`;
	return `Async event  (0x${flags.toString(16)}) ${words}\n${state}`;
}

function mappingText(message: NamedMessage<'mapping'>): string {
	const { id, reqid, oldSaddr, newSaddr, oldSport, newSport } = message.body;
	const before = `${addressText(oldSaddr, id.family)}:${oldSport}`;
	const after = `${addressText(newSaddr, id.family)}:${newSport}`;
	return `Mapping change ${before} -> ${after}\n\t${stateText(id, reqid)}\n`;
}

const DEFAULT_NAMES: Readonly<Record<number, string>> = {
	[DefaultAction.Unspec]: 'unspec',
	[DefaultAction.Block]: 'block',
	[DefaultAction.Accept]: 'accept',
};

function defaultText(message: NamedMessage<'getdefault'>): string {
	const name = (action: number): string => DEFAULT_NAMES[action] ?? 'unknown';
	const { in: input, fwd, out } = message.body;
	return `Default policies:\n in:  ${name(input)}\n fwd: ${name(fwd)}\n out: ${name(out)}\n`;
}

function sadInfoText(message: NamedMessage<'newsadinfo'>, layout: Layout): string {
	const from = sourceOf(message.attributes);
	const buckets = from.get('sadHinfo');
	const hash =
		layout.stats > 0 && buckets !== undefined
			? ` (buckets count ${buckets.sadhcnt} Max ${buckets.sadhmcnt})`
			: '';
	return `\t SAD count ${from.get('sadCnt') ?? 0}${hash}\n`;
}

function spdInfoText(message: NamedMessage<'newspdinfo'>, layout: Layout): string {
	const from = sourceOf(message.attributes);
	const counts = from.get('spdInfo');
	let text = '\t SPD';
	if (counts !== undefined) {
		text += ` IN  ${counts.incnt} OUT ${counts.outcnt} FWD ${counts.fwdcnt}`;
		if (layout.stats > 0) {
			text += ` (Sock: IN ${counts.inscnt} OUT ${counts.outscnt} FWD ${counts.fwdscnt})`;
		}
		text += layout.end;
	}
	if (layout.stats > 1) {
		const buckets = from.get('spdHinfo');
		const ipv4 = from.get('spdIpv4Hthresh');
		const ipv6 = from.get('spdIpv6Hthresh');
		text += buckets
			? `\t SPD buckets: count ${buckets.spdhcnt} Max ${buckets.spdhmcnt}${layout.end}`
			: '';
		text += ipv4
			? `\t SPD IPv4 thresholds: local ${ipv4.lbits} remote ${ipv4.rbits}${layout.end}`
			: '';
		text += ipv6
			? `\t SPD IPv6 thresholds: local ${ipv6.lbits} remote ${ipv6.rbits}${layout.end}`
			: '';
	}
	return text + layout.objectEnd;
}

/** A member of a list, the answer to a command, or an event; empty for messages that `ip` does not print. */
export function messageText(message: XfrmMessage, layout: Layout): string {
	const from = sourceOf(message.attributes);
	const { end, objectEnd } = layout;
	switch (message.name) {
		case 'newsa':
			return stateLines(message.body, from, layout) + objectEnd;
		case 'updsa':
			return `Updated ${stateLines(message.body, from, layout)}${objectEnd}`;
		case 'delsa': {
			const state = from.get('sa');
			return state ? `Deleted ${stateLines(state, from, layout)}${objectEnd}` : '';
		}
		case 'expire': {
			const { state, hard } = message.body;
			return `Expired ${stateLines(state, from, layout)}\thard ${hard}${end}${objectEnd}`;
		}
		case 'newpolicy':
			return policyLines(message.body, from, layout) + objectEnd;
		case 'updpolicy':
			return `Updated ${policyLines(message.body, from, layout)}${objectEnd}`;
		case 'delpolicy': {
			const policy = from.get('policy');
			return policy ? `Deleted ${policyLines(policy, from, layout)}${objectEnd}` : '';
		}
		case 'polexpire': {
			const { policy, hard } = message.body;
			return `Expired ${policyLines(policy, from, layout)}\thard ${hard}${end}${objectEnd}`;
		}
		case 'acquire':
			return acquireText(message, layout);
		case 'flushsa':
			return `Flushed state proto ${xfrmProtocolName(message.body.proto)}${end}${objectEnd}`;
		case 'flushpolicy': {
			const type = from.get('policyType');
			const text = type === undefined ? '' : `ptype ${policyTypeName(type.type)} `;
			return `Flushed policy ${text}${end}${objectEnd}`;
		}
		case 'report':
			return reportText(message, layout);
		case 'newae':
			return aeventText(message);
		case 'mapping':
			return mappingText(message);
		case 'getdefault':
			return defaultText(message);
		case 'newsadinfo':
			return sadInfoText(message, layout);
		case 'newspdinfo':
			return spdInfoText(message, layout);
		default:
			return '';
	}
}
