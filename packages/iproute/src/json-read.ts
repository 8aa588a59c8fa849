/** JSON of states and policies → messages as the kernel's dump has them. The value fits its schema already. */
import {
	attribute,
	keyOctets,
	MessageFlag,
	type NamedMessage,
	type XfrmAttribute,
} from '@xfrm/netlink';
import { encodeUtf8, parseHex } from '@xfrm/wire';
import {
	type Address,
	anySelector,
	type LifetimeConfig,
	type LifetimeCurrent,
	parseAddress,
	type Selector,
	type Template,
	UNLIMITED,
	UNUSED,
} from '@xfrm/wire/xfrm';
import type { CommandContext } from './command.ts';
import {
	EXTRA_FLAG_WORDS,
	type FlagWords,
	POLICY_FLAG_WORDS,
	STATE_FLAG_WORDS,
} from './flag-words.ts';
import {
	ACTION_WORDS,
	DIRECTION_WORDS,
	ENCAP_WORDS,
	LEVEL_WORDS,
	MODE_WORDS,
	PROTOCOL_WORDS,
	SHARE_WORDS,
	STATE_DIRECTION_WORDS,
	TYPE_WORDS,
} from './json-parts.ts';
import type { JsonValue } from './json-text.ts';
import { parseUnsigned } from './number-text.ts';
import { protocolNumber } from './protocol-names.ts';

/** Where a value is wrong though it fits the schema: an address that is none, an unknown device. */
export class WrongValue extends Error {
	readonly path: string;
	readonly found: string;
	readonly expected: string;

	constructor(path: string, found: string, expected: string) {
		super(`${path}: found ${found}, expected ${expected}`);
		this.name = 'WrongValue';
		this.path = path;
		this.found = found;
		this.expected = expected;
	}
}

/** An object of the document and its path. */
class Members {
	readonly path: string;
	readonly context: CommandContext;
	readonly #value: Readonly<Record<string, JsonValue>>;

	constructor(value: JsonValue, path: string, context: CommandContext) {
		this.path = path;
		this.context = context;
		const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
		this.#value = isObject ? (value as Readonly<Record<string, JsonValue>>) : {};
	}

	at(name: string): string {
		return this.path === '' ? name : `${this.path}.${name}`;
	}

