/**
 * Random requests: a message of the tables with values that fit together, then, sometimes, broken in one
 * of the ways in which bytes can be: header fields, lengths, attributes cut, stretched, repeated, unknown,
 * octets changed, several messages in one datagram.
 */
import {
	type AttributeName,
	attribute,
	encodeMessage,
	joinMessages,
	MESSAGES,
	MessageFlag,
	type MessageName,
	type Struct,
	viewOf,
	type XfrmAttribute,
	type XfrmMessage,
} from '@xfrm/netlink';
import { IpProto } from '@xfrm/wire/xfrm';
import { Random } from '../kernel/random.ts';
import { Memory } from './memory.ts';
import type { Sender, Step } from './netlink-end.ts';
import { ValueRandom } from './value-random.ts';

/** How often each message is asked for. Those that only the kernel sends are requests too. */
const WEIGHTS: Readonly<Record<MessageName, number>> = {
	newsa: 14,
	updsa: 8,
	delsa: 5,
	getsa: 5,
	dumpsa: 3,
	allocspi: 14,
	newpolicy: 14,
	updpolicy: 8,
	delpolicy: 6,
	getpolicy: 6,
	dumppolicy: 3,
	flushsa: 2,
	flushpolicy: 2,
	expire: 4,
	polexpire: 4,
	newae: 4,
	getae: 4,
	acquire: 5,
	migrate: 6,
	getsadinfo: 1,
	getspdinfo: 1,
	newspdinfo: 3,
	setdefault: 2,
	getdefault: 1,
	report: 1,
	mapping: 1,
	newsadinfo: 1,
	migratestate: 1,
};
const LOTTERY: readonly MessageName[] = Object.entries(WEIGHTS).flatMap(([name, weight]) =>
	Array<MessageName>(weight).fill(name as MessageName),
);

/** Attributes that a message has use for, and how likely each is. */
const USES: Partial<Readonly<Record<MessageName, Partial<Record<AttributeName, number>>>>> = {
	newsa: newStateUses(),
	updsa: newStateUses(),
	delsa: { mark: 0.3, srcaddr: 0.4 },
	getsa: { mark: 0.3, srcaddr: 0.4 },
	dumpsa: { proto: 0.3, addressFilter: 0.3 },
	allocspi: { mark: 0.25, ifId: 0.25, saDir: 0.2, saPcpu: 0.15 },
	newpolicy: newPolicyUses(),
	updpolicy: newPolicyUses(),
	delpolicy: { policyType: 0.2, mark: 0.2, ifId: 0.2, secCtx: 0.05 },
	getpolicy: { policyType: 0.2, mark: 0.2, ifId: 0.2, secCtx: 0.05 },
	flushpolicy: { policyType: 0.4 },
	expire: { mark: 0.3 },
	polexpire: { policyType: 0.2, mark: 0.2, ifId: 0.2 },
	newae: {
		ltimeVal: 0.4,
		replayVal: 0.4,
		replayEsnVal: 0.2,
		etimerThresh: 0.2,
		replayThresh: 0.2,
		mtimerThresh: 0.2,
		mark: 0.2,
	},
	getae: { mark: 0.3 },
	acquire: { tmpl: 0.7, policyType: 0.2, mark: 0.2, ifId: 0.1, saPcpu: 0.1 },
	migrate: { migrate: 0.8, policyType: 0.2, kmaddress: 0.2, encap: 0.1, ifId: 0.2 },
	newspdinfo: { spdIpv4Hthresh: 0.6, spdIpv6Hthresh: 0.6, spdInfo: 0.1 },
};

function newStateUses(): Partial<Record<AttributeName, number>> {
	return {
		encap: 0.1,
		mark: 0.2,
		ifId: 0.2,
		replayVal: 0.1,
		replayEsnVal: 0.15,
		replayThresh: 0.05,
		etimerThresh: 0.05,
		ltimeVal: 0.05,
		tfcpad: 0.05,
		setMark: 0.1,
		setMarkMask: 0.1,
		saExtraFlags: 0.1,
		offloadDev: 0.05,
		secCtx: 0.05,
		mtimerThresh: 0.05,
		saDir: 0.3,
		natKeepaliveInterval: 0.1,
		saPcpu: 0.1,
		iptfsDropTime: 0.03,
		iptfsReorderWindow: 0.03,
		iptfsDontFrag: 0.03,
		iptfsInitDelay: 0.03,
		iptfsMaxQsize: 0.03,
		iptfsPktSize: 0.03,
	};
}

