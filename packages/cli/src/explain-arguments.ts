/**
 * The command line of `xfrm explain`: what is said once (rules, host) and what is asked, in order, each
 * packet with the options that stand before it.
 */
import { parseArgs } from 'node:util';
import { PROFILES } from '@xfrm/engine';
import {
	InputError,
	type PacketOptions,
	parseWhyNot,
	protocolNumber,
	type StreamOptions,
	type WhyNotQuestion,
} from '@xfrm/explain';
import { parseHex } from '@xfrm/wire';
import { IpProto, parseAddress } from '@xfrm/wire/xfrm';
import { namedTarget, type Target } from './target.ts';
import { UsageError } from './usage.ts';
import { PROFILE_DEFAULT } from './version.ts';

/** Something to be carried out in order. */
export interface Item {
	readonly text: string;
	readonly options: PacketOptions;
	/** Unix seconds, or seconds after load. */
	readonly time?: { readonly seconds: number; readonly relative: boolean };
}

export interface EncapSocket {
	readonly port: number;
	readonly type: 'espinudp' | 'espinudp-nonike';
}

export interface ListeningSocket {
	readonly proto: number;
	/** Of UDP. */
	readonly port?: number;
}

/** How many the host has, so that no `pcpu-num` of a real machine is refused. */
export const PROCESSORS_MAX = 256;

export interface ExplainArguments {
	readonly rules: readonly string[];
	readonly hosts: readonly string[];
	readonly locals: readonly string[];
	readonly routes: readonly string[];
	readonly sysctls: readonly (readonly [name: string, value: number])[];
	readonly encaps: readonly EncapSocket[];
	/** No socket with UDP_ENCAP but those: `--encap none`. */
	readonly encapNone: boolean;
	/** Sockets that listen; undefined: everywhere. */
	readonly listeners: readonly ListeningSocket[] | undefined;
	/** Established TCP connections that may carry ESP. */
	readonly streams: readonly StreamOptions[];
	readonly listener: boolean;
	readonly profile: keyof typeof PROFILES;
	readonly json: boolean;
	readonly strict: boolean;
	readonly showKeys: boolean;
	/** Rules in force and the host here, in place of `rules`. */
	readonly target: Target | undefined;
	/** In place of `items`: a packet that the daemon has dropped, 0 the newest. */
	readonly drop: number | undefined;
	/** The answer alone, without the way. */
	readonly brief: boolean;
	/** Packets by their header fields. */
	readonly bytes: boolean;
	readonly steps: boolean;
	/** The other end too, by these rules, or by ours seen from there. */
	readonly both: boolean;
	readonly peerRules: readonly string[];
	readonly whyNot: readonly WhyNotQuestion[];
	/** Are fixes looked for? */
	readonly fix: boolean;
	readonly items: readonly Item[];
}

const OPTIONS = {
	rules: { type: 'string', multiple: true },
	host: { type: 'string', multiple: true },
	local: { type: 'string', multiple: true },
	route: { type: 'string', multiple: true },
	sysctl: { type: 'string', multiple: true },
	encap: { type: 'string', multiple: true },
	listen: { type: 'string', multiple: true },
	tcp: { type: 'string', multiple: true },
	'no-listener': { type: 'boolean' },
	profile: { type: 'string' },
	json: { type: 'boolean' },
	strict: { type: 'boolean' },
	'show-keys': { type: 'boolean' },
	kernel: { type: 'boolean' },
	daemon: { type: 'boolean' },
	'last-drop': { type: 'boolean' },
	drop: { type: 'string' },
	brief: { type: 'boolean' },
	bytes: { type: 'boolean' },
	steps: { type: 'boolean' },
	both: { type: 'boolean' },
	'peer-rules': { type: 'string', multiple: true },
	'why-not': { type: 'string', multiple: true },
	'no-fix': { type: 'boolean' },
	dir: { type: 'string', multiple: true },
	mark: { type: 'string', multiple: true },
	'if-id': { type: 'string', multiple: true },
	dev: { type: 'string', multiple: true },
	time: { type: 'string', multiple: true },
	sender: { type: 'string', multiple: true },
	cpu: { type: 'string', multiple: true },
	iv: { type: 'string', multiple: true },
	seq: { type: 'string', multiple: true },
	'ip-id': { type: 'string', multiple: true },
	padding: { type: 'string', multiple: true },
} as const;

/**
 * Reads the arguments behind `explain`.
 *
 * @throws UsageError with what was found and what was expected
 */
