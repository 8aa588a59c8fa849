/**
 * The sysctls that a host obeys, by their Linux names. Those of XFRM belong to the engine, those of
 * devices to the device; the rate limit of ICMPv6 is accepted and has no effect.
 */
import { Errno, type Refusal } from '@xfrm/wire/xfrm';
import { defaultConf, type FamilyConf } from './device.ts';
import type { Stack } from './stack.ts';

/** Settings of the whole host. */
export class Sysctls {
	ip_default_ttl: number = 64;
	icmp_echo_ignore_all: number = 0;
	icmpv6_echo_ignore_all: number = 0;
	/** Milliseconds between ICMP errors to a peer; here 0, no limit, unless set (Linux: 1000). */
	icmp_ratelimit: number = 0;
	icmpv6_ratelimit: number = 0;
	/** 0: packets made here have flow label 0; else a random one. */
	auto_flowlabels: number = 1;
	/** conf.all of both families: ORed with the device's own; of rp_filter the higher counts. */
	readonly all4: FamilyConf = defaultConf();
	readonly all6: FamilyConf = defaultConf();
}

/** Where a setting lives. */
interface Place {
	read(): number;
	write(value: number): void;
}

function field<K extends string>(object: { [P in K]: number }, name: K): Place {
	return {
		read: () => object[name],
		write: (value) => {
			object[name] = value;
		},
	};
}

/** Settings without an effect here, accepted so that a kernel's settings can be taken over. */
const IGNORED: ReadonlySet<string> = new Set(['accept_dad', 'addr_gen_mode']);

/** The setting of this name, undefined for one that is not supported. */
export function findSysctl(stack: Stack, name: string): Place | undefined {
	const path = name.includes('/') ? name.split('/') : name.split('.');
	const [net, area, ...rest] = path;
	const { sysctls } = stack;
	if (net !== 'net') {
		return undefined;
	}
	const key = rest.join('.');
	const xfrm = stack.engine.net.sysctl;
	switch (`${area}.${key}`) {
		case 'core.xfrm_aevent_etime':
		case 'core.xfrm_aevent_rseqth':
		case 'core.xfrm_larval_drop':
		case 'core.xfrm_acq_expires':
			return field(xfrm, key as 'xfrm_aevent_etime');
		case 'ipv4.ip_no_pmtu_disc':
			return field(xfrm, 'ip_no_pmtu_disc');
		case 'ipv4.ip_forward':
			return forwardingOfAll(stack, 4);
		case 'ipv4.ip_default_ttl':
		case 'ipv4.icmp_echo_ignore_all':
		case 'ipv4.icmp_ratelimit':
			return field(sysctls, key as 'ip_default_ttl');
		case 'ipv6.icmp.echo_ignore_all':
			return field(sysctls, 'icmpv6_echo_ignore_all');
		case 'ipv6.auto_flowlabels':
			return field(sysctls, 'auto_flowlabels');
		case 'ipv6.icmp.ratelimit':
			return field(sysctls, 'icmpv6_ratelimit');
	}
	const [conf, device, ...last] = rest;
	return conf === 'conf' && device !== undefined && (area === 'ipv4' || area === 'ipv6')
		? findConf(stack, area === 'ipv4' ? 4 : 6, device, last.join('.'))
		: undefined;
}

/** conf.all.forwarding also sets default and every device, as in Linux. */
function forwardingOfAll(stack: Stack, version: 4 | 6): Place {
	const all = version === 4 ? stack.sysctls.all4 : stack.sysctls.all6;
	return {
		read: () => all.forwarding,
		write: (value) => {
			all.forwarding = value;
			(version === 4 ? stack.devices.default4 : stack.devices.default6).forwarding = value;
			for (const device of stack.devices.all()) {
				(version === 4 ? device.conf4 : device.conf6).forwarding = value;
			}
		},
	};
}

function findConf(stack: Stack, version: 4 | 6, device: string, name: string): Place | undefined {
	if (device === 'all' && name === 'forwarding') {
		return forwardingOfAll(stack, version);
	}
	let conf: FamilyConf | undefined;
	if (device === 'all') {
		conf = version === 4 ? stack.sysctls.all4 : stack.sysctls.all6;
	} else if (device === 'default') {
		conf = version === 4 ? stack.devices.default4 : stack.devices.default6;
	} else {
		const found = stack.devices.named(device);
		conf = version === 4 ? found?.conf4 : found?.conf6;
	}
	if (conf === undefined) {
		return undefined;
	}
	switch (name) {
		case 'forwarding':
		case 'disable_policy':
		case 'accept_source_route':
			return field(conf, name);
		case 'disable_xfrm':
		case 'send_redirects':
		case 'rp_filter':
		case 'accept_local':
		case 'src_valid_mark':
			return version === 4 ? field(conf, name) : undefined;
		case 'hop_limit':
			return version === 6 ? field(conf, name) : undefined;
	}
	return IGNORED.has(name) ? { read: () => 0, write: () => undefined } : undefined;
}

/** Sets a sysctl; ENOENT for one that is not supported, EINVAL for what is no integer. */
export function setSysctl(stack: Stack, name: string, value: number): Refusal | undefined {
	const place = findSysctl(stack, name);
	if (place === undefined) {
		return { errno: Errno.ENOENT, message: `No sysctl ${name}` };
	}
	if (!Number.isInteger(value)) {
		return { errno: Errno.EINVAL };
	}
	place.write(value);
	stack.routeGeneration++;
	return undefined;
}
