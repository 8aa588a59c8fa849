/**
 * What `ip address|route|rule|link`, and `modprobe`, say, as values: command lines, abbreviated as `ip`
 * allows, and what `ip` prints for the same objects (`ip addr`, `ip route`, `ip rule`, each with or
 * without `-o`, `-br`), so that a user can paste either. Only what decides a packet's way is kept; the
 * rest is read over.
 *
 * Carrying a command out on a host is host-setup.ts's business.
 */
import { Family } from '@xfrm/wire/xfrm';
import { type AddressCommand, parseAddressCommand } from './host-address.ts';
import { Reader, unabbreviate } from './host-line.ts';
import { type LinkCommand, parseLink } from './host-link.ts';
import { type OutputContext, parseOutput } from './host-output.ts';
import { parseRoute, type RouteCommand, routeVerb } from './host-route.ts';
import { parseRule, type RuleCommand } from './host-rule.ts';
import type { Word } from './input.ts';

export type { AddressCommand, LinkCommand, RouteCommand, RuleCommand };

/** `modprobe NAME`: what a module changes by being loaded counts from then on. */
export interface ModuleCommand {
	readonly object: 'module';
	readonly name: string;
}

export type HostCommand = AddressCommand | RouteCommand | RuleCommand | LinkCommand | ModuleCommand;

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

/**
 * Reads one line: what commands it stands for (none for a line that says nothing of addresses, routes,
 * rules or links). `context` carries the device that output lines of `ip addr` belong to.
 *
 * @throws InputError with column, what was found and what was expected
 */
export function parseHostLine(
	words: readonly Word[],
	context: OutputContext,
): readonly HostCommand[] {
	const reader = new Reader(words);
	if (reader.peek() === '$') {
		reader.at++;
	}
	if (reader.take('modprobe')) {
		return [{ object: 'module', name: reader.next('a module') }];
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
