/**
 * Making and changing XFRM interfaces and VTI devices, with the kernel's refusals
 * (net/xfrm/xfrm_interface_core.c: xfrmi_newlink, xfrmi_changelink; net/ipv4/ip_vti.c, net/ipv6/ip6_vti.c).
 */
import { type Answer, answer, refuse } from '@xfrm/engine';
import { addressEquals, anyAddress, Errno, Family, type Refusal } from '@xfrm/wire/xfrm';
import type { Device } from './device.ts';
import { routeOutput } from './route-lookup.ts';
import type { Stack } from './stack.ts';
import type {
	VirtualLink,
	VirtualLinkConfig,
	VtiLink,
	VtiLinkConfig,
	XfrmLink,
} from './virtual-link.ts';

/** Octets of the outer header that a VTI device leaves room for. */
const VTI_HEADER_OCTETS: Readonly<Record<VtiLinkConfig['type'], number>> = { vti: 20, vti6: 40 };
/** MTU of a vti6 device whose other end nobody knows a way to. */
const VTI6_MTU_DEFAULT = 1332;
const VTI_MTU_DEFAULT = 1480;

/** Kernel modules by link type. */
const MODULES: Readonly<Record<VirtualLinkConfig['type'], string>> = {
	xfrm: 'xfrm_interface',
	vti: 'ip_vti',
	vti6: 'ip6_vti',
};

/** The resolved form of what was said. */
function resolve(stack: Stack, config: VirtualLinkConfig): VirtualLink | Refusal {
	const named = config.link === undefined ? undefined : stack.devices.named(config.link);
	if (config.link !== undefined && named === undefined) {
		return { errno: Errno.ENODEV };
	}
	const link = named?.ifindex ?? 0;
	if (config.type === 'xfrm') {
		const { ifId = 0, external = false } = config;
		return { kind: 'xfrm', ifId: ifId | 0, link, external };
	}
	const { local, remote, inKey = 0, outKey = 0 } = config;
	return {
		kind: 'vti',
		family: config.type === 'vti' ? Family.Ipv4 : Family.Ipv6,
		local: local ?? anyAddress(),
		remote: remote ?? anyAddress(),
		inKey: inKey | 0,
		outKey: outKey | 0,
		link,
	};
}

/**
 * Makes a virtual device, down. Its module is loaded from then on.
 *
 * @spec X-1 X-2
 */
export function addVirtualDevice(
	stack: Stack,
	name: string,
	config: VirtualLinkConfig,
	ifindex: number | undefined,
): Answer<Device> {
	if (stack.devices.named(name) !== undefined) {
		return refuse(Errno.EEXIST);
	}
	const link = resolve(stack, config);
	const refusal = 'errno' in link ? link : mayBeMade(stack, link);
	if ('errno' in link || refusal !== undefined) {
		return refuse(refusal?.errno ?? Errno.EINVAL, refusal?.message);
	}
	const added = stack.devices.add(name, ifindex);
	if ('errno' in added) {
		return refuse(added.errno, added.message);
	}
	stack.devices.makeVirtual(added, link);
	if (config.type !== 'xfrm' && link.kind === 'vti') {
		added.mtu = vtiMtu(stack, config.type, link);
	}
	stack.engine.net.modules.add(MODULES[config.type]);
	stack.routeGeneration++;
	return answer(added);
}

function mayBeMade(stack: Stack, link: VirtualLink): Refusal | undefined {
	if (link.kind === 'vti') {
		return vtiTwin(stack, link) === undefined ? undefined : { errno: Errno.EEXIST };
	}
	if (link.external) {
		if (link.ifId !== 0 || link.link !== 0) {
			return { errno: Errno.EINVAL, message: 'link and if_id must be zero' };
		}
		const other = xfrmDevices(stack).find(([, its]) => its.external);
		return other === undefined ? undefined : { errno: Errno.EEXIST };
	}
	if (link.ifId === 0) {
		return { errno: Errno.EINVAL, message: 'if_id must be non zero' };
	}
	return withIfId(stack, link.ifId) === undefined ? undefined : { errno: Errno.EEXIST };
}

function xfrmDevices(stack: Stack): [Device, XfrmLink][] {
	const found: [Device, XfrmLink][] = [];
	for (const device of stack.devices.virtual) {
		if (device.virtual?.kind === 'xfrm') {
			found.push([device, device.virtual]);
		}
	}
	return found;
}

function withIfId(stack: Stack, ifId: number): Device | undefined {
	return xfrmDevices(stack).find(([, its]) => !its.external && its.ifId === ifId)?.[0];
}

/** Two VTI devices are told apart by their addresses and link, not by their keys. */
function vtiTwin(stack: Stack, link: VtiLink): Device | undefined {
	return stack.devices.virtual.find(
		({ virtual }) =>
			virtual?.kind === 'vti' &&
			virtual.family === link.family &&
			virtual.link === link.link &&
			addressEquals(virtual.local, link.local, link.family) &&
			addressEquals(virtual.remote, link.remote, link.family),
	);
}

/** The MTU of the way to the other end, less the outer header. */
function vtiMtu(stack: Stack, type: VtiLinkConfig['type'], link: VtiLink): number {
	const route = routeOutput(stack, link.family, link.remote, link.local, 0, link.link);
	const out = typeof route === 'number' ? undefined : stack.devices.numbered(route.ifindex);
	if (out === undefined || out.loopback) {
		return type === 'vti' ? VTI_MTU_DEFAULT : VTI6_MTU_DEFAULT;
	}
	return out.mtu - VTI_HEADER_OCTETS[type];
}

/**
 * `ip link change NAME type …`. Another if_id is taken and counts from the next packet on; link and
 * `external` stay what they are.
 *
 * @spec X-1
 */
export function changeVirtualDevice(
	stack: Stack,
	name: string,
	config: VirtualLinkConfig,
): Refusal | undefined {
	const device = stack.devices.named(name);
	if (device === undefined) {
		return { errno: Errno.ENODEV };
	}
	const { virtual } = device;
	const link = resolve(stack, config);
	if ('errno' in link) {
		return link;
	}
	if (virtual?.kind !== link.kind) {
		return { errno: Errno.EOPNOTSUPP };
	}
	const refusal =
		virtual.kind === 'xfrm' && link.kind === 'xfrm'
			? mayChangeXfrm(stack, device, virtual, link)
			: mayChangeVti(stack, device, virtual, link);
	if (refusal !== undefined) {
		return refusal;
	}
	device.virtual = link;
	stack.routeGeneration++;
	return undefined;
}

function mayChangeXfrm(
	stack: Stack,
	device: Device,
	before: XfrmLink,
	link: XfrmLink,
): Refusal | undefined {
	if (link.ifId === 0) {
		return { errno: Errno.EINVAL, message: 'if_id must be non zero' };
	}
	const other = withIfId(stack, link.ifId);
	if (other !== undefined && other !== device) {
		return { errno: Errno.EEXIST };
	}
	if (before.external || link.external) {
		return { errno: Errno.EINVAL, message: "collect_md can't be changed" };
	}
	return before.link === link.link ? undefined : { errno: Errno.EINVAL };
}

function mayChangeVti(
	stack: Stack,
	device: Device,
	before: VirtualLink,
	link: VirtualLink,
): Refusal | undefined {
	if (before.kind !== 'vti' || link.kind !== 'vti' || before.family !== link.family) {
		return { errno: Errno.EOPNOTSUPP };
	}
	const other = vtiTwin(stack, link);
	return other === undefined || other === device ? undefined : { errno: Errno.EEXIST };
}
