/**
 * The published schemas of our JSON, as they stand in schema/*.json (`npm run schemas` writes those files from
 * here, a test compares them). Names of fields are the keywords of `ip xfrm` with underscores. Fields may be
 * added; none changes its meaning while `schema` is 1.
 */
import type { JsonSchema } from './json-schema.ts';

const DRAFT = 'https://json-schema.org/draft/2020-12/schema';

const u8: JsonSchema = { type: 'integer', minimum: 0, maximum: 0xff };
const u16: JsonSchema = { type: 'integer', minimum: 0, maximum: 0xffff };
const u32: JsonSchema = { type: 'integer', minimum: 0, maximum: 0xffff_ffff };
const count: JsonSchema = { type: 'integer', minimum: 0 };
const limit: JsonSchema = {
	description: 'null: no limit.',
	type: ['integer', 'null'],
	minimum: 0,
};
const seconds: JsonSchema = {
	description: 'Seconds, 0 for none.',
	type: ['integer', 'null'],
	minimum: 0,
};
const time: JsonSchema = { description: 'Unix seconds, 0 for never.', type: 'integer', minimum: 0 };
const hex32: JsonSchema = { type: 'string', pattern: '^0x[0-9a-f]{8}$' };
const hexNumber: JsonSchema = { type: 'string', pattern: '^0x[0-9a-f]{1,8}$' };
const octets: JsonSchema = { type: 'string', pattern: '^([0-9a-f]{2})*$' };
const address: JsonSchema = { type: 'string', pattern: '^[0-9a-f.:]+$' };
const prefix: JsonSchema = { type: 'string', pattern: '^[0-9a-f.:]+/[0-9]{1,3}$' };
const mark: JsonSchema = {
	description: 'VALUE/MASK',
	type: 'string',
	pattern: '^0x[0-9a-f]{1,8}/0x[0-9a-f]{1,8}$',
};
/** A word of ip, or a number that it has no word for. */
const word = (names: readonly string[]): JsonSchema => ({
	description: `${names.join(', ')}; a number when there is no word for it.`,
	type: ['string', 'integer'],
	pattern: `^(${names.join('|')})$`,
	minimum: 0,
	maximum: 0xff,
});
const flags = (names: readonly string[]): JsonSchema => ({
	description: `${names.join(', ')}; 0x and the rest when there are bits without a name.`,
	type: 'array',
	maxItems: 33,
	items: { type: 'string', pattern: `^(${names.join('|')}|0x[0-9a-f]{1,8})$` },
});
const ref = (target: string): JsonSchema => ({ $ref: target });

function object(
	required: readonly string[],
	properties: Readonly<Record<string, JsonSchema>>,
	more: JsonSchema = {},
): JsonSchema {
	return { ...more, type: 'object', required, additionalProperties: false, properties };
}

function file(name: string, title: string, schema: JsonSchema): JsonSchema {
	return { $schema: DRAFT, $id: `${name}.schema.json`, title, ...schema };
}

const PROTOCOLS = ['esp', 'ah', 'comp', 'route2', 'hao', 'ipsec-any'];
const MODES = ['transport', 'tunnel', 'ro', 'in_trigger', 'beet', 'iptfs'];
const SHARES = ['any', 'session', 'user', 'unique'];
const DIRECTIONS = ['in', 'out', 'fwd'];
const algorithmName: JsonSchema = { type: 'string', pattern: '^[!-~]{1,63}$' };
const key: JsonSchema = {
	description:
		'0x and octets; key#N for one that is hidden, equal keys alike. Then key_bits tells its length.',
	type: 'string',
	pattern: '^(0x([0-9a-f]{2})*|key#[0-9]+)$',
};
const keyed = (extra: Readonly<Record<string, JsonSchema>>): JsonSchema =>
	object(['name', 'key', 'key_bits'], {
		name: algorithmName,
		key,
		key_bits: u32,
		...extra,
	});

