/**
 * Devices and the addresses they have (`ip link`, `ip address`). A device here carries bare IP packets,
 * as a TUN does: no link layer, no neighbours. `lo` is always there, is up, and has interface number 1.
 */
import { type Address, addressEquals, Errno, Family, type Refusal } from '@xfrm/wire/xfrm';
import { ADDRESSES_MAX, DEVICES_MAX } from './limits.ts';
import { type LinkCounters, newLinkCounters, type VirtualLink } from './virtual-link.ts';

/** An address of a device, as `ip address add` says it. */
export interface AddressConfig {
	readonly device: string;
	/** 2 or 10. */
	readonly family: number;
	readonly address: Address;
	readonly prefixLength: number;
	/** Other end of a point-to-point link; the connected route goes there instead. */
	readonly peer?: Address;
	/** A Mobile IPv6 home address (`home`): type 2 routing headers may name it (T-58). */
	readonly home?: boolean;
	/** No connected route (`noprefixroute`). */
	readonly noPrefixRoute?: boolean;
	/** Never chosen as a source (`deprecated`, preferred_lft 0). */
	readonly deprecated?: boolean;
}

/** What `ip link` sets; absent parts stay. */
export interface DeviceSettings {
	readonly mtu?: number;
	readonly up?: boolean;
}

/** Per-device switches of one family (net.ipv4.conf.NAME.*, net.ipv6.conf.NAME.*). */
export interface FamilyConf {
	forwarding: number;
	disable_policy: number;
	disable_xfrm: number;
	accept_source_route: number;
	send_redirects: number;
	/** IPv4: may what arrives come from where it says (RFC 3704)? 1 strict, 2 loose; the higher of this and `all`. */
	rp_filter: number;
	/** IPv4: our own addresses may be sources of what arrives. */
	accept_local: number;
	/** IPv4: the way back to a source is looked up with the packet's mark. */
	src_valid_mark: number;
	hop_limit: number;
}

/** The loopback device's interface number. */
const LOOPBACK_IFINDEX = 1;

/** MTU of a device unless told otherwise, and of `lo`. */
const MTU_DEFAULT = 1500;
const MTU_LOOPBACK = 65536;

export class Device {
	readonly name: string;
	readonly ifindex: number;
	readonly loopback: boolean;
	mtu: number;
	up: boolean;
	readonly conf4: FamilyConf;
	readonly conf6: FamilyConf;
	/** In order of adding. */
	readonly addresses: AddressConfig[] = [];
	/** What it is instead of a wire: an XFRM interface or VTI; null for others. */
	virtual: VirtualLink | null = null;
	/** Packets through a virtual device. */
	readonly counters: LinkCounters = newLinkCounters();

	constructor(name: string, ifindex: number, conf4: FamilyConf, conf6: FamilyConf) {
		this.name = name;
		this.ifindex = ifindex;
		this.loopback = ifindex === LOOPBACK_IFINDEX;
		this.mtu = this.loopback ? MTU_LOOPBACK : MTU_DEFAULT;
		this.up = this.loopback;
		// Only IPv4 exempts the loopback device by default (P-18).
		const own = this.loopback ? { disable_policy: 1, disable_xfrm: 1 } : {};
		this.conf4 = { ...conf4, ...own };
		this.conf6 = { ...conf6 };
	}

	/** Switches of this family. */
	conf(family: number): FamilyConf {
		return family === Family.Ipv4 ? this.conf4 : this.conf6;
	}
}

/** Switches as a new namespace has them. */
export function defaultConf(): FamilyConf {
	return {
		forwarding: 0,
		disable_policy: 0,
		disable_xfrm: 0,
		accept_source_route: 0,
		send_redirects: 1,
		rp_filter: 0,
		accept_local: 0,
		src_valid_mark: 0,
		hop_limit: 64,
	};
}

/** All devices of a host, by name and by number. */
export class DeviceTable {
	/** What devices made later begin with (conf.default). */
	readonly default4: FamilyConf = defaultConf();
	readonly default6: FamilyConf = defaultConf();
	private readonly byName: Map<string, Device> = new Map();
	private readonly byIfindex: Map<number, Device> = new Map();
	readonly loopback: Device;
	/** XFRM interfaces and VTI devices, in order of making. */
	readonly virtual: Device[] = [];
	private nextIfindex = LOOPBACK_IFINDEX + 1;
	private addressCount = 0;

