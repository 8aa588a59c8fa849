/**
 * Which of its addresses a host uses towards a destination when nothing else says so: IPv4 takes the
 * first one of the device that fits the next hop (net/ipv4/devinet.c, inet_select_addr), IPv6 compares
 * all by the rules of RFC 6724 §5.
 */
import { type Address, anyAddress, Family, prefixMatches } from '@xfrm/wire/xfrm';
import type { AddressConfig, Device, DeviceTable } from './device.ts';
import type { RouteEntry } from './route.ts';

/** The source for packets that follow `entry` out of `device`; the any-address when there is none. */
export function selectSource(
	devices: DeviceTable,
	family: number,
	device: Device,
	daddr: Address,
	entry: Pick<RouteEntry, 'kind' | 'gateway'>,
): Address {
	if (entry.kind === 'local') {
		return daddr;
	}
	return family === Family.Ipv4
		? selectIpv4(devices, device, entry.gateway)
		: selectIpv6(devices, device, daddr);
}

function ipv4Addresses(device: Device): AddressConfig[] {
	return device.addresses.filter(
		(own) => own.family === Family.Ipv4 && own.deprecated !== true && own.address[0] !== 127,
	);
}

/** The first address of the device whose network has the gateway, else its first, else another device's first. */
function selectIpv4(devices: DeviceTable, device: Device, gateway: Address | undefined): Address {
	const own = ipv4Addresses(device);
	const near =
		gateway === undefined
			? undefined
			: own.find((address) =>
					prefixMatches(gateway, address.address, address.prefixLength, Family.Ipv4),
				);
	const first = near ?? own[0];
	if (first !== undefined) {
		return first.address;
	}
	for (const other of devices.all()) {
		const [found] = ipv4Addresses(other);
		if (found !== undefined && other.up) {
			return found.address;
		}
	}
	return anyAddress();
}

/** Scopes as RFC 4007 numbers them; unicast only. */
function scopeOf(address: Address): number {
	if (address[0] === 0xff) {
		return (address[1] ?? 0) & 15;
	}
	if (address[0] === 0xfe && ((address[1] ?? 0) & 0xc0) === 0x80) {
		return 2;
	}
	if (isLoopback(address)) {
		return 1;
	}
	return address[0] === 0xfe && ((address[1] ?? 0) & 0xc0) === 0xc0 ? 5 : 14;
}

function isLoopback(address: Address): boolean {
	return address.every((octet, i) => octet === (i === 15 ? 1 : 0));
}

/** The default policy table of labels (RFC 6724 §2.1 and Linux's additions), longest prefix first. */
const LABELS: readonly (readonly [prefix: readonly number[], length: number, label: number])[] = [
	[[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 128, 0],
	[[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff], 96, 4],
	[[], 96, 3],
	[[0x20, 0x01], 32, 6],
	[[0x20, 0x01, 0, 0x10], 28, 7],
	[[0x3f, 0xfe], 16, 12],
	[[0x20, 0x02], 16, 2],
	[[0xfe, 0xc0], 10, 11],
	[[0xfc], 7, 5],
	[[], 0, 1],
];

function labelOf(address: Address): number {
	for (const [prefix, length, label] of LABELS) {
		const network = new Uint8Array(16);
		network.set(prefix);
		if (prefixMatches(address, network, length, Family.Ipv6)) {
			return label;
		}
	}
	return 1;
}

function commonPrefixBits(a: Address, b: Address): number {
	for (let i = 0; i < 16; i++) {
		const difference = (a[i] ?? 0) ^ (b[i] ?? 0);
		if (difference !== 0) {
			return i * 8 + Math.clz32(difference) - 24;
		}
	}
	return 128;
}

/** Is `a` a better source than `b`? The first rule that tells them apart decides. */
function isBetter(
	a: AddressConfig,
	aDevice: Device,
	b: AddressConfig,
	bDevice: Device,
	device: Device,
	daddr: Address,
): boolean {
	const scope = scopeOf(daddr);
	const scopeRank = (own: Address): number => {
		const its = scopeOf(own);
		return its >= scope ? -its : its - 128;
	};
	const differences = [
		Number(commonPrefixBits(a.address, daddr) === 128) -
			Number(commonPrefixBits(b.address, daddr) === 128),
		scopeRank(a.address) - scopeRank(b.address),
		Number(b.deprecated === true) - Number(a.deprecated === true),
		Number(a.home === true) - Number(b.home === true),
		Number(aDevice === device) - Number(bDevice === device),
		Number(labelOf(a.address) === labelOf(daddr)) - Number(labelOf(b.address) === labelOf(daddr)),
		Math.min(commonPrefixBits(a.address, daddr), a.prefixLength) -
			Math.min(commonPrefixBits(b.address, daddr), b.prefixLength),
	];
	return (differences.find((difference) => difference !== 0) ?? 0) > 0;
}

function selectIpv6(devices: DeviceTable, device: Device, daddr: Address): Address {
	// Link-local and multicast destinations take addresses of the outgoing device only.
	const linkOnly = scopeOf(daddr) === 2 || daddr[0] === 0xff;
	let best: AddressConfig | undefined;
	let bestDevice = device;
	for (const candidate of devices.all()) {
		if ((linkOnly && candidate !== device) || !candidate.up) {
			continue;
		}
		for (const own of candidate.addresses) {
			if (own.family !== Family.Ipv6) {
				continue;
			}
			if (best === undefined || isBetter(own, candidate, best, bestDevice, device, daddr)) {
				best = own;
				bestDevice = candidate;
			}
		}
	}
	return best?.address ?? anyAddress();
}