const PARTS: JsonSchema = file('parts', 'Parts of states and policies', {
	$defs: {
		sel: object(['src', 'dst'], {
			src: prefix,
			dst: prefix,
			family: { ...u16, description: 'Where the addresses do not tell it: 0 for any.' },
			proto: { description: 'Name or number; absent: any.', type: ['string', 'integer'] },
			sport: u16,
			sport_mask: { ...u16, description: 'Absent: 65535.' },
			dport: u16,
			dport_mask: { ...u16, description: 'Absent: 65535.' },
			type: { ...u16, description: 'Of ICMP, instead of sport.' },
			code: { ...u16, description: 'Of ICMP, instead of dport.' },
			dev: { type: 'string' },
			uid: u32,
		}),
		lifetime: object([], {
			soft_bytes: limit,
			hard_bytes: limit,
			soft_packets: limit,
			hard_packets: limit,
			soft_add: seconds,
			hard_add: seconds,
			soft_use: seconds,
			hard_use: seconds,
		}),
		current: object(['bytes', 'packets', 'add', 'use'], {
			bytes: count,
			packets: count,
			add: time,
			use: time,
		}),
		replay: object(['seq', 'oseq', 'bitmap'], { seq: u32, oseq: u32, bitmap: hex32 }),
		replay_esn: object(['seq_hi', 'seq', 'oseq_hi', 'oseq', 'replay_window', 'bitmap'], {
			seq_hi: u32,
			seq: u32,
			oseq_hi: u32,
			oseq: u32,
			replay_window: u32,
			bitmap: {
				description: 'The highest word first, as ip prints it.',
				type: 'array',
				maxItems: 128,
				items: hex32,
			},
		}),
		offload: object(['dev'], {
			dev: { type: 'string' },
			dir: { enum: ['in', 'out'] },
			mode: { enum: ['crypto', 'packet'] },
		}),
		unknown: {
			description: 'Attributes that this version does not know, as they are.',
			type: 'array',
			items: object(['type', 'value'], { type: u16, value: octets }),
		},
		template: object(['src', 'dst', 'proto', 'spi', 'reqid', 'mode'], {
			src: address,
			dst: address,
			family: { ...u16, description: 'Where the addresses do not tell it.' },
			proto: word(PROTOCOLS),
			spi: hex32,
			reqid: u32,
			mode: word(MODES),
			level: word(['required', 'use']),
			share: word(SHARES),
			enc_mask: hex32,
			auth_mask: hex32,
			comp_mask: hex32,
		}),
	},
});

const STATE: JsonSchema = file(
	'state',
	'A state: a line of xfrm --json state list, a member of a snapshot',
	object(['object', 'src', 'dst', 'proto', 'spi', 'reqid', 'mode', 'replay_window', 'flags'], {
		schema: { const: 1 },
		object: { const: 'state' },
		src: address,
		dst: address,
		family: { ...u16, description: 'Where the addresses do not tell it.' },
		proto: word(PROTOCOLS),
		spi: hex32,
		reqid: u32,
		mode: word(MODES),
		replay_window: u8,
		flags: flags([
			...['noecn', 'decap-dscp', 'nopmtudisc', 'wildrecv', 'icmp', 'af-unspec', 'align4', 'esn'],
		]),
		extra_flags: flags(['dont-encap-dscp', 'oseq-may-wrap']),
		seq: { ...u32, description: 'Of the acquire that it answers.' },
		mark,
		output_mark: { ...mark, pattern: '^0x[0-9a-f]{1,8}(/0x[0-9a-f]{1,8})?$' },
		if_id: hexNumber,
		auth: keyed({ icv_bits: { ...u32, description: 'Absent: the algorithm decides.' } }),
		aead: keyed({ icv_bits: u32 }),
		enc: keyed({}),
		comp: object(['name'], { name: algorithmName }),
		encap: object(['type', 'sport', 'dport', 'addr'], {
			type: { ...word(['espinudp-nonike', 'espinudp', 'espintcp']), maximum: 0xffff },
			sport: u16,
			dport: u16,
			addr: address,
		}),
		coa: address,
		lastused: time,
		replay: ref('parts.schema.json#/$defs/replay'),
		replay_esn: ref('parts.schema.json#/$defs/replay_esn'),
		replay_thresh: u32,
		etimer_thresh: u32,
		mtimer_thresh: { ...u32, description: 'Seconds.' },
		offload: ref('parts.schema.json#/$defs/offload'),
		tfcpad: u32,
		dir: word(['in', 'out']),
		pcpu_num: u32,
		nat_keepalive: { ...u32, description: 'Seconds.' },
		iptfs: object([], {
			drop_time: { ...u32, description: 'Microseconds.' },
			reorder_window: u16,
			dont_frag: { const: true },
			init_delay: { ...u32, description: 'Microseconds.' },
			max_queue_size: { ...u32, description: 'Octets.' },
			pkt_size: { ...u32, description: 'Octets.' },
		}),
		sel: ref('parts.schema.json#/$defs/sel'),
		lifetime: ref('parts.schema.json#/$defs/lifetime'),
		current: ref('parts.schema.json#/$defs/current'),
		stats: object(['replay_window', 'replay', 'failed'], {
			replay_window: u32,
			replay: u32,
			failed: u32,
		}),
		security_context: { type: 'string' },
		unknown: ref('parts.schema.json#/$defs/unknown'),
	}),
);