	constructor() {
		this.loopback = new Device('lo', LOOPBACK_IFINDEX, this.default4, this.default6);
		this.insert(this.loopback);
	}

	private insert(device: Device): void {
		this.byName.set(device.name, device);
		this.byIfindex.set(device.ifindex, device);
	}

	named(name: string): Device | undefined {
		return this.byName.get(name);
	}
	numbered(ifindex: number): Device | undefined {
		return this.byIfindex.get(ifindex);
	}
	/** In order of making, `lo` first. */
	all(): IterableIterator<Device> {
		return this.byName.values();
	}

	/** Makes a device, down, with the next free number unless one is given. EEXIST when name or number is taken. */
	add(name: string, ifindex?: number): Device | Refusal {
		const number = ifindex ?? this.nextIfindex;
		if (this.byName.has(name) || this.byIfindex.has(number)) {
			return { errno: Errno.EEXIST };
		}
		if (this.byName.size >= DEVICES_MAX) {
			return { errno: Errno.ENOMEM, message: `At most ${DEVICES_MAX} devices` };
		}
		const device = new Device(name, number, this.default4, this.default6);
		this.nextIfindex = Math.max(this.nextIfindex, number + 1);
		this.insert(device);
		return device;
	}

	/** Makes an XFRM interface or VTI of a device. */
	makeVirtual(device: Device, link: VirtualLink): void {
		device.virtual = link;
		this.virtual.push(device);
	}

	/** Forgets a device with its addresses. */
	remove(device: Device): void {
		const at = this.virtual.indexOf(device);
		if (at >= 0) {
			this.virtual.splice(at, 1);
		}
		this.addressCount -= device.addresses.length;
		this.byName.delete(device.name);
		this.byIfindex.delete(device.ifindex);
	}

	/** Gives a device an address. EEXIST when it has it, ENODEV without the device. */
	addAddress(config: AddressConfig): Refusal | undefined {
		const device = this.named(config.device);
		if (device === undefined) {
			return { errno: Errno.ENODEV };
		}
		const bits = config.family === Family.Ipv4 ? 32 : 128;
		if (!(config.prefixLength >= 0 && config.prefixLength <= bits)) {
			return { errno: Errno.EINVAL, message: `A prefix length is 0 to ${bits}` };
		}
		if (this.addressCount >= ADDRESSES_MAX) {
			return { errno: Errno.ENOMEM, message: `At most ${ADDRESSES_MAX} addresses` };
		}
		if (device.addresses.some((other) => sameAddress(other, config))) {
			return { errno: Errno.EEXIST };
		}
		device.addresses.push(config);
		this.addressCount++;
		return undefined;
	}

	/** Takes an address away; EADDRNOTAVAIL when the device has none such. */
	removeAddress(config: AddressConfig): AddressConfig | Refusal {
		const device = this.named(config.device);
		if (device === undefined) {
			return { errno: Errno.ENODEV };
		}
		const at = device.addresses.findIndex((other) => sameAddress(other, config));
		const [gone] = at < 0 ? [] : device.addresses.splice(at, 1);
		if (gone === undefined) {
			return { errno: Errno.EADDRNOTAVAIL };
		}
		this.addressCount--;
		return gone;
	}

	/** The device that has this address, undefined for none. */
	withAddress(family: number, address: Address): Device | undefined {
		for (const device of this.byName.values()) {
			for (const own of device.addresses) {
				if (own.family === family && addressEquals(own.address, address, family)) {
					return device;
				}
			}
		}
		return undefined;
	}

	/** Is it a home address of this host (T-58)? */
	isHomeAddress(address: Address): boolean {
		for (const device of this.byName.values()) {
			for (const own of device.addresses) {
				if (
					own.home === true &&
					own.family === Family.Ipv6 &&
					addressEquals(own.address, address, Family.Ipv6)
				) {
					return true;
				}
			}
		}
		return false;
	}
}

/** IPv4 tells addresses of a device apart by their prefix length too, IPv6 does not. */
function sameAddress(a: AddressConfig, b: AddressConfig): boolean {
	return (
		a.family === b.family &&
		addressEquals(a.address, b.address, a.family) &&
		(a.family !== Family.Ipv4 || a.prefixLength === b.prefixLength)
	);
}
