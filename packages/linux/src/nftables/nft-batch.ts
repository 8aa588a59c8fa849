/**
 * A batch of nf_tables: messages that the kernel carries out all together or not at all, in one datagram.
 *
 *     BATCH_BEGIN | message | message | … | BATCH_END
 *     message:   nlmsghdr 16 | family 1 | version 1 | resource 2 (big-endian) | attributes
 *
 * Written into memory that is used again and again: a change of one policy is a batch of its own, made for
 * every acknowledgement.
 */
import { align4, MessageFlag, viewOf } from '@xfrm/netlink';
import {
	BatchType,
	ChainAttribute,
	CounterAttribute,
	DataAttribute,
	ElementAttribute,
	ElementListAttribute,
	HookAttribute,
	LIST_ELEMENT,
	NfProto,
	NftType,
	OBJECT_COUNTER,
	ObjectAttribute,
	RuleAttribute,
	SetAttribute,
	SUBSYSTEM_NFTABLES,
	TableAttribute,
} from './nft-abi.ts';

const FIRST_OCTETS = 0x1_0000;
/** Lengths of attributes are of 16 bits: a list of elements ends before. */
const LIST_OCTETS_MAX = 0xf000;
/** `NLM_F_APPEND`. */
const APPEND = 0x800;
/** `NLA_F_NESTED`. */
const NESTED = 0x8000;

/** A chain that packets come to by themselves. */
export interface BaseChain {
	/** `Hook`. */
	readonly hook: number;
	readonly priority: number;
	readonly type: 'filter' | 'route';
}

/** What a counter has counted. */
export interface Counted {
	readonly packets: bigint;
	readonly octets: bigint;
}

/** What a set holds. */
export interface SetShape {
	/** As nft(8) prints it: types of six bits each, joined. */
	readonly keyType: number;
	readonly keyOctets: number;
}

export class NftBatch {
	readonly table: string;
	/** Without, rules count each for itself: a kernel may lack counters that rules share (nft_objref). */
	hasCounters: boolean = true;
	#bytes: Uint8Array = new Uint8Array(FIRST_OCTETS);
	#view: DataView = viewOf(this.#bytes);
	#length: number = 0;
	/** Where the message in progress begins; 0 for none. */
	#message: number = 0;
	#messages: number = 0;
	#setId: number = 0;
	/** Begin of a list of elements in progress, and of what it belongs to. */
	#list: number = 0;
	#listType: number = 0;
	#listOf: string = '';
	#seq: number = 0;

	/** @param table name of the table, of family inet, that all of it is about */
	constructor(table: string) {
		this.table = table;
		this.restart();
	}

	/** Nothing is in it. */
	get isEmpty(): boolean {
		return this.#messages === 0;
	}

	/** Forgets everything that was written. */
	restart(): void {
		this.#bytes.fill(0, 0, this.#length);
		this.#length = 0;
		this.#message = 0;
		this.#messages = 0;
		this.#list = 0;
		this.#seq = (this.#seq + 1) >>> 0;
		this.#envelope(BatchType.Begin);
	}

	/** The batch, valid until it is written to again; the kernel acknowledges it once, or says what is wrong. */
	finish(): Uint8Array {
		this.#endMessage();
		const flagsAt = this.#message + 6;
		this.#view.setUint16(flagsAt, this.#view.getUint16(flagsAt, true) | MessageFlag.Ack, true);
		this.#envelope(BatchType.End);
		return this.#bytes.subarray(0, this.#length);
	}

	/** @param flags `NFT_TABLE_F_*`; 0 says nothing of them, so that a table that is there already stays as it is */
	addTable(flags: number = 0): void {
		this.#begin(NftType.NewTable, MessageFlag.Create);
		this.text(TableAttribute.Name, this.table);
		if (flags !== 0) {
			this.u32(TableAttribute.Flags, flags);
		}
	}

	deleteTable(): void {
		this.#begin(NftType.DeleteTable, 0);
		this.text(TableAttribute.Name, this.table);
	}

	addChain(name: string, base?: BaseChain): void {
		this.#begin(NftType.NewChain, MessageFlag.Create);
		this.text(ChainAttribute.Table, this.table);
		this.text(ChainAttribute.Name, name);
		if (base !== undefined) {
			const hook = this.nest(ChainAttribute.Hook);
			this.u32(HookAttribute.Number, base.hook);
			this.u32(HookAttribute.Priority, base.priority);
			this.endNest(hook);
			this.u32(ChainAttribute.Policy, 1);
			this.text(ChainAttribute.Type, base.type);
		}
	}

	/** Appends a rule to a chain; `write` puts its expressions in. */
	addRule(chain: string, write: (batch: NftBatch) => void): void {
		this.#begin(NftType.NewRule, MessageFlag.Create | APPEND);
		this.text(RuleAttribute.Table, this.table);
		this.text(RuleAttribute.Chain, chain);
		const list = this.nest(RuleAttribute.Expressions);
		write(this);
		this.endNest(list);
	}

