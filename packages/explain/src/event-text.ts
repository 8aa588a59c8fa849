/** Notifications of NETLINK_XFRM in words, for stories. */
import { decodeMessage, splitMessages, type XfrmMessage } from '@xfrm/netlink';
import { formatHex, formatHex32 } from '@xfrm/wire';
import { Family, formatAddress, IpProto } from '@xfrm/wire/xfrm';
import type { EventRef } from './answer.ts';
import { modeName, protocolName, selectorText, stateProtoName } from './names.ts';

/** Name of a device by its number. */
type DeviceName = (ifindex: number) => string | undefined;

/** A notification as the contract shows it. */
export function eventOf(datagram: Uint8Array, deviceName: DeviceName): EventRef {
	const [raw] = splitMessages(datagram);
	const message = raw === undefined ? undefined : decodeMessage(raw);
	return {
		event: message?.name ?? 'unknown',
		text: message === undefined ? `message ${raw?.type ?? 0}` : textOf(message, deviceName),
		netlink: formatHex(datagram),
	};
}

function familyOf(family: number): Family {
	return family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
}

function spiSuffix(proto: number, spi: number): string {
	const bySpi = proto === IpProto.Esp || proto === IpProto.Ah || proto === IpProto.Comp;
	return bySpi && spi !== 0 ? ` spi ${formatHex32(spi)}` : '';
}

function textOf(message: XfrmMessage, deviceName: DeviceName): string {
	switch (message.name) {
		case 'acquire': {
			const { id, saddr, selector, seq } = message.body;
			const template = message.attributes.find((one) => one.name === 'tmpl');
			const [first] = template?.name === 'tmpl' ? template.value : [];
			const family = familyOf(first?.family ?? selector.family);
			const mode = first === undefined ? '' : ` ${modeName(first.mode)} reqid ${first.reqid}`;
			return (
				`ACQUIRE ${stateProtoName(id.proto)}${spiSuffix(id.proto, id.spi)}${mode} ` +
				`${formatAddress(saddr, family)} → ${formatAddress(id.daddr, family)} seq ${seq} ` +
				`for ${selectorText(selector, deviceName)}`
			);
		}
		case 'expire': {
			const { state, hard } = message.body;
			const family = familyOf(state.family);
			return (
				`EXPIRE ${hard === 0 ? 'soft' : 'hard'} ${stateProtoName(state.id.proto)}` +
				`${spiSuffix(state.id.proto, state.id.spi)} ` +
				`${formatAddress(state.saddr, family)} → ${formatAddress(state.id.daddr, family)}`
			);
		}
		case 'polexpire': {
			const { policy, hard } = message.body;
			return `POLEXPIRE ${hard === 0 ? 'soft' : 'hard'} ${selectorText(policy.selector, deviceName)}`;
		}
		case 'mapping': {
			const { id, oldSaddr, oldSport, newSaddr, newSport } = message.body;
			const family = familyOf(id.family);
			return (
				`MAPPING spi ${formatHex32(id.spi)}: ${formatAddress(oldSaddr, family)} port ${oldSport} ` +
				`is now ${formatAddress(newSaddr, family)} port ${newSport}`
			);
		}
		case 'report': {
			const { proto, selector } = message.body;
			return `REPORT ${protocolName(proto)} refused ${selectorText(selector, deviceName)}`;
		}
		case 'migrate':
			return `MIGRATE ${selectorText(message.body.selector, deviceName)}`;
		default:
			return message.name.toUpperCase();
	}
}
