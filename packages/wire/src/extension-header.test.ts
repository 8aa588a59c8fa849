import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
	findDestinationOption,
	fitsOptionsHeader,
	HOME_ADDRESS_HEADER_OCTETS,
	homeAddressAt,
	OptionType,
	optionOctets,
	writeHomeAddressHeader,
	writePadding,
} from './destination-options.ts';
import {
	extensionHeaderOctets,
	extensionNextHeader,
	fitsExtensionHeader,
	HeaderChain,
	isExtensionHeader,
	setExtensionNextHeader,
	startChain,
	stepChain,
	walkToHeader,
	walkToUpperHeader,
	walkUnfragmentable,
} from './extension-header.ts';
import { formatHex, parseHex } from './hex.ts';
import {
	fitsRoutingHeader,
	ROUTING_TYPE2_OCTETS,
	routingAddressCount,
	routingHeaderOctets,
	routingNextHeader,
	routingSegmentsLeft,
	routingType,
	routingType2IsSound,
	setRoutingSegmentsLeft,
	writeRoutingType2,
} from './routing-header.ts';
import { IpProto } from './xfrm/constants.ts';

function viewOf(hex: string): DataView {
	const bytes = parseHex(hex);
	assert.ok(bytes instanceof Uint8Array);
	return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** An IPv6 packet at offset 3 whose chain begins with `proto`. */
function packetOf(proto: number, chain: string): { view: DataView; end: number } {
	const next = proto.toString(16).padStart(2, '0');
	const view = viewOf(`ffffff 60000000 0000 ${next} 40 ${'00'.repeat(32)} ${chain}`);
	return { view, end: view.byteLength };
}

const PAD4 = '0104 00000000';
const HOME = `01020000 c910 ${'fe'.repeat(16)}`;

/** `at` counted from the IPv6 header. */
function positionOf(chain: HeaderChain): readonly [number, number, number, boolean] {
	return [chain.proto, chain.at - 3, chain.nextHeaderAt - 3, chain.broken];
}

test('the six extension headers', () => {
	assert.deepEqual([...Array(256).keys()].filter(isExtensionHeader), [0, 43, 44, 51, 60, 135]);
});

test('lengths follow the rule of each header', () => {
	const rows: readonly (readonly [number, string, number])[] = [
		[IpProto.HopByHop, '11 00', 8],
		[IpProto.DestinationOptions, '11 ff', 2048],
		[IpProto.Routing, '11 02', 24],
		[IpProto.MobilityHeader, '3b 01', 16],
		[IpProto.Fragment, '11 ff', 8],
		[IpProto.Ah, '11 04', 24],
		[IpProto.Ah, '11 00', 8],
		[IpProto.Udp, '11 00', 0],
		[IpProto.HopByHop, '11', 0],
	];
	for (const [proto, hex, want] of rows) {
		const view = viewOf(hex);
		assert.equal(extensionHeaderOctets(proto, view, 0, view.byteLength), want, `${proto} ${hex}`);
	}
	const whole = viewOf(`3c00 ${PAD4}`);
	assert.equal(fitsExtensionHeader(IpProto.HopByHop, whole, 0, 8), true);
	assert.equal(fitsExtensionHeader(IpProto.HopByHop, whole, 0, 7), false);
	assert.equal(fitsExtensionHeader(IpProto.Udp, whole, 0, 8), false);
	assert.equal(extensionNextHeader(whole, 0), 60);
	setExtensionNextHeader(whole, 0, 17);
	assert.equal(extensionNextHeader(whole, 0), 17);
});

test('a walk visits every header and names where each protocol stood', () => {
	const { view, end } = packetOf(
		0,
		`2b00 ${PAD4} 3c000000 00000000 2c00 ${PAD4} 33000001 00000001 1104 0000 ${'00'.repeat(20)} 0035`,
	);
	const chain = new HeaderChain();
	startChain(chain, view, 3);
	const seen = [positionOf(chain)];
	while (stepChain(chain, view, end)) {
		seen.push(positionOf(chain));
	}
	assert.deepEqual(seen, [
		[0, 40, 6, false],
		[43, 48, 40, false],
		[60, 56, 48, false],
		[44, 64, 56, false],
		[51, 72, 64, false],
		[17, 96, 72, false],
	]);
	assert.equal(walkToUpperHeader(chain, view, 3, end), true);
	assert.deepEqual(positionOf(chain), [17, 96, 72, false]);
	assert.equal(walkToHeader(chain, view, 3, end, IpProto.Fragment), true);
	assert.deepEqual(positionOf(chain), [44, 64, 56, false]);
	assert.equal(walkToHeader(chain, view, 3, end, IpProto.Esp), false);
	assert.equal(walkToUpperHeader(chain, view, 3, 3 + 95), false, 'AH one octet short');
	assert.deepEqual(positionOf(chain), [51, 72, 64, true]);
	assert.equal(walkToUpperHeader(chain, view, 3, 3 + 41), false);
	assert.deepEqual(positionOf(chain), [0, 40, 6, true]);
});

test('a Mobility Header, no next header, and a chain that ends at the data end the walk', () => {
	const chain = new HeaderChain();
	const mobility = packetOf(60, `8702 ${HOME} 3b01 0500 ${'00'.repeat(12)}`);
	assert.equal(walkToUpperHeader(chain, mobility.view, 3, mobility.end), true);
	assert.deepEqual(positionOf(chain), [135, 64, 40, false]);
	const none = packetOf(0, `3b00 ${PAD4} 0000`);
	assert.equal(walkToUpperHeader(chain, none.view, 3, none.end), true);
	assert.deepEqual(positionOf(chain), [59, 48, 40, false]);
	const empty = packetOf(17, '');
	assert.equal(walkToUpperHeader(chain, empty.view, 3, empty.end), true);
	assert.deepEqual(positionOf(chain), [17, 40, 6, false]);
});

test('later fragments: what follows the fragment header is data', () => {
	const chain = new HeaderChain();
	const later = packetOf(44, '3c00 05a8 00000001 ffff ffff');
	assert.equal(walkToUpperHeader(chain, later.view, 3, later.end), true);
	assert.deepEqual(positionOf(chain), [60, 48, 40, false]);
	assert.equal(chain.inFragment, true);
	assert.equal(walkToHeader(chain, later.view, 3, later.end, 60), false);
	const first = packetOf(44, `3c00 0001 00000001 1100 ${PAD4} 0035`);
	assert.equal(walkToUpperHeader(chain, first.view, 3, first.end), true);
	assert.deepEqual(positionOf(chain), [17, 56, 48, false]);
});

// @spec M-2
test('the unfragmentable part ends where Linux says', () => {
	const routing = '0000 0000 00000000';
	const rows: readonly (readonly [
		string,
		number,
		string,
		readonly [number, number, number, boolean],
	])[] = [
		['nothing', 17, '0035', [17, 40, 6, false]],
		['hop-by-hop', 0, `1100 ${PAD4}`, [17, 48, 40, false]],
		['destination options alone belong to it', 60, `1100 ${PAD4}`, [17, 48, 40, false]],
		['options, then routing', 60, `2b00 ${PAD4} 11${routing.slice(2)}`, [17, 56, 48, false]],
		['routing, then options', 43, `3c${routing.slice(2)} 1100 ${PAD4}`, [60, 48, 40, false]],
		['routing, then a home address', 43, `3c${routing.slice(2)} 1102 ${HOME}`, [17, 72, 48, false]],
		['fragment', 44, '1100 0001 00000001', [44, 40, 6, false]],
		['AH', 51, '1104', [51, 40, 6, false]],
		['broken', 0, '1101 000000000000', [0, 40, 6, true]],
		['ends behind its first octet', 43, '11', [43, 40, 6, true]],
	];
	for (const [name, proto, hex, want] of rows) {
		const { view, end } = packetOf(proto, hex);
		const chain = new HeaderChain();
		assert.equal(walkUnfragmentable(chain, view, 3, end), !want[3], name);
		assert.deepEqual(positionOf(chain), want, name);
	}
});

test('a chain of many headers ends', () => {
	const { view, end } = packetOf(60, `3c00 ${PAD4} `.repeat(9000));
	const chain = new HeaderChain();
	assert.equal(walkToUpperHeader(chain, view, 3, end), false);
	assert.equal(walkUnfragmentable(chain, view, 3, end), false);
	assert.equal(chain.at - 3 <= 65535 + 8, true);
});

test('options are walked, and damage ends the walk', () => {
	const rows: readonly (readonly [string, string, number])[] = [
		['alone', `1102 ${HOME}`, 6],
		['behind Pad1', `1102 00000000 c910 ${'fe'.repeat(16)}`, 6],
		['none', `1100 ${PAD4}`, -1],
		['an option reaches beyond the header', '1100 0105 00000000', -1],
		['length octet missing', '1100 0103 000000 c9', -1],
		['the header reaches beyond the data', `1103 ${HOME}`, -1],
		['of wrong length, yet there', '1100 c904 00000000', 2],
	];
	for (const [name, hex, want] of rows) {
		const view = viewOf(hex);
		const got = findDestinationOption(view, 0, view.byteLength, OptionType.HomeAddress);
		assert.equal(got, want, name);
	}
	assert.equal(optionOctets(viewOf('00'), 0, 0), 0);
	assert.equal(fitsOptionsHeader(viewOf('1100000000000000'), 0, 7), false);
});

// @spec T-51
test('the header of a home address', () => {
	const bytes = new Uint8Array(HOME_ADDRESS_HEADER_OCTETS);
	const view = new DataView(bytes.buffer);
	const addressAt = writeHomeAddressHeader(view, 0, 135);
	bytes.fill(0xfe, addressAt, addressAt + 16);
	assert.equal(formatHex(bytes), `870201020000c910${'fe'.repeat(16)}`);
	const optionAt = findDestinationOption(view, 0, 24, OptionType.HomeAddress);
	assert.equal(homeAddressAt(view, optionAt), addressAt);
	view.setUint8(optionAt + 1, 15);
	assert.equal(homeAddressAt(view, optionAt), -1);
});

test('padding of any length walks over itself', () => {
	for (const octets of [0, 1, 2, 3, 257]) {
		const bytes = new Uint8Array(octets + 1).fill(0xff);
		const view = new DataView(bytes.buffer);
		writePadding(view, 0, octets);
		assert.equal(optionOctets(view, 0, octets), octets, `${octets}`);
		assert.equal(bytes[octets], 0xff);
	}
});

// @spec T-52 T-58
test('the routing header of type 2', () => {
	const bytes = new Uint8Array(ROUTING_TYPE2_OCTETS).fill(0xff);
	const view = new DataView(bytes.buffer);
	assert.equal(writeRoutingType2(view, 0, 17), 8);
	assert.equal(formatHex(bytes), `1102020100000000${'ff'.repeat(16)}`);
	assert.deepEqual(
		[
			routingNextHeader(view, 0),
			routingType(view, 0),
			routingSegmentsLeft(view, 0),
			routingAddressCount(view, 0),
		],
		[17, 2, 1, 1],
	);
	assert.deepEqual([fitsRoutingHeader(view, 0, 24), fitsRoutingHeader(view, 0, 23)], [true, false]);
	assert.equal(routingHeaderOctets(view, 0), 24);
	assert.equal(routingType2IsSound(view, 0), true);
	setRoutingSegmentsLeft(view, 0, 0);
	assert.equal(routingType2IsSound(view, 0), false);
	for (const [hex, want] of [
		['1102 0201', true],
		['1102 0202', false],
		['1104 0201', false],
		['1102 0001', false],
	] as const) {
		assert.equal(routingType2IsSound(viewOf(hex), 0), want, hex);
	}
});
