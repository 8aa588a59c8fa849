/** What `ip addr`, `ip link`, `ip route` and `ip rule` print, read back as the commands that lead there. */
import { Family } from '@xfrm/wire/xfrm';
import type { HostCommand } from './host-command.ts';
import type { Reader } from './host-line.ts';
import { describedXfrm } from './host-link.ts';
import { parseRoute } from './host-route.ts';
import { parseRule } from './host-rule.ts';

/** Which device the lines at hand belong to, and its link (`x0@wan`). */
export interface OutputContext {
	device: string | undefined;
	link?: string | undefined;
}

/** A line that `ip` prints. */
export function parseOutput(
	reader: Reader,
	context: OutputContext,
	family: number,
): readonly HostCommand[] {
	const first = reader.peek();
	if (first === undefined) {
		return [];
	}
	const numbered = /^[0-9]+:$/.test(first);
	const second = reader.words[reader.at + 1]?.text ?? '';
	if (numbered && second === 'from') {
		reader.at++;
		const rule = parseRule(reader, 'add', family);
		const priority = Number(first.slice(0, -1));
		// The three rules that every host has are there already.
		return [0, 32766, 32767].includes(priority)
			? []
			: [{ ...rule, config: { ...rule.config, priority } }];
	}
	if (numbered && second.endsWith(':')) {
		const [name = '', link] = second.slice(0, -1).split('@');
		context.device = name;
		context.link = link === 'NONE' ? undefined : link;
		return linkOutput(reader, context.device);
	}
	if (numbered) {
		context.device = second;
		reader.at += 2;
	}
	const word = reader.peek();
	if (word === 'inet' || word === 'inet6') {
		reader.at++;
		return addressOutput(reader, context.device);
	}
	if (/^(UP|DOWN|UNKNOWN|LOWERLAYERDOWN)$/.test(second) && !first.includes('/')) {
		return briefOutput(reader, first.replace(/@.*$/, ''));
	}
	if (word === 'xfrm' && context.device !== undefined) {
		const described = describedXfrm(reader, context.device, context.link);
		return described === undefined ? [] : [described];
	}
	if (word !== undefined && /^(link\/|valid_lft|RX|TX|altname|alias)/.test(word)) {
		return [];
	}
	if (/^[0-9]+$/.test(first)) {
		return []; // numbers of a statistics block
	}
	return [parseRoute(reader, 'append', family)];
}

function linkOutput(reader: Reader, device: string): readonly HostCommand[] {
	const flags = reader.words[reader.at + 2]?.text ?? '';
	const texts = reader.words.map((word) => word.text);
	const mtu = Number(texts[texts.indexOf('mtu') + 1]);
	const settings = {
		up: /[<,]UP[,>]/.test(flags),
		...(texts.includes('mtu') && mtu > 0 ? { mtu } : {}),
	};
	return [{ object: 'link', verb: 'set', device, settings }];
}

function addressOutput(reader: Reader, device: string | undefined): readonly HostCommand[] {
	const local = reader.prefix(Family.Unspec, 'an address with its prefix length');
	if (device === undefined) {
		throw reader.refuse('the line with the device before its addresses');
	}
	const texts = reader.words.map((word) => word.text);
	const config = { device, ...local, home: texts.includes('home') };
	// What a new device has by itself, lo's addresses, is told as well.
	return [{ object: 'address', verb: 'replace', config }];
}

function briefOutput(reader: Reader, device: string): readonly HostCommand[] {
	reader.at += 2;
	const commands: HostCommand[] = [];
	while (reader.peek()?.includes('/') === true) {
		const local = reader.prefix(Family.Unspec, 'an address with its prefix length');
		commands.push({ object: 'address', verb: 'replace', config: { device, ...local } });
	}
	return commands;
}
