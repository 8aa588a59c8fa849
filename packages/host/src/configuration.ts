/**
 * What `ip link`, `ip address` and `ip route` do to the tables together: an address brings its local
 * and connected routes, a device that goes down takes its routes along (net/ipv4/fib_frontend.c,
 * net/ipv6/addrconf.c).
 */
import { type Answer, answer, refuse } from '@xfrm/engine';
import { type Address, Errno, Family, prefixMatches, type Refusal } from '@xfrm/wire/xfrm';
import type { AddressConfig, Device, DeviceSettings } from './device.ts';
import { kindHasDevice, type RouteConfig } from './route.ts';
import { routeOutput } from './route-lookup.ts';
import { RouteTable } from './rule.ts';
import type { Stack } from './stack.ts';

/** Metrics that Linux gives to connected routes of IPv6, and to local ones. */
const IPV6_CONNECTED_METRIC = 256;

/** Least MTU that a device may have for IPv4; IPv6 leaves devices below 1280. */
const MTU_MIN = 68;
const MTU_MAX = 65536;
/** XFRM interfaces and VTI devices. */
const VIRTUAL_MTU_MAX = 65535;

/** Something may have changed that routes depend on. */
function routesChanged(stack: Stack): void {
	stack.routeGeneration++;
}

export function addDevice(stack: Stack, name: string, ifindex?: number): Answer<Device> {
	const added = stack.devices.add(name, ifindex);
	if ('errno' in added) {
		return refuse(added.errno, added.message);
	}
	routesChanged(stack);
	return answer(added);
}

export function removeDevice(stack: Stack, name: string): Refusal | undefined {
	const device = stack.devices.named(name);
	if (device === undefined) {
		return { errno: Errno.ENODEV };
	}
	if (device.loopback) {
		return { errno: Errno.EOPNOTSUPP };
	}
	stack.devices.remove(device);
	for (const tables of [stack.routes4, stack.routes6]) {
		tables.removeWhere((entry) => entry.device === name);
	}
	routesChanged(stack);
	return undefined;
}

export function setDevice(
	stack: Stack,
	name: string,
	settings: DeviceSettings,
): Refusal | undefined {
	const device = stack.devices.named(name);
	if (device === undefined) {
		return { errno: Errno.ENODEV };
	}
	const { mtu, up } = settings;
	if (mtu !== undefined && !(mtu >= MTU_MIN)) {
		return { errno: Errno.EINVAL, message: 'mtu less than device minimum' };
	}
	if (mtu !== undefined && mtu > (device.virtual === null ? MTU_MAX : VIRTUAL_MTU_MAX)) {
		return { errno: Errno.EINVAL, message: 'mtu greater than device maximum' };
	}
	device.mtu = mtu ?? device.mtu;
	if (up !== undefined && up !== device.up) {
		device.up = up;
		if (up) {
			bringUp(stack, device);
		} else {
			takeDown(stack, device);
		}
	}
	routesChanged(stack);
	return undefined;
}

/** Connected routes appear with the device. */
function bringUp(stack: Stack, device: Device): void {
	for (const own of device.addresses) {
		addConnected(stack, device, own);
	}
}

/** IPv4 keeps addresses and their local routes, IPv6 loses both. */
function takeDown(stack: Stack, device: Device): void {
	const { name } = device;
	stack.routes4.removeWhere((entry) => entry.device === name && entry.kind !== 'local');
	stack.routes6.removeWhere((entry) => entry.device === name);
	for (const own of device.addresses.filter((each) => each.family === Family.Ipv6)) {
		stack.devices.removeAddress(own);
	}
}

/** The address with all bits behind the prefix set to `bit`. */
function edgeOf(address: Address, prefixLength: number, octets: number, bit: 0 | 1): Address {
	const edge = new Uint8Array(16);
	for (let i = 0; i < octets; i++) {
		const kept = Math.min(8, Math.max(0, prefixLength - i * 8));
		const mask = (0xff00 >> kept) & 0xff;
		edge[i] = ((address[i] ?? 0) & mask) | (bit === 1 ? ~mask & 0xff : 0);
	}
	return edge;
}

function localRoute(config: AddressConfig): RouteConfig {
	const bits = config.family === Family.Ipv4 ? 32 : 128;
	return {
		family: config.family,
		destination: config.address,
		prefixLength: bits,
		device: config.device,
		source: config.address,
		metric: 0,
		kind: 'local',
	};
}

/** The connected route, and IPv4's broadcast address. */
function connectedRoutes(config: AddressConfig, device: Device): RouteConfig[] {
	const { family, address, prefixLength } = config;
	const octets = family === Family.Ipv4 ? 4 : 16;
	const destination = edgeOf(config.peer ?? address, prefixLength, octets, 0);
	const shared = { family, device: config.device };
	if (family === Family.Ipv6) {
		return config.noPrefixRoute === true
			? []
			: [{ ...shared, destination, prefixLength, metric: IPV6_CONNECTED_METRIC }];
	}
	const routes: RouteConfig[] = [];
	if (config.noPrefixRoute !== true && !(prefixLength === 32 && config.peer === undefined)) {
		const kind = device.loopback ? 'local' : 'unicast';
		routes.push({ ...shared, destination, prefixLength, source: address, kind });
	}
	if (prefixLength < 31) {
		const broadcast = edgeOf(address, prefixLength, octets, 1);
		routes.push({
			...shared,
			destination: broadcast,
			prefixLength: 32,
			source: address,
			kind: 'broadcast',
		});
	}
	return routes;
}

