/**
 * What `ip address|route|rule|link` says, as values: command lines, abbreviated as `ip` allows, and what
 * `ip` prints for the same objects (`ip addr`, `ip route`, `ip rule`, each with or without `-o`, `-br`),
 * so that a user can paste either. Only what decides a packet's way is kept; the rest is read over.
 *
 * Carrying a command out on a host is host-setup.ts's business.
 */
import type { AddressConfig, DeviceSettings, RouteConfig, RuleConfig } from '@xfrm/host';
import { type Address, anyAddress, Family, parseAddress } from '@xfrm/wire/xfrm';
import { InputError, type Word } from './input.ts';

/** `ip address add|replace|del`. */
export interface AddressCommand {
	readonly object: 'address';
	readonly verb: 'add' | 'del';
	readonly config: AddressConfig;
}

/** `ip route add|replace|append|del`. */
export interface RouteCommand {
	readonly object: 'route';
	readonly verb: 'add' | 'replace' | 'append' | 'del';
	readonly config: RouteConfig;
}

/** `ip rule add|del`. */
export interface RuleCommand {
	readonly object: 'rule';
	readonly verb: 'add' | 'del';
	readonly config: RuleConfig;
}

/** `ip link set|add|del`, and the first line of `ip addr` or `ip link` output. */
export interface LinkCommand {
	readonly object: 'link';
	readonly verb: 'set' | 'add' | 'del';
	readonly device: string;
	readonly type?: string;
	readonly settings: DeviceSettings;
}

export type HostCommand = AddressCommand | RouteCommand | RuleCommand | LinkCommand;

/** The objects of `ip` in its own order: a prefix means the first that it fits. */
const OBJECTS = ['address', 'addrlabel', 'maddress', 'route', 'rule', 'neighbor', 'link', 'xfrm'];

/** Verbs by object, in the order of the tool's tests. */
const VERBS: Readonly<Record<string, readonly string[]>> = {
	address: ['add', 'change', 'chg', 'replace', 'delete', 'list', 'show', 'lst', 'flush'],
	route: [
		'list',
		'show',
		'lst',
		'get',
		'add',
		'change',
		'chg',
		'replace',
		'prepend',
		'append',
	].concat(['test', 'delete', 'flush']),
	rule: ['list', 'show', 'lst', 'add', 'delete', 'flush'],
	link: ['add', 'set', 'change', 'replace', 'delete', 'show', 'lst', 'list'],
};

const ROUTE_KINDS = [
	'unicast',
	'local',
	'broadcast',
	'unreachable',
	'blackhole',
	'prohibit',
] as const;
const TABLES: Readonly<Record<string, number>> = { default: 253, main: 254, local: 255, all: 0 };

/** The word of `list` that `text` is or abbreviates; the first one as in `ip`. */
function unabbreviate(text: string, list: readonly string[]): string | undefined {
	return text === '' ? undefined : list.find((word) => word.startsWith(text));
}

interface Prefix {
	readonly address: Address;
	readonly family: number;
	readonly prefixLength: number;
}

/** Walks through the words of one line, with errors that name the column. */
class Reader {
	readonly words: readonly Word[];
	at: number = 0;

	constructor(words: readonly Word[]) {
		this.words = words;
	}

	peek(): string | undefined {
		return this.words[this.at]?.text;
	}

	next(expected: string): string {
		const word = this.words[this.at];
		if (word === undefined) {
			const last = this.words[this.words.length - 1];
			const column = last === undefined ? 1 : last.column + last.text.length;
			throw new InputError({ column, found: 'the end of the line', expected });
		}
		this.at++;
		return word.text;
	}

	/** Takes the word when it is this one. */
	take(text: string): boolean {
		if (this.peek() === text) {
			this.at++;
			return true;
		}
		return false;
	}

	/** Refuses the word just taken. */
	refuse(expected: string): InputError {
		const word = this.words[this.at - 1];
		return new InputError({
			column: word?.column ?? 1,
			found: `"${word?.text ?? ''}"`,
			expected,
		});
	}

	number(expected: string): number {
		const text = this.next(expected);
		const value = /^(0[xX][0-9a-fA-F]+|[0-9]+)$/.test(text) ? Number(text) : Number.NaN;
		if (!(value <= 0xffffffff)) {
			throw this.refuse(expected);
		}
		return value;
	}

