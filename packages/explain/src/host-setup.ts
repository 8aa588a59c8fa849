/**
 * Carries the commands of host-command.ts out on a host. A device that is named but was never made is
 * made then, with the next interface number (design: "interface names get indexes by first mention").
 */
import type { Host, VirtualLinkConfig } from '@xfrm/host';
import { Errno, errnoText, type Refusal } from '@xfrm/wire/xfrm';
import type { HostCommand, LinkCommand } from './host-command.ts';

/** The device's name, made and set up when the host has none of this name. */
export function ensureDevice(host: Host, name: string): void {
	if (host.device(name) === undefined) {
		host.addDevice(name);
		host.setDevice(name, { up: true });
	}
}

/** Carries one command out; undefined when it was done, else why `ip` would refuse. */
export function applyHostCommand(host: Host, command: HostCommand): Refusal | undefined {
	switch (command.object) {
		case 'link':
			return applyLink(host, command);
		case 'module':
			host.engine.net.modules.add(command.name.replaceAll('-', '_'));
			return undefined;
		case 'address': {
			const { config, verb } = command;
			ensureDevice(host, config.device);
			if (verb === 'del') {
				return host.removeAddress(config);
			}
			const refusal = host.addAddress(config);
			return verb === 'replace' && refusal?.errno === Errno.EEXIST ? undefined : refusal;
		}
		case 'rule':
			return command.verb === 'add'
				? host.addRule(command.config)
				: host.removeRule(command.config);
		case 'route': {
			const { config, verb } = command;
			if (config.device !== undefined) {
				ensureDevice(host, config.device);
			}
			switch (verb) {
				case 'add':
					return host.addRoute(config);
				case 'append': {
					// What `ip route` prints repeats the routes that came with the addresses.
					const refusal = host.addRoute(config);
					return refusal?.errno === Errno.EEXIST ? undefined : refusal;
				}
				case 'replace':
					return host.replaceRoute(config);
				default:
					return host.removeRoute(config);
			}
		}
	}
}

function applyLink(host: Host, command: LinkCommand): Refusal | undefined {
	const { device, settings, verb, refusal, virtual } = command;
	if (refusal !== undefined) {
		const said: ToolRefusal = { errno: Errno.EINVAL, said: refusal };
		return said;
	}
	if (verb === 'del') {
		return host.removeDevice(device);
	}
	if (virtual !== undefined) {
		const refused = applyVirtual(host, command, virtual);
		return refused ?? host.setDevice(device, settings);
	}
	if (verb === 'add') {
		const made = host.addDevice(device);
		if (made.refusal !== undefined) {
			return made.refusal;
		}
	} else {
		ensureDevice(host, device);
	}
	return host.setDevice(device, settings);
}

/** Makes an XFRM interface or VTI device, or changes it; a link that nobody has named yet is made too. */
function applyVirtual(
	host: Host,
	command: LinkCommand,
	virtual: VirtualLinkConfig,
): Refusal | undefined {
	const { device, verb, describes } = command;
	if (virtual.link !== undefined) {
		ensureDevice(host, virtual.link);
	}
	if (verb !== 'add') {
		return host.changeVirtualDevice(device, virtual);
	}
	const before = host.device(device);
	if (describes !== true || before === undefined || before.virtual !== null) {
		return describes === true && before !== undefined
			? host.changeVirtualDevice(device, virtual)
			: host.addVirtualDevice(device, virtual).refusal;
	}
	// The line before has told of a device, this one tells what it is.
	const { ifindex, mtu, up } = before;
	host.removeDevice(device);
	const { refusal } = host.addVirtualDevice(device, virtual, ifindex);
	return refusal ?? host.setDevice(device, { mtu, up });
}

/** A refusal that `ip` makes itself, in its words. */
interface ToolRefusal extends Refusal {
	readonly said: string;
}

/** A refusal as `ip` prints it. */
export function refusalText(refusal: Refusal): string {
	if ('said' in refusal && typeof refusal.said === 'string') {
		return refusal.said;
	}
	return refusal.message === undefined
		? `RTNETLINK answers: ${errnoText(refusal.errno)}`
		: `Error: ${refusal.message}.`;
}