function newPolicyUses(): Partial<Record<AttributeName, number>> {
	return { tmpl: 0.6, policyType: 0.25, mark: 0.2, ifId: 0.2, secCtx: 0.05, offloadDev: 0.05 };
}

/** What a state of this protocol cannot be without. */
function neededOf(random: Random, proto: number): readonly AttributeName[] {
	switch (proto) {
		case IpProto.Esp:
			return random.pick([['algAead'], ['algCrypt'], ['algCrypt', 'algAuthTrunc'], ['algAuth']]);
		case IpProto.Ah:
			return random.pick([['algAuth'], ['algAuthTrunc']]);
		case IpProto.Comp:
			return ['algComp'];
		default:
			return ['coaddr'];
	}
}

/** How often a request names what an earlier one made. */
const KNOWN = 0.5;
/** Attributes by which things are found: those of what is named take the place of random ones. */
const IDENTITY: ReadonlySet<string> = new Set(['mark', 'policyType', 'ifId', 'migrate']);

const FLAGS: readonly number[] = [0, 1, 4, 5, 8, 0x100, 0x101, 0x200, 0x205, 0x300, 0x400, 0xffff];

export class RequestRandom {
	readonly #random: Random;
	readonly #values: ValueRandom;
	readonly #memory: Memory;
	#seq: number = 0;

	constructor(seed: number) {
		this.#random = new Random(seed);
		this.#values = new ValueRandom(this.#random);
		this.#memory = new Memory(this.#random);
	}

	/** Some requests that belong together: a few by one kind of socket. */
	sequence(): Step[] {
		this.#memory.forget();
		const sender: Sender = {
			extAck: this.#random.chance(0.8),
			capAck: this.#random.chance(0.3),
			unprivileged: false,
		};
		// Sometimes a crowd: tables with more members than buckets, dumps of many parts.
		const length = this.#random.chance(0.01) ? 300 : this.#random.int(4, 24);
		return Array.from({ length }, () => ({
			...sender,
			unprivileged: this.#random.chance(0.01),
			datagram: this.#datagram(),
		}));
	}

	#datagram(): Uint8Array {
		const count = this.#random.chance(0.08) ? this.#random.int(2, 4) : 1;
		const messages = Array.from({ length: count }, () => this.#message());
		const datagram = joinMessages(messages);
		return this.#random.chance(0.03) ? this.#damage(datagram) : datagram;
	}