export function parseExplainArguments(args: readonly string[]): ExplainArguments {
	const { values, tokens } = tokensOf(args);
	const items: Item[] = [];
	let options: Draft<PacketOptions> = {};
	let time: Item['time'];
	for (const token of tokens) {
		if (token.kind === 'positional') {
			items.push({ text: token.value, options, ...(time === undefined ? {} : { time }) });
			time = undefined;
		} else if (token.kind === 'option' && token.name === 'time') {
			time = parseTime(token.value ?? '');
		} else if (token.kind === 'option') {
			options = withOption(options, token.name, token.value ?? '');
		}
	}
	const profile = values.profile ?? PROFILE_DEFAULT;
	if (!isProfile(profile)) {
		throw found(profile, `--profile ${Object.keys(PROFILES).join('|')}`);
	}
	checkContradictions(values);
	const drop = dropOf(values, items.length);
	const target = namedTarget(values);
	if (values.rules === undefined && target === undefined) {
		throw new UsageError(
			'found no rules, expected --rules FILE, or --kernel or --daemon for those in force here (see xfrm help explain)',
		);
	}
	if (items.length === 0 && drop === undefined) {
		throw new UsageError('found no packet, expected hex, @FILE, or a flow in quotes');
	}
	return {
		rules: values.rules ?? [],
		hosts: values.host ?? [],
		locals: values.local ?? [],
		routes: values.route ?? [],
		sysctls: (values.sysctl ?? []).map(parseSysctl),
		encaps: (values.encap ?? []).filter((text) => text !== 'none').map(parseEncap),
		encapNone: values.encap?.includes('none') === true,
		listeners: values.listen?.filter((text) => text !== 'none').map(parseListener),
		streams: (values.tcp ?? []).map(parseStream),
		listener: values['no-listener'] !== true,
		profile,
		json: values.json === true,
		strict: values.strict === true,
		showKeys: values['show-keys'] === true,
		target,
		drop,
		brief: values.brief === true,
		bytes: values.bytes === true,
		steps: values.steps === true,
		both: values.both === true || values['peer-rules'] !== undefined,
		peerRules: values['peer-rules'] ?? [],
		whyNot: (values['why-not'] ?? []).map(whyNotQuestion),
		fix: values['no-fix'] !== true,
		items,
	};
}

/** Which of the daemon's dropped packets is asked about, if one is. */
function dropOf(values: ReturnType<typeof parse>['values'], packets: number): number | undefined {
	const { drop = values['last-drop'] === true ? '1' : undefined } = values;
	if (drop === undefined) {
		return undefined;
	}
	if (values.daemon !== true || packets > 0) {
		throw new UsageError(
			'found --last-drop or --drop, expected --daemon beside it, and no packet of your own',
		);
	}
	const number = parseNumber(drop, '--drop', 1000);
	if (number === 0) {
		throw found(drop, '--drop NUMBER, 1 the newest');
	}
	return number - 1;
}

/** Options that say the opposite of each other. */
function checkContradictions(values: ReturnType<typeof parse>['values']): void {
	const pairs = [
		['brief', 'steps'],
		['brief', 'bytes'],
	] as const;
	for (const [one, other] of pairs) {
		if (values[one] === true && values[other] === true) {
			throw new UsageError(`found --${one} and --${other}, expected one of them`);
		}
	}
	const target = namedTarget(values);
	if (target !== undefined && values.rules !== undefined) {
		throw new UsageError(
			`found --${target} and --rules, expected one of them (do:COMMAND adds to the rules of the ${target})`,
		);
	}
}

type Draft<T> = { -readonly [K in keyof T]: T[K] };

function tokensOf(args: readonly string[]): ReturnType<typeof parse> {
	try {
		return parse(args);
	} catch (error) {
		// parseArgs words its errors well, but for the advice behind the first sentence.
		const message = error instanceof Error ? error.message : String(error);
		throw new UsageError(message.split('. ')[0] ?? message);
	}
}

function parse(args: readonly string[]) {
	return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true, tokens: true });
}

function isProfile(name: string): name is keyof typeof PROFILES {
	return Object.hasOwn(PROFILES, name);
}

function found(value: string, expected: string): UsageError {
	return new UsageError(`found "${value}", expected ${expected}`);
}