	get(name: string): JsonValue | undefined {
		return Object.hasOwn(this.#value, name) ? this.#value[name] : undefined;
	}

	refuse(name: string, expected: string): never {
		throw new WrongValue(this.at(name), JSON.stringify(this.get(name) ?? null), expected);
	}

	text(name: string): string {
		const value = this.get(name);
		return typeof value === 'string' ? value : '';
	}

	number(name: string, absent: number = 0): number {
		const value = this.get(name);
		return typeof value === 'number' ? value : absent;
	}

	optional(name: string): number | undefined {
		const value = this.get(name);
		return typeof value === 'number' ? value : undefined;
	}

	/** null is no limit. */
	limit(name: string, absent: number): number {
		return this.get(name) === null ? Number.POSITIVE_INFINITY : this.number(name, absent);
	}

	/** Text in hexadecimal, a prefix 0x. */
	hex(name: string, absent: number = 0): number {
		const value = this.get(name);
		return typeof value === 'string' ? Number.parseInt(value, 16) : absent;
	}

	/** A word of a table, or a number. */
	word(name: string, words: Readonly<Record<number, string>>, absent: number = 0): number {
		const value = this.get(name);
		if (typeof value !== 'string') {
			return typeof value === 'number' ? value : absent;
		}
		const known = Object.entries(words).find(([, word]) => word === value);
		return known === undefined
			? this.refuse(name, Object.values(words).join(', '))
			: Number(known[0]);
	}

	inner(name: string): Members | undefined {
		const value = this.get(name);
		return value === undefined ? undefined : new Members(value, this.at(name), this.context);
	}

	list(name: string): readonly Members[] {
		const value = this.get(name);
		return Array.isArray(value)
			? value.map((one, i) => new Members(one, `${this.at(name)}[${i}]`, this.context))
			: [];
	}

	flags(name: string, words: FlagWords): number {
		const value = this.get(name);
		let flags = 0;
		for (const one of Array.isArray(value) ? value : []) {
			const text = String(one);
			flags |= words.find(([word]) => word === text)?.[1] ?? Number.parseInt(text, 16);
		}
		return flags >>> 0;
	}

	address(name: string): { readonly address: Address; readonly family: number } {
		return parseAddress(this.text(name)) ?? this.refuse(name, 'an address');
	}

	device(name: string): number {
		const text = this.text(name);
		const known = this.context.interfaceIndex?.(text) ?? 0;
		const digits = /^if([0-9]+)$/.exec(text)?.[1];
		const index = known > 0 ? known : parseUnsigned(digits ?? '', 0x7fff_ffff);
		return index ?? this.refuse(name, 'a device of this host');
	}

	/** Both ends, of one family. */
	ends(): { readonly saddr: Address; readonly daddr: Address; readonly family: number } {
		const source = this.address('src');
		const destination = this.address('dst');
		if (source.family !== destination.family) {
			this.refuse('dst', 'an address of the same family as src');
		}
		const family = this.number('family', source.family);
		return { saddr: source.address, daddr: destination.address, family };
	}
}

function readPrefix(
	from: Members,
	name: string,
): { address: Address; family: number; length: number } {
	const [host = '', length = ''] = from.text(name).split('/');
	const parsed = parseAddress(host) ?? from.refuse(name, 'ADDRESS/LENGTH');
	return { ...parsed, length: parseUnsigned(length, 255) ?? from.refuse(name, 'ADDRESS/LENGTH') };
}

function readSelector(from: Members): Selector {
	const source = readPrefix(from, 'src');
	const destination = readPrefix(from, 'dst');
	if (source.family !== destination.family) {
		from.refuse('dst', 'a prefix of the same family as src');
	}
	const proto = from.get('proto');
	const named =
		typeof proto === 'string' ? (protocolNumber(proto) ?? parseUnsigned(proto, 255)) : proto;
	const number = named ?? (proto === undefined ? 0 : from.refuse('proto', 'a protocol'));
	const port = (name: string, icmp: string): readonly [number, number] => {
		const value = from.optional(name) ?? from.optional(icmp);
		return value === undefined ? [0, 0] : [value, from.number(`${name}_mask`, 0xffff)];
	};
	const [sport, sportMask] = port('sport', 'type');
	const [dport, dportMask] = port('dport', 'code');
	return {
		daddr: destination.address,
		saddr: source.address,
		dport,
		dportMask,
		sport,
		sportMask,
		family: from.number('family', source.family),
		prefixlenD: destination.length,
		prefixlenS: source.length,
		proto: typeof number === 'number' ? number : 0,
		ifindex: from.get('dev') === undefined ? 0 : from.device('dev'),
		user: from.number('uid'),
	};
}

function readLifetime(from: Members | undefined): LifetimeConfig {
	if (from === undefined) {
		return UNLIMITED;
	}
	return {
		softByteLimit: from.limit('soft_bytes', Number.POSITIVE_INFINITY),
		hardByteLimit: from.limit('hard_bytes', Number.POSITIVE_INFINITY),
		softPacketLimit: from.limit('soft_packets', Number.POSITIVE_INFINITY),
		hardPacketLimit: from.limit('hard_packets', Number.POSITIVE_INFINITY),
		softAddExpiresSeconds: from.limit('soft_add', 0),
		hardAddExpiresSeconds: from.limit('hard_add', 0),
		softUseExpiresSeconds: from.limit('soft_use', 0),
		hardUseExpiresSeconds: from.limit('hard_use', 0),
	};
}

function readCurrent(from: Members | undefined): LifetimeCurrent {
	return from === undefined
		? UNUSED
		: {
				bytes: from.number('bytes'),
				packets: from.number('packets'),
				addTime: from.number('add'),
				useTime: from.number('use'),
			};
}

/** `VALUE/MASK` in hexadecimal. */
function readMark(text: string): { readonly v: number; readonly m: number | undefined } {
	const [v = '', m] = text.split('/');
	return { v: Number.parseInt(v, 16), m: m === undefined ? undefined : Number.parseInt(m, 16) };
}

/** Octets of a key that is hidden at most: what ip has room for. */
const KEY_OCTETS_MAX = 512;

interface KeyedAlgorithm {
	readonly name: string;
	readonly key: Uint8Array;
	readonly keyBits: number;
}

/** An algorithm with its key; of a hidden one zeros of its length. */
function readAlgorithm(from: Members, hidden: string[], keyword: string): KeyedAlgorithm {
	const name = from.text('name');
	const keyBits = from.number('key_bits');
	const text = from.text('key');
	const octets = keyOctets(keyBits);
	if (text.startsWith('key#')) {
		if (octets > KEY_OCTETS_MAX) {
			from.refuse('key_bits', `at most ${KEY_OCTETS_MAX * 8}`);
		}
		hidden.push(`${keyword} ${name}`);
		return { name, key: new Uint8Array(octets), keyBits };
	}
	const key = parseHex(text.slice(2));
	if (!(key instanceof Uint8Array) || key.length !== octets) {
		return from.refuse('key', `a key of ${keyBits} bits`);
	}
	return { name, key, keyBits };
}

function algorithmAttributes(from: Members, hidden: string[]): XfrmAttribute[] {
	const list: XfrmAttribute[] = [];
	const auth = from.inner('auth');
	if (auth !== undefined) {
		const algorithm = readAlgorithm(auth, hidden, 'auth');
		const truncBits = auth.optional('icv_bits');
		list.push(
			truncBits === undefined
				? attribute('algAuth', algorithm)
				: attribute('algAuthTrunc', { ...algorithm, truncBits }),
		);
	}
	const aead = from.inner('aead');
	if (aead !== undefined) {
		const icvBits = aead.number('icv_bits');
		list.push(attribute('algAead', { ...readAlgorithm(aead, hidden, 'aead'), icvBits }));
	}
	const enc = from.inner('enc');
	if (enc !== undefined) {
		list.push(attribute('algCrypt', readAlgorithm(enc, hidden, 'enc')));
	}
	const comp = from.inner('comp');
	if (comp !== undefined) {
		const name = comp.text('name');
		list.push(attribute('algComp', { name, key: new Uint8Array(0), keyBits: 0 }));
	}
	return list;
}

function replayAttributes(from: Members): XfrmAttribute[] {
	const replay = from.inner('replay');
	const esn = from.inner('replay_esn');
	const list: XfrmAttribute[] = [];
	if (replay !== undefined) {
		const [seq, oseq, bitmap] = [replay.number('seq'), replay.number('oseq'), replay.hex('bitmap')];
		list.push(attribute('replayVal', { seq, oseq, bitmap }));
	}
	if (esn !== undefined) {
		const words = esn.get('bitmap');
		const bmp = Uint32Array.from(Array.isArray(words) ? words : [], (one) =>
			Number.parseInt(String(one), 16),
		).reverse();
		list.push(
			attribute('replayEsnVal', {
				bmpLen: bmp.length,
				oseq: esn.number('oseq'),
				seq: esn.number('seq'),
				oseqHi: esn.number('oseq_hi'),
				seqHi: esn.number('seq_hi'),
				replayWindow: esn.number('replay_window'),
				bmp,
			}),
		);
	}
	return list;
}

/** Attributes whose value is one number, by member. */
const NUMBERS = [
	['lastused', 'lastused'],
	['replay_thresh', 'replayThresh'],
	['etimer_thresh', 'etimerThresh'],
	['mtimer_thresh', 'mtimerThresh'],
	['tfcpad', 'tfcpad'],
	['pcpu_num', 'saPcpu'],
	['nat_keepalive', 'natKeepaliveInterval'],
] as const;
const IPTFS_NUMBERS = [
	['drop_time', 'iptfsDropTime'],
	['reorder_window', 'iptfsReorderWindow'],
	['init_delay', 'iptfsInitDelay'],
	['max_queue_size', 'iptfsMaxQsize'],
	['pkt_size', 'iptfsPktSize'],
] as const;

function numberAttributes(from: Members): XfrmAttribute[] {
	const list: XfrmAttribute[] = [];
	for (const [name, to] of NUMBERS) {
		const value = from.optional(name);
		if (value !== undefined) {
			list.push(attribute(to, value));
		}
	}
	const iptfs = from.inner('iptfs');
	for (const [name, to] of IPTFS_NUMBERS) {
		const value = iptfs?.optional(name);
		if (value !== undefined) {
			list.push(attribute(to, value));
		}
	}
	if (iptfs?.get('dont_frag') === true) {
		list.push(attribute('iptfsDontFrag', true));
	}
	return list;
}

const OFFLOAD_INBOUND = 2;
const OFFLOAD_PACKET = 4;

/** What states and policies have in common: mark, if_id, offload, label, unknown ones. */
function commonAttributes(from: Members): XfrmAttribute[] {
	const list: XfrmAttribute[] = [];
	if (from.get('mark') !== undefined) {
		const { v, m } = readMark(from.text('mark'));
		list.push(attribute('mark', { v, m: m ?? 0xffff_ffff }));
	}
	if (from.get('if_id') !== undefined) {
		list.push(attribute('ifId', from.hex('if_id')));
	}
	const offload = from.inner('offload');
	if (offload !== undefined) {
		const inbound = offload.text('dir') === 'in' ? OFFLOAD_INBOUND : 0;
		const packet = offload.text('mode') === 'packet' ? OFFLOAD_PACKET : 0;
		list.push(attribute('offloadDev', { ifindex: offload.device('dev'), flags: inbound | packet }));
	}
	if (from.get('security_context') !== undefined) {
		const text = encodeUtf8(from.text('security_context'));
		const context = new Uint8Array(text.length + 1);
		context.set(text);
		const ctxLen = context.length;
		const head = { len: 8 + ctxLen, exttype: 8, ctxAlg: 1, ctxDoi: 1 };
		list.push(attribute('secCtx', { ...head, ctxLen, context }));
	}
	for (const one of from.list('unknown')) {
		const value = parseHex(one.text('value'));
		const bytes = value instanceof Uint8Array ? value : one.refuse('value', 'octets');
		list.push({ name: 'unknown', type: one.number('type'), value: bytes });
	}
	return list;
}

function stateAttributes(from: Members, hidden: string[]): XfrmAttribute[] {
	const list = [...commonAttributes(from), ...algorithmAttributes(from, hidden)];
	if (from.get('extra_flags') !== undefined) {
		list.push(attribute('saExtraFlags', from.flags('extra_flags', EXTRA_FLAG_WORDS)));
	}
	if (from.get('output_mark') !== undefined) {
		const { v, m } = readMark(from.text('output_mark'));
		list.push(attribute('setMark', v), ...(m === undefined ? [] : [attribute('setMarkMask', m)]));
	}
	const encap = from.inner('encap');
	if (encap !== undefined) {
		const type = encap.word('type', ENCAP_WORDS);
		const [sport, dport] = [encap.number('sport'), encap.number('dport')];
		list.push(attribute('encap', { type, sport, dport, oa: encap.address('addr').address }));
	}
	if (from.get('coa') !== undefined) {
		list.push(attribute('coaddr', from.address('coa').address));
	}
	if (from.get('dir') !== undefined) {
		list.push(attribute('saDir', from.word('dir', STATE_DIRECTION_WORDS)));
	}
	return [...list, ...replayAttributes(from), ...numberAttributes(from)];
}

/** A state and which of its algorithms' keys are hidden. @throws WrongValue */
export function readStateJson(
	value: JsonValue,
	path: string,
	context: CommandContext,
): { readonly message: NamedMessage<'newsa'>; readonly hiddenKeys: readonly string[] } {
	const from = new Members(value, path, context);
	const hiddenKeys: string[] = [];
	const { saddr, daddr, family } = from.ends();
	const sel = from.inner('sel');
	const stats = from.inner('stats');
	const attributes = stateAttributes(from, hiddenKeys);
	const body = {
		selector: sel === undefined ? anySelector(0) : readSelector(sel),
		id: { daddr, spi: from.hex('spi'), proto: from.word('proto', PROTOCOL_WORDS) },
		saddr,
		lifetime: readLifetime(from.inner('lifetime')),
		lifetimeCurrent: readCurrent(from.inner('current')),
		stats: {
			replayWindow: stats?.number('replay_window') ?? 0,
			replay: stats?.number('replay') ?? 0,
			integrityFailed: stats?.number('failed') ?? 0,
		},
		seq: from.number('seq'),
		reqid: from.number('reqid'),
		family,
		mode: from.word('mode', MODE_WORDS),
		replayWindow: from.number('replay_window'),
		flags: from.flags('flags', STATE_FLAG_WORDS),
	};
	const message = {
		name: 'newsa',
		flags: MessageFlag.Request,
		seq: 0,
		pid: 0,
		body,
		attributes,
	} as const;
	return { message, hiddenKeys };
}

function readTemplate(from: Members): Template {
	const { saddr, daddr, family } = from.ends();
	const all = 0xffff_ffff;
	return {
		id: { daddr, spi: from.hex('spi'), proto: from.word('proto', PROTOCOL_WORDS) },
		saddr,
		family,
		reqid: from.number('reqid'),
		mode: from.word('mode', MODE_WORDS),
		share: from.word('share', SHARE_WORDS),
		optional: from.word('level', LEVEL_WORDS),
		ealgos: from.hex('enc_mask', all),
		aalgos: from.hex('auth_mask', all),
		calgos: from.hex('comp_mask', all),
	};
}

/** A policy. @throws WrongValue */
export function readPolicyJson(
	value: JsonValue,
	path: string,
	context: CommandContext,
): NamedMessage<'newpolicy'> {
	const from = new Members(value, path, context);
	const sel = from.inner('sel');
	const templates = from.list('templates').map(readTemplate);
	const attributes = commonAttributes(from);
	if (templates.length > 0) {
		attributes.unshift(attribute('tmpl', templates));
	}
	if (from.get('ptype') !== undefined) {
		attributes.push(attribute('policyType', { type: from.word('ptype', TYPE_WORDS) }));
	}
	const direction = from.word('dir', DIRECTION_WORDS);
	const body = {
		selector: sel === undefined ? anySelector(0) : readSelector(sel),
		lifetime: readLifetime(from.inner('lifetime')),
		lifetimeCurrent: readCurrent(from.inner('current')),
		priority: from.number('priority'),
		index: from.number('index'),
		direction: from.get('socket') === true ? direction + 3 : direction,
		action: from.word('action', ACTION_WORDS),
		flags: from.flags('flags', POLICY_FLAG_WORDS),
		share: from.word('share', SHARE_WORDS),
	};
	return { name: 'newpolicy', flags: MessageFlag.Request, seq: 0, pid: 0, body, attributes };
}