	/** An address with or without a prefix length, `default`, `any` or `all`. */
	prefix(family: number, expected: string): Prefix {
		const text = this.next(expected);
		if (text === 'default' || text === 'any' || text === 'all') {
			return { address: anyAddress(), family, prefixLength: 0 };
		}
		const [host = '', length, ...more] = text.split('/');
		// `ip route` prints 10.0.0.0/8 as "10/8" no more, but still takes a shortened IPv4 prefix.
		const full =
			/^[0-9]+(\.[0-9]+){0,2}$/.test(host) && length !== undefined ? padIpv4(host) : host;
		const parsed = parseAddress(full);
		const most = parsed?.family === Family.Ipv4 ? 32 : 128;
		const bits = length === undefined ? most : /^[0-9]{1,3}$/.test(length) ? Number(length) : -1;
		if (parsed === undefined || bits < 0 || bits > most || more.length > 0) {
			throw this.refuse(expected);
		}
		return { address: parsed.address, family: parsed.family, prefixLength: bits };
	}

	address(expected: string): { address: Address; family: number } {
		const parsed = parseAddress(this.next(expected).replace(/%.*$/, ''));
		if (parsed === undefined) {
			throw this.refuse(expected);
		}
		return parsed;
	}

	table(): number {
		const text = this.next('a routing table');
		const named = TABLES[text];
		if (named !== undefined) {
			return named;
		}
		if (!/^(0x[0-9a-fA-F]+|[0-9]+)$/.test(text)) {
			throw this.refuse('a routing table: a number, main, local or default');
		}
		return Number(text);
	}
}

function padIpv4(host: string): string {
	return [...host.split('.'), '0', '0', '0'].slice(0, 4).join('.');
}

/**
 * Reads one line: what commands it stands for (none for a line that says nothing of addresses, routes,
 * rules or links). `context` carries the device that output lines of `ip addr` belong to.
 *
 * @throws InputError with column, what was found and what was expected
 */
export function parseHostLine(
	words: readonly Word[],
	context: { device: string | undefined },
): readonly HostCommand[] {
	const reader = new Reader(words);
	if (reader.peek() === '$') {
		reader.at++;
	}
	const command = reader.take('ip');
	let family: number = Family.Unspec;
	while (reader.peek()?.startsWith('-') === true) {
		const option = reader.next('an option');
		family = /^-(6|family=?inet6)$/.test(option)
			? Family.Ipv6
			: option === '-4'
				? Family.Ipv4
				: family;
	}
	const first = reader.peek() ?? '';
	const object = /^[a-z]+$/.test(first) ? unabbreviate(first, OBJECTS) : undefined;
	const verbs = object === undefined ? undefined : VERBS[object];
	const second = reader.words[reader.at + 1]?.text;
	const verb = second === undefined ? undefined : unabbreviate(second, verbs ?? []);
	if (object !== undefined && verbs !== undefined && verb !== undefined) {
		reader.at += 2;
		return parseCommand(reader, object, verb, family);
	}
	if (command) {
		if (object === undefined || verbs === undefined) {
			reader.next('address, route, rule or link');
			throw reader.refuse('address, route, rule or link');
		}
		if (second === undefined) {
			return []; // "ip route": the command whose output follows
		}
		reader.at += 2;
		throw reader.refuse(`one of ${verbs.join(', ')}`);
	}
	return parseOutput(reader, context, family);
}

function parseCommand(
	reader: Reader,
	object: string,
	verb: string,
	family: number,
): readonly HostCommand[] {
	if (['list', 'show', 'lst', 'get', 'test'].includes(verb)) {
		return [];
	}
	if (verb === 'flush') {
		throw reader.refuse('add, replace or delete: flush is not carried out here');
	}
	switch (object) {
		case 'address':
			return [parseAddressCommand(reader, verb)];
		case 'route':
			return [parseRoute(reader, routeVerb(verb), family)];
		case 'rule':
			return [parseRule(reader, verb === 'delete' ? 'del' : 'add', family)];
		default:
			return [parseLink(reader, verb)];
	}
}

