/**
 * Carries the commands of host-command.ts out on a host. A device that is named but was never made is
 * made then, with the next interface number (design: "interface names get indexes by first mention").
 */
import type { Host } from '@xfrm/host';
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
		case 'address':
			ensureDevice(host, command.config.device);
			return command.verb === 'add'
				? host.addAddress(command.config)
				: host.removeAddress(command.config);
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
	const { device, settings, verb } = command;
	if (verb === 'del') {
		return host.removeDevice(device);
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

/** A refusal as `ip` prints it. */
export function refusalText(refusal: Refusal): string {
	return refusal.message === undefined
		? `RTNETLINK answers: ${errnoText(refusal.errno)}`
		: `Error: ${refusal.message}.`;
}