const POLICY: JsonSchema = file(
	'policy',
	'A policy: a line of xfrm --json policy list, a member of a snapshot',
	object(['object', 'sel', 'dir', 'action', 'priority'], {
		schema: { const: 1 },
		object: { const: 'policy' },
		sel: ref('parts.schema.json#/$defs/sel'),
		dir: word(DIRECTIONS),
		socket: { description: 'It belongs to a socket.', const: true },
		action: word(['allow', 'block']),
		index: u32,
		priority: u32,
		ptype: word(['main', 'sub']),
		share: word(SHARES),
		flags: flags(['localok', 'icmp']),
		mark,
		if_id: hexNumber,
		offload: ref('parts.schema.json#/$defs/offload'),
		security_context: { type: 'string' },
		lifetime: ref('parts.schema.json#/$defs/lifetime'),
		current: ref('parts.schema.json#/$defs/current'),
		templates: { type: 'array', maxItems: 6, items: ref('parts.schema.json#/$defs/template') },
		unknown: ref('parts.schema.json#/$defs/unknown'),
	}),
);

const DEFAULT_ACTIONS = word(['unspec', 'block', 'accept']);
const DEFAULTS: JsonSchema = file(
	'default-policies',
	'What becomes of packets that no policy matches',
	object(['object', 'in', 'fwd', 'out'], {
		schema: { const: 1 },
		object: { const: 'default-policies' },
		in: DEFAULT_ACTIONS,
		fwd: DEFAULT_ACTIONS,
		out: DEFAULT_ACTIONS,
	}),
);

const threshold: JsonSchema = object(['local', 'remote'], { local: u8, remote: u8 });
const INFO: JsonSchema = file(
	'info',
	'Counts of states or policies',
	object(['object'], {
		schema: { const: 1 },
		object: { enum: ['state-info', 'policy-info'] },
		states: u32,
		in: u32,
		out: u32,
		fwd: u32,
		socket_in: u32,
		socket_out: u32,
		socket_fwd: u32,
		buckets: u32,
		buckets_max: u32,
		hthresh4: threshold,
		hthresh6: threshold,
	}),
);

const EVENT: JsonSchema = file(
	'event',
	'A line of xfrm --json monitor',
	object(['schema', 'object', 'event'], {
		schema: { const: 1 },
		object: { const: 'event' },
		event: {
			description: "The kernel's message: acquire, expire, newsa, polexpire …",
			type: 'string',
		},
		time: { description: 'Unix seconds when it was received.', type: 'number' },
		nsid: { description: 'Of another network namespace.', type: 'integer' },
		hard: { type: 'boolean' },
		state: ref('state.schema.json'),
		policy: ref('policy.schema.json'),
		src: address,
		dst: address,
		proto: { ...word(PROTOCOLS) },
		spi: hex32,
		reqid: u32,
		sel: ref('parts.schema.json#/$defs/sel'),
		seq: u32,
		enc_mask: hex32,
		auth_mask: hex32,
		comp_mask: hex32,
		coa: address,
		ptype: word(['main', 'sub']),
		flags: hexNumber,
		causes: { type: 'array', items: { enum: ['replay', 'timer', 'policy'] } },
		replay: ref('parts.schema.json#/$defs/replay'),
		replay_esn: ref('parts.schema.json#/$defs/replay_esn'),
		current: ref('parts.schema.json#/$defs/current'),
		old: object(['src', 'sport'], { src: address, sport: u16 }),
		new: object(['src', 'sport'], { src: address, sport: u16 }),
		dir: word(DIRECTIONS),
		migrate: {
			type: 'array',
			items: object(['old_src', 'old_dst', 'new_src', 'new_dst', 'proto', 'mode', 'reqid'], {
				old_src: address,
				old_dst: address,
				new_src: address,
				new_dst: address,
				proto: word(PROTOCOLS),
				mode: word(MODES),
				reqid: u32,
			}),
		},
		in: DEFAULT_ACTIONS,
		fwd: DEFAULT_ACTIONS,
		out: DEFAULT_ACTIONS,
		type: u16,
		netlink: { description: 'The whole message.', ...octets },
	}),
);

const SNAPSHOT: JsonSchema = file(
	'snapshot',
	'States and policies of a host: what xfrm save writes',
	object(['schema', 'object', 'states', 'policies'], {
		schema: { const: 1 },
		object: { const: 'snapshot' },
		time: { description: 'Unix seconds when it was taken.', type: 'integer', minimum: 0 },
		states: {
			description: 'Newest first, as dumps are.',
			type: 'array',
			items: ref('state.schema.json'),
		},
		policies: {
			description: 'Newest first, as dumps are.',
			type: 'array',
			items: ref('policy.schema.json'),
		},
		default_policies: ref('default-policies.schema.json'),
	}),
);

/** All schemas by file name. */
export const SCHEMAS: ReadonlyMap<string, JsonSchema> = new Map(
	[PARTS, STATE, POLICY, DEFAULTS, INFO, EVENT, SNAPSHOT].map((schema) => [
		schema.$id ?? '',
		schema,
	]),
);