	/** Takes all rules out of a chain. */
	flushChain(chain: string): void {
		this.#begin(NftType.DeleteRule, 0);
		this.text(RuleAttribute.Table, this.table);
		this.text(RuleAttribute.Chain, chain);
	}

	/** A counter that rules name, which goes on from what was counted before. */
	addCounter(name: string, { packets, octets }: Counted): void {
		this.#begin(NftType.NewObject, MessageFlag.Create);
		this.text(ObjectAttribute.Table, this.table);
		this.text(ObjectAttribute.Name, name);
		this.u32(ObjectAttribute.Type, OBJECT_COUNTER);
		const data = this.nest(ObjectAttribute.Data);
		this.#u64(CounterAttribute.Octets, octets);
		this.#u64(CounterAttribute.Packets, packets);
		this.endNest(data);
	}

	/** A set of whole keys, not of ranges: found by hash. */
	addSet(name: string, { keyType, keyOctets }: SetShape): void {
		this.#begin(NftType.NewSet, MessageFlag.Create);
		this.text(SetAttribute.Table, this.table);
		this.text(SetAttribute.Name, name);
		this.u32(SetAttribute.Flags, 0);
		this.u32(SetAttribute.KeyType, keyType);
		this.u32(SetAttribute.KeyOctets, keyOctets);
		this.u32(SetAttribute.Id, ++this.#setId);
	}

	/** @param key octets as characters */
	addElement(set: string, key: string): void {
		this.#element(NftType.NewElement, MessageFlag.Create, set, key);
	}

	/** @param key octets as characters */
	deleteElement(set: string, key: string): void {
		this.#element(NftType.DeleteElement, 0, set, key);
	}

	u32(type: number, value: number): void {
		const at = this.#attribute(type, 4);
		this.#view.setUint32(at, value >>> 0);
	}

	#u64(type: number, value: bigint): void {
		const at = this.#attribute(type, 8);
		this.#view.setBigUint64(at, value);
	}

	octets(type: number, value: Uint8Array): void {
		const at = this.#attribute(type, value.length);
		this.#bytes.set(value, at);
	}

	/** Of ASCII, with a zero at its end. */
	text(type: number, value: string): void {
		this.#putCharacters(this.#attribute(type, value.length + 1), value);
	}

	#putCharacters(at: number, value: string): void {
		for (let i = 0; i < value.length; i++) {
			this.#bytes[at + i] = value.charCodeAt(i);
		}
	}

	/** Begins an attribute of attributes; what is returned ends it. */
	nest(type: number): number {
		return this.#attribute(type | NESTED, 0) - 4;
	}

	endNest(at: number): void {
		this.#view.setUint16(at, this.#length - at, true);
	}

	/** Elements of one set that follow each other share a message. */
	#element(type: number, flags: number, set: string, key: string): void {
		const goesOn = this.#list !== 0 && this.#listType === type && this.#listOf === set;
		if (!goesOn || this.#length - this.#list > LIST_OCTETS_MAX) {
			this.#begin(type, flags);
			this.text(ElementListAttribute.Table, this.table);
			this.text(ElementListAttribute.Set, set);
			this.#list = this.nest(ElementListAttribute.Elements);
			this.#listType = type;
			this.#listOf = set;
		}
		const element = this.nest(LIST_ELEMENT);
		const outer = this.nest(ElementAttribute.Key);
		this.#putCharacters(this.#attribute(DataAttribute.Value, key.length), key);
		this.endNest(outer);
		this.endNest(element);
	}

	#begin(type: number, flags: number): void {
		this.#endMessage();
		this.#messages++;
		this.#header((SUBSYSTEM_NFTABLES << 8) | type, flags, NfProto.Inet, 0);
	}

	#envelope(type: number): void {
		this.#endMessage();
		this.#header(type, 0, 0, SUBSYSTEM_NFTABLES);
		this.#endMessage();
	}

	#header(type: number, flags: number, family: number, resource: number): void {
		const at = this.#append(20);
		this.#message = at;
		this.#view.setUint16(at + 4, type, true);
		this.#view.setUint16(at + 6, MessageFlag.Request | flags, true);
		this.#view.setUint32(at + 8, this.#seq, true);
		this.#view.setUint8(at + 16, family);
		this.#view.setUint16(at + 18, resource);
	}

	#endMessage(): void {
		if (this.#list !== 0) {
			this.endNest(this.#list);
			this.#list = 0;
		}
		this.#view.setUint32(this.#message, this.#length - this.#message, true);
	}

	#attribute(type: number, octets: number): number {
		const at = this.#append(4 + octets);
		this.#view.setUint16(at, 4 + octets, true);
		this.#view.setUint16(at + 2, type, true);
		return at + 4;
	}

	/** Room for so many octets and up to the next boundary of four; all is zero behind what was written. */
	#append(octets: number): number {
		const at = this.#length;
		const end = at + align4(octets);
		if (end > this.#bytes.length) {
			const grown = new Uint8Array(2 * end);
			grown.set(this.#bytes.subarray(0, at));
			this.#bytes = grown;
			this.#view = viewOf(grown);
		}
		this.#length = end;
		return at;
	}
}