function routeVerb(verb: string): RouteCommand['verb'] {
	switch (verb) {
		case 'delete':
			return 'del';
		case 'change':
		case 'chg':
		case 'replace':
			return 'replace';
		case 'append':
			return 'append';
		default:
			return 'add';
	}
}

const ADDRESS_VALUES = /^(broadcast|brd|anycast|scope|label|metric|priority|proto|valid_lft)$/;
const ADDRESS_FLAGS =
	/^(nodad|mngtmpaddr|optimistic|autojoin|secondary|dynamic|permanent|-?tentative)$/;

function parseAddressCommand(reader: Reader, verb: string): AddressCommand {
	let local: Prefix | undefined;
	const config: Draft<Partial<AddressConfig>> = {};
	while (reader.peek() !== undefined) {
		const word = reader.next('a word');
		if (word === 'dev') {
			config.device = reader.next('a device');
		} else if (word === 'home' || word === 'homeaddress') {
			config.home = true;
		} else if (word === 'peer' || word === 'remote') {
			config.peer = reader.prefix(Family.Unspec, 'an address').address;
		} else if (word === 'noprefixroute') {
			config.noPrefixRoute = true;
		} else if (word === 'preferred_lft') {
			config.deprecated = reader.next('a time') === '0';
		} else if (ADDRESS_VALUES.test(word)) {
			reader.next('a value');
		} else if (!ADDRESS_FLAGS.test(word)) {
			reader.at -= word === 'local' ? 0 : 1;
			if (local !== undefined) {
				reader.next('dev');
				throw reader.refuse('dev DEVICE');
			}
			local = reader.prefix(Family.Unspec, 'an address with its prefix length');
		}
	}
	const { device } = config;
	if (local === undefined || device === undefined) {
		reader.next(local === undefined ? 'an address with its prefix length' : 'dev DEVICE');
		throw reader.refuse('an address and a device');
	}
	return {
		object: 'address',
		verb: verb === 'delete' ? 'del' : 'add',
		config: { ...config, ...local, device },
	};
}

type Draft<T> = { -readonly [K in keyof T]: T[K] };

function parseRoute(reader: Reader, verb: RouteCommand['verb'], family: number): RouteCommand {
	const named = ROUTE_KINDS.find((kind) => kind === reader.peek());
	if (named !== undefined) {
		reader.at++;
	}
	reader.take('to');
	const to = reader.prefix(family, 'a prefix or "default"');
	const config: Draft<RouteConfig> = {
		family: to.family,
		destination: to.address,
		prefixLength: to.prefixLength,
		...(named === undefined ? {} : { kind: named }),
	};
	while (reader.peek() !== undefined) {
		routeWord(reader, config);
	}
	if (config.family === Family.Unspec) {
		config.family = Family.Ipv4;
	}
	return { object: 'route', verb, config };
}

/** What `ip route` prints with a value that decides nothing here. */
const ROUTE_VALUES =
	/^(proto|protocol|scope|pref|error|weight|realms?|advmss|expires|window|rtt|rttvar|initcwnd)$/;

/** One word of a route with its value; flags are read over, as `ip route` prints many. */
function routeWord(reader: Reader, route: Draft<RouteConfig>): void {
	const word = reader.next('a word');
	switch (word) {
		case 'dev':
		case 'oif':
			route.device = reader.next('a device');
			return;
		case 'via': {
			if (reader.peek() === 'inet' || reader.peek() === 'inet6') {
				reader.at++;
			}
			const gateway = reader.address('the address of a gateway');
			route.gateway = gateway.address;
			route.family = route.family === Family.Unspec ? gateway.family : route.family;
			return;
		}
		case 'table':
			route.table = reader.table();
			return;
		case 'src': {
			const source = reader.address('a source address');
			route.source = source.address;
			route.family = route.family === Family.Unspec ? source.family : route.family;
			return;
		}
		case 'mtu':
			reader.take('lock');
			route.mtu = reader.number('an MTU');
			return;
		case 'hoplimit':
			route.hopLimit = reader.number('a hop limit');
			return;
		case 'tos':
		case 'dsfield':
			route.tos = reader.number('a TOS');
			return;
		case 'metric':
		case 'preference':
		case 'priority':
			route.metric = reader.number('a metric');
			return;
		case 'nexthop':
			throw reader.refuse('a route with one next hop: multipath routes are not supported');
		default:
			if (ROUTE_VALUES.test(word)) {
				reader.next('a value');
			}
	}
}