	#message(): Uint8Array {
		const random = this.#random;
		const name = random.pick(LOTTERY);
		this.#values.wild = random.pick([0, 0, 0, 0.03, 0.1, 0.3]);
		const spec = MESSAGES.find((row) => row.name === name);
		if (spec === undefined) {
			throw new RangeError(`no message ${name}`);
		}
		const body = this.#body(name, spec.body as Struct<object>);
		const known = random.chance(KNOWN) ? this.#memory.recall(name, body) : undefined;
		const others = this.#attributes(name, body);
		const attributes =
			known === undefined
				? others
				: [...others.filter(({ name: one }) => !IDENTITY.has(one)), ...known];
		this.#memory.note(name, body, attributes);
		const isDump = name.startsWith('dump');
		const message = encodeMessage({
			name,
			flags: this.#flags(name) | (isDump ? random.pick([0x300, 0x300, 0x100, 0x200]) : 0),
			seq: ++this.#seq,
			pid: random.chance(0.9) ? 0 : random.u32(),
			body,
			attributes,
		} as unknown as XfrmMessage);
		return random.chance(0.12) ? this.#break(message) : message;
	}

	#flags(name: MessageName): number {
		if (this.#random.chance(0.03)) {
			return this.#random.pick(FLAGS);
		}
		const replace = name === 'newae' && this.#random.chance(0.8) ? MessageFlag.Replace : 0;
		return MessageFlag.Request | replace | (this.#random.chance(0.85) ? MessageFlag.Ack : 0);
	}

	#body(name: MessageName, struct: Struct<object>): Record<string, unknown> {
		const body = this.#values.struct(struct.fields, struct.name);
		if (name === 'allocspi' && !this.#random.chance(this.#values.wild)) {
			// One number, or so many that a draw that is taken is out of the question.
			const min = this.#random.pick([0x100, 0x101, 0x200, 0xfff0]);
			body['min'] = min;
			body['max'] = this.#random.chance(0.7) ? min : min + 0xf_ffff;
		} else if (name === 'allocspi') {
			body['max'] = this.#random.pick([body['min'], 0]);
		}
		const direction = body['direction'];
		if (typeof body['index'] === 'number' && body['index'] !== 0 && typeof direction === 'number') {
			const loose = this.#random.chance(this.#values.wild);
			body['index'] = loose ? body['index'] : (body['index'] & ~7) | (direction & 7);
		}
		return body;
	}

	#attributes(name: MessageName, body: Record<string, unknown>): XfrmAttribute[] {
		const random = this.#random;
		const wild = this.#values.wild;
		const names: AttributeName[] = [];
		for (const [use, likely] of Object.entries(USES[name] ?? {})) {
			if (random.chance(likely * (wild === 0 ? 0.6 : 1))) {
				names.push(use as AttributeName);
			}
		}
		if (name === 'newsa' || name === 'updsa') {
			const { proto } = body['id'] as { readonly proto: number };
			names.push(...neededOf(random, proto));
		}
		if (random.chance(wild)) {
			names.push(random.pick(ALL_NAMES));
		}
		if (names.length > 0 && random.chance(wild / 2)) {
			names.push(random.pick(names));
		}
		return names.map((use) => attribute(use, this.#values.attribute(use)));
	}

	/** Breaks one thing of a message, in a copy. */
	#break(message: Uint8Array): Uint8Array {
		const random = this.#random;
		const view = viewOf(message);
		switch (random.int(0, 7)) {
			case 0: // another type, mostly with a payload that does not fit
				view.setUint16(4, random.pick([0, 1, 3, 15, random.int(16, 43), 0x100]), true);
				return message;
			case 1:
				view.setUint16(6, random.pick(FLAGS), true);
				return message;
			case 2: {
				// Cut: the length follows, so it is the message that is short.
				const length = random.int(16, message.length);
				view.setUint32(0, length, true);
				return message.slice(0, length);
			}
			case 3:
				return this.#appendJunk(message);
			case 4:
			case 5:
				return this.#breakAttribute(message);
			case 6:
				view.setUint32(
					0,
					random.pick([0, 15, 16, 17, message.length + 4, message.length - 1]),
					true,
				);
				return message;
			default:
				return this.#damage(message);
		}
	}

	#appendJunk(message: Uint8Array): Uint8Array {
		const junk = this.#random.bytes(this.#random.pick([1, 2, 3, 4, 5, 8]));
		const longer = new Uint8Array(message.length + junk.length);
		longer.set(message);
		longer.set(junk, message.length);
		viewOf(longer).setUint32(0, longer.length, true);
		return longer;
	}

	/** Changes the header of one attribute: number, flags or length. */
	#breakAttribute(message: Uint8Array): Uint8Array {
		const random = this.#random;
		const view = viewOf(message);
		const spec = MESSAGES.find((row) => row.type === view.getUint16(4, true));
		const places: number[] = [];
		for (
			let at = 16 + (((spec?.body.octets ?? 0) + 3) & ~3);
			at + 4 <= message.length && view.getUint16(at, true) >= 4;
			at += (view.getUint16(at, true) + 3) & ~3
		) {
			places.push(at);
		}
		if (places.length === 0) {
			return message;
		}
		const at = random.pick(places);
		const length = view.getUint16(at, true);
		const type = view.getUint16(at + 2, true);
		switch (random.int(0, 3)) {
			case 0:
				view.setUint16(at, Math.max(0, length + random.pick([-8, -4, -1, 1, 4])), true);
				break;
			case 1:
				view.setUint16(at + 2, type | random.pick([0x8000, 0x4000, 0xc000]), true);
				break;
			case 2:
				view.setUint16(at + 2, random.int(0, 45), true);
				break;
			default:
				view.setUint16(at, random.pick([0, 3, 4, 5, 8]), true);
		}
		return message;
	}

	/** Changes an octet, anywhere behind the length and but for times, which would pass. */
	#damage(bytes: Uint8Array): Uint8Array {
		const copy = bytes.slice();
		const at = this.#random.int(4, copy.length - 1);
		copy[at] = this.#random.pick([0, 1, 2, 10, 255, this.#random.u32() & 255]);
		return copy;
	}
}

const ALL_NAMES: readonly AttributeName[] = [
	...new Set([
		...Object.values(USES).flatMap((uses) => Object.keys(uses) as AttributeName[]),
		'algAuth',
		'algCrypt',
		'algComp',
		'algAead',
		'algAuthTrunc',
		'coaddr',
		'sa',
		'policy',
		'lastused',
	] as const),
];