function addConnected(stack: Stack, device: Device, config: AddressConfig): void {
	for (const route of connectedRoutes(config, device)) {
		// Another address of the same network has brought it already.
		stack.routes(config.family).add(route);
	}
}

export function addAddress(stack: Stack, config: AddressConfig): Refusal | undefined {
	const refusal = stack.devices.addAddress(config);
	const device = stack.devices.named(config.device);
	if (refusal !== undefined || device === undefined) {
		return refusal ?? { errno: Errno.ENODEV };
	}
	stack.routes(config.family).add(localRoute(config));
	if (device.up) {
		addConnected(stack, device, config);
	}
	routesChanged(stack);
	return undefined;
}

export function removeAddress(stack: Stack, config: AddressConfig): Refusal | undefined {
	const gone = stack.devices.removeAddress(config);
	if ('errno' in gone) {
		return gone;
	}
	const device = stack.devices.named(gone.device);
	const tables = stack.routes(gone.family);
	if (stack.devices.withAddress(gone.family, gone.address) === undefined) {
		tables.remove(localRoute(gone));
	}
	if (device !== undefined) {
		for (const route of connectedRoutes(gone, device)) {
			tables.remove(route);
		}
		// Networks that other addresses of the device still have come back.
		for (const own of device.addresses.filter((each) => each.family === gone.family)) {
			addConnected(stack, device, own);
		}
	}
	routesChanged(stack);
	return undefined;
}

/** Fills in the device of a route and checks what it refers to. */
function resolveRoute(stack: Stack, config: RouteConfig): RouteConfig | Refusal {
	const kind = config.kind ?? 'unicast';
	if (!kindHasDevice(kind)) {
		const { device: _device, gateway: _gateway, ...rest } = config;
		return rest;
	}
	if (config.device !== undefined) {
		const device = stack.devices.named(config.device);
		if (device === undefined) {
			return { errno: Errno.ENODEV };
		}
		const message =
			config.family === Family.Ipv4 ? 'Device for nexthop is not up' : 'Nexthop device is not up';
		return device.up ? config : { errno: Errno.ENETDOWN, message };
	}
	if (config.gateway === undefined) {
		return { errno: Errno.ENODEV, message: 'A route needs a device or a gateway' };
	}
	const via = routeOutput(stack, config.family, config.gateway, new Uint8Array(16), 0, 0);
	const device = typeof via === 'number' ? undefined : stack.devices.numbered(via.ifindex);
	if (device === undefined || (typeof via !== 'number' && via.kind !== 'unicast')) {
		return { errno: Errno.ENETUNREACH, message: 'Nexthop has invalid gateway.' };
	}
	return { ...config, device: device.name };
}

export function addRoute(stack: Stack, config: RouteConfig): Refusal | undefined {
	const route = resolveRoute(stack, config);
	if ('errno' in route) {
		return route;
	}
	const { source } = route;
	if (source !== undefined && stack.devices.withAddress(route.family, source) === undefined) {
		return { errno: Errno.EINVAL, message: 'Invalid prefsrc address' };
	}
	const bits = route.family === Family.Ipv4 ? 32 : 128;
	const octets = bits / 8;
	if (!(route.prefixLength >= 0 && route.prefixLength <= bits)) {
		return { errno: Errno.EINVAL, message: `A prefix length is 0 to ${bits}` };
	}
	const network = edgeOf(route.destination, route.prefixLength, octets, 0);
	if (
		route.family === Family.Ipv4 &&
		!prefixMatches(route.destination, network, bits, route.family)
	) {
		return { errno: Errno.EINVAL, message: 'Invalid prefix for given prefix length' };
	}
	const refusal = stack.routes(route.family).add({ ...route, destination: network });
	stack.hasOwnIpv4Ways ||= route.family === Family.Ipv4 && route.kind === 'local';
	routesChanged(stack);
	return refusal;
}

export function replaceRoute(stack: Stack, config: RouteConfig): Refusal | undefined {
	const route = resolveRoute(stack, config);
	if ('errno' in route) {
		return route;
	}
	const { family, destination, prefixLength, table, metric } = config;
	const place = {
		family,
		destination,
		prefixLength,
		table: table ?? RouteTable.Main,
		metric: metric ?? (family === Family.Ipv4 ? 0 : 1024),
	};
	stack.routes(family).remove(place);
	return addRoute(stack, config);
}

export function removeRoute(stack: Stack, config: RouteConfig): Refusal | undefined {
	const refusal = stack.routes(config.family).remove(config);
	routesChanged(stack);
	return refusal;
}
