import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseHex } from './hex.ts';
import { isLinkPayload, LinkType, linkPayload } from './link-layer.ts';
import { Family } from './xfrm/constants.ts';

const IPV4 = '45000014 00000000 40fd0000 0a000001 0a000002';
const IPV6 = `60000000 0000 3b 40 ${'fe800000'.repeat(8)}`;
const MACS = 'ffffffffffff 020000000001';

function frameOf(hex: string): Uint8Array {
	const bytes = parseHex(hex);
	assert.ok(bytes instanceof Uint8Array, hex);
	return bytes;
}

test('the IP packet is found under every link type', () => {
	const rows: readonly (readonly [string, number, string, Family, number, number])[] = [
		['raw', LinkType.Raw, IPV4, Family.Ipv4, 0, 20],
		['raw, number of BSD/OS', LinkType.RawBsd, IPV6, Family.Ipv6, 0, 40],
		['raw, number of OpenBSD', LinkType.RawOpenBsd, IPV4, Family.Ipv4, 0, 20],
		['IPv4', LinkType.Ipv4, IPV4, Family.Ipv4, 0, 20],
		['IPv6', LinkType.Ipv6, IPV6, Family.Ipv6, 0, 40],
		['Ethernet', LinkType.Ethernet, `${MACS} 0800 ${IPV4}`, Family.Ipv4, 14, 34],
		[
			'Ethernet with padding',
			LinkType.Ethernet,
			`${MACS} 0800 ${IPV4} ${'00'.repeat(26)}`,
			Family.Ipv4,
			14,
			34,
		],
		['a VLAN', LinkType.Ethernet, `${MACS} 8100 0001 86dd ${IPV6} 00`, Family.Ipv6, 18, 58],
		[
			'a VLAN in a VLAN',
			LinkType.Ethernet,
			`${MACS} 88a8 0001 8100 0002 0800 ${IPV4}`,
			Family.Ipv4,
			22,
			42,
		],
		['NULL, little-endian', LinkType.Null, `02000000 ${IPV4}`, Family.Ipv4, 4, 24],
		['NULL, big-endian, macOS', LinkType.Null, `0000001e ${IPV6}`, Family.Ipv6, 4, 44],
		['LOOP, OpenBSD', LinkType.Loop, `00000018 ${IPV6}`, Family.Ipv6, 4, 44],
		[
			'SLL',
			LinkType.LinuxSll,
			`0000 0001 0006 020000000001 0000 0800 ${IPV4}`,
			Family.Ipv4,
			16,
			36,
		],
		[
			'SLL2',
			LinkType.LinuxSll2,
			`86dd 0000 00000002 0001 00 06 0200000000010000 ${IPV6}`,
			Family.Ipv6,
			20,
			60,
		],
		['length left to the device', LinkType.Raw, `45000000 ${IPV4.slice(9)} ff`, Family.Ipv4, 0, 21],
		[
			'IPv6 length left to the device',
			LinkType.Raw,
			`60000000 0000 06 40 ${IPV6.slice(19)} ff`,
			Family.Ipv6,
			0,
			41,
		],
		[
			'total length within the header',
			LinkType.Raw,
			`45000013 ${IPV4.slice(9)} ff`,
			Family.Ipv4,
			0,
			21,
		],
		['cut short', LinkType.Raw, `450005dc ${IPV4.slice(9)} ff`, Family.Ipv4, 0, 21],
	];
	for (const [name, linkType, hex, family, at, end] of rows) {
		const found = linkPayload(linkType, frameOf(hex));
		assert.deepEqual(found, { family, at, end }, name);
		assert.equal(isLinkPayload(found), true);
	}
});

test('a frame without IP is refused with the reason and the byte', () => {
	const rows: readonly (readonly [string, number, string, number, string])[] = [
		['unknown type', 147, IPV4, 0, 'link type 147 is not known'],
		['ARP', LinkType.Ethernet, `${MACS} 0806 0001`, 12, 'EtherType 0x0806 is not IP'],
		[
			'ARP in a VLAN',
			LinkType.Ethernet,
			`${MACS} 8100 0001 0806 0001`,
			16,
			'EtherType 0x0806 is not IP',
		],
		['short Ethernet', LinkType.Ethernet, MACS, 0, 'a link header has 14 octets, found 12'],
		['short VLAN', LinkType.Ethernet, `${MACS} 8100 0001`, 14, 'a VLAN tag has 4 octets, found 2'],
		[
			'nothing but a link header',
			LinkType.Ethernet,
			`${MACS} 0800`,
			14,
			'the frame ends before an IP header',
		],
		[
			'not the version it says',
			LinkType.Ethernet,
			`${MACS} 0800 70`,
			14,
			'IP version 7 is neither 4 nor 6',
		],
		['IPv4 cut', LinkType.Raw, IPV4.slice(0, 27), 0, 'an IPv4 header does not fit into 12 octets'],
		['IPv6 cut', LinkType.Raw, IPV6.slice(0, 30), 0, 'an IPv6 header does not fit into 13 octets'],
		['other family', LinkType.Null, `07000000 ${IPV4}`, 0, 'address family 7 is not IP'],
		['short NULL', LinkType.Null, '0200', 0, 'a loopback header has 4 octets, found 2'],
		['empty', LinkType.Raw, '', 0, 'the frame ends before an IP header'],
	];
	for (const [name, linkType, hex, at, reason] of rows) {
		const found = linkPayload(linkType, frameOf(hex));
		assert.deepEqual(found, { at, reason }, name);
		assert.equal(isLinkPayload(found), false);
	}
});

test('any truncation of any frame gives an answer', () => {
	const frame = frameOf(`${MACS} 8100 0001 86dd ${IPV6}`);
	for (const linkType of Object.values(LinkType)) {
		for (let end = 0; end <= frame.length; end++) {
			const found = linkPayload(linkType, frame.slice(0, end));
			assert.equal(isLinkPayload(found) ? found.end <= end : found.at <= end, true);
		}
	}
});