/** The options with one more; a word that is no packet option changes nothing. */
function withOption(
	options: Draft<PacketOptions>,
	name: string,
	value: string,
): Draft<PacketOptions> {
	switch (name) {
		case 'dir':
			if (value !== 'in' && value !== 'out' && value !== 'fwd') {
				throw found(value, '--dir out|in|fwd');
			}
			return { ...options, direction: value };
		case 'mark':
			return { ...options, mark: parseNumber(value, '--mark', 0xffffffff) };
		case 'if-id':
			return { ...options, ifId: parseNumber(value, '--if-id', 0xffffffff) };
		case 'dev':
			return { ...options, device: value };
		case 'sender':
			if (value !== 'socket' && value !== 'hdrincl' && value !== 'udp') {
				throw found(value, '--sender socket|hdrincl|udp');
			}
			return { ...options, sender: value };
		case 'cpu':
			return { ...options, processor: parseNumber(value, '--cpu', PROCESSORS_MAX - 1) };
		case 'iv':
			return { ...options, iv: parseBytes(value, '--iv') };
		case 'padding':
			return { ...options, padding: parseBytes(value, '--padding') };
		case 'seq':
			return { ...options, seq: parseNumber(value, '--seq', 0xffffffff) };
		case 'ip-id':
			return { ...options, ipId: parseNumber(value, '--ip-id', 0xffff) };
		default:
			return options;
	}
}

function parseNumber(text: string, option: string, max: number): number {
	const value = /^(0[xX][0-9a-fA-F]+|[0-9]+)$/.test(text) ? Number(text) : Number.NaN;
	if (!(value <= max)) {
		throw found(text, `${option} NUMBER, at most ${max}`);
	}
	return value;
}

function parseBytes(text: string, option: string): Uint8Array {
	const bytes = parseHex(text);
	if (bytes instanceof Uint8Array) {
		return bytes;
	}
	throw new UsageError(
		`${option}: character ${bytes.at + 1}: found "${bytes.found}", expected ${bytes.expected}`,
	);
}

function parseTime(text: string): NonNullable<Item['time']> {
	const match = /^(\+?)([0-9]+(?:\.[0-9]+)?)$/.exec(text);
	if (match === null) {
		throw found(text, '--time UNIX-SECONDS or +SECONDS');
	}
	return { seconds: Number(match[2]), relative: match[1] === '+' };
}

/** A policy or state by name. */
function whyNotQuestion(text: string): WhyNotQuestion {
	try {
		return parseWhyNot(text);
	} catch (error) {
		throw error instanceof InputError ? new UsageError(`--why-not: ${error.message}`) : error;
	}
}

function parseSysctl(text: string): readonly [string, number] {
	const at = text.indexOf('=');
	const value = Number(text.slice(at + 1));
	if (at < 1 || text.length === at + 1 || !Number.isInteger(value)) {
		throw found(text, '--sysctl KEY=NUMBER');
	}
	return [text.slice(0, at), value];
}

function parseEncap(text: string): EncapSocket {
	const match = /^([0-9]{1,5})(?:\/(espinudp|espinudp-nonike))?$/.exec(text);
	const port = Number(match?.[1]);
	if (match === null || port < 1 || port > 65535) {
		throw found(text, '--encap PORT[/espinudp|espinudp-nonike] or --encap none');
	}
	return { port, type: match[2] === 'espinudp-nonike' ? 'espinudp-nonike' : 'espinudp' };
}

/** `udp/53`, or a protocol of raw sockets by name or number. */
function parseListener(text: string): ListeningSocket {
	const [name = '', port] = text.split('/');
	const proto = protocolNumber(name);
	const number = Number(port);
	const isPort = port === undefined || (/^[0-9]+$/.test(port) && number > 0 && number < 65536);
	if (proto === undefined || !isPort || (proto === IpProto.Udp) !== (port !== undefined)) {
		throw found(text, '--listen udp/PORT, --listen PROTOCOL for a raw socket, or --listen none');
	}
	if (proto === IpProto.Tcp) {
		throw found(text, '--listen udp/PORT or the PROTOCOL of a raw socket: there is no TCP here');
	}
	return port === undefined ? { proto } : { proto, port: number };
}

/** `192.0.2.1:4500,198.51.100.7:33000`, ours first; `/plain` behind it: not for ESP. */
function parseStream(text: string): StreamOptions {
	const ends = text.replace(/\/plain$/, '').split(',');
	const [local, remote] = ends.map((end) => {
		const match = /^\[?([0-9a-fA-F.:]+?)\]?:([0-9]{1,5})$/.exec(end);
		const parsed = parseAddress(match?.[1] ?? '');
		return parsed === undefined ? undefined : { ...parsed, port: Number(match?.[2]) };
	});
	if (ends.length !== 2 || local === undefined || remote?.family !== local.family) {
		throw found(text, '--tcp ADDRESS:PORT,ADDRESS:PORT (ours, the peer’s)');
	}
	return {
		family: local.family,
		local: local.address,
		localPort: local.port,
		remote: remote.address,
		remotePort: remote.port,
		espInTcp: !text.endsWith('/plain'),
	};
}