function parseRule(reader: Reader, verb: 'add' | 'del', family: number): RuleCommand {
	const config: Draft<Partial<RuleConfig>> & { family: number } = { family };
	while (reader.peek() !== undefined) {
		ruleWord(reader, config);
	}
	const action = config.action ?? { table: 254 };
	const resolved = config.family === Family.Unspec ? Family.Ipv4 : config.family;
	return { object: 'rule', verb, config: { ...config, family: resolved, action } };
}

function ruleWord(reader: Reader, rule: Draft<Partial<RuleConfig>> & { family: number }): void {
	const word = reader.next('a word');
	switch (word) {
		case 'from':
		case 'to': {
			const side = reader.prefix(rule.family, 'a prefix or "all"');
			rule.family = side.family;
			if (side.prefixLength > 0) {
				rule[word] = { address: side.address, prefixLength: side.prefixLength };
			}
			return;
		}
		case 'fwmark': {
			const [value = '', mask] = reader.next('a mark').split('/');
			const v = Number(value);
			const m = mask === undefined ? 0xffffffff : Number(mask);
			if (value === '' || !Number.isInteger(v) || !Number.isInteger(m)) {
				throw reader.refuse('a mark, or mark/mask');
			}
			rule.fwmark = v | 0;
			rule.fwmask = m | 0;
			return;
		}
		case 'iif':
		case 'dev':
			rule.iif = reader.next('a device');
			return;
		case 'oif':
			rule.oif = reader.next('a device');
			return;
		case 'tos':
		case 'dsfield':
			rule.tos = reader.number('a TOS');
			return;
		case 'lookup':
		case 'table':
			rule.action = { table: reader.table() };
			return;
		case 'pref':
		case 'priority':
		case 'preference':
		case 'order':
			rule.priority = reader.number('a priority');
			return;
		case 'unreachable':
		case 'blackhole':
		case 'prohibit':
			rule.action = word;
			return;
		default:
			if (word === 'proto' || word === 'protocol' || word === 'suppress_prefixlength') {
				reader.next('a value');
				return;
			}
			throw reader.refuse('from, to, fwmark, iif, oif, lookup, priority or an action');
	}
}

interface LinkDraft {
	device: string;
	type?: string;
	settings: Draft<DeviceSettings>;
}

function parseLink(reader: Reader, verb: string): LinkCommand {
	const link: LinkDraft = { device: '', settings: {} };
	while (reader.peek() !== undefined) {
		linkWord(reader, link);
	}
	if (link.device === '') {
		reader.next('a device');
	}
	return {
		object: 'link',
		verb: verb === 'delete' ? 'del' : verb === 'add' ? 'add' : 'set',
		...link,
	};
}

const LINK_VALUES =
	/^(local|remote|ikey|okey|key|master|address|qlen|txqueuelen|vrf|peer|if_id|link)$/;

function linkWord(reader: Reader, link: LinkDraft): void {
	const word = reader.next('a word');
	switch (word) {
		case 'dev':
		case 'name': {
			const name = reader.next('a device');
			link.device = link.device === '' ? name : link.device;
			return;
		}
		case 'up':
		case 'down':
			link.settings.up = word === 'up';
			return;
		case 'mtu':
			link.settings.mtu = reader.number('an MTU');
			return;
		case 'type':
			link.type = reader.next('a type');
			return;
		default:
			if (link.device === '') {
				link.device = word;
			} else if (LINK_VALUES.test(word)) {
				reader.next('a value');
			}
	}
}

/** A line that `ip` prints. */
function parseOutput(
	reader: Reader,
	context: { device: string | undefined },
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
		context.device = second.slice(0, -1).replace(/@.*$/, '');
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
	return [{ object: 'address', verb: 'add', config }];
}

function briefOutput(reader: Reader, device: string): readonly HostCommand[] {
	reader.at += 2;
	const commands: HostCommand[] = [];
	while (reader.peek()?.includes('/') === true) {
		const local = reader.prefix(Family.Unspec, 'an address with its prefix length');
		commands.push({ object: 'address', verb: 'add', config: { device, ...local } });
	}
	return commands;
}
