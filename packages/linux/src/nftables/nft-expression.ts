/**
 * Expressions of nf_tables rules: what is loaded into a register, compared, looked up, and done. A rule is left
 * as soon as one of its expressions does not hold; one that finds nothing to load does not hold either.
 *
 * Registers are of four octets and numbered from 0 here.
 */
import {
	BitwiseAttribute,
	CompareAttribute,
	Comparison,
	DataAttribute,
	EXTENSION_PRESENT,
	ExpressionAttribute,
	ExtensionAttribute,
	FibAttribute,
	FibQuestion,
	ImmediateAttribute,
	LIST_ELEMENT,
	LookupAttribute,
	MetaAttribute,
	type MetaKey,
	OBJECT_COUNTER,
	ObjectReferenceAttribute,
	PayloadAttribute,
	REGISTER_FIRST,
	REGISTER_VERDICT,
	SOCKET_MARK,
	SocketAttribute,
	VerdictAttribute,
	type VerdictCode,
} from './nft-abi.ts';
import type { NftBatch } from './nft-batch.ts';

type MetaKeyNumber = (typeof MetaKey)[keyof typeof MetaKey];
type VerdictNumber = (typeof VerdictCode)[keyof typeof VerdictCode];

function expression(batch: NftBatch, name: string, attributes: () => void): void {
	const element = batch.nest(LIST_ELEMENT);
	batch.text(ExpressionAttribute.Name, name);
	const data = batch.nest(ExpressionAttribute.Data);
	attributes();
	batch.endNest(data);
	batch.endNest(element);
}

function value(batch: NftBatch, type: number, octets: Uint8Array): void {
	const outer = batch.nest(type);
	batch.octets(DataAttribute.Value, octets);
	batch.endNest(outer);
}

/** A u32 as registers hold what comes from the machine itself (marks, interfaces). */
export function machineU32(number: number): Uint8Array {
	const octets = new Uint8Array(4);
	new DataView(octets.buffer).setUint32(0, number >>> 0, true);
	return octets;
}

/** Text as `meta iifname` loads it, by the name's end. */
export function nameOctets(name: string): Uint8Array {
	const octets = new Uint8Array(16);
	new TextEncoder().encodeInto(name, octets);
	return octets;
}

export function loadMeta(batch: NftBatch, key: MetaKeyNumber, register: number = 0): void {
	expression(batch, 'meta', () => {
		batch.u32(MetaAttribute.Dreg, REGISTER_FIRST + register);
		batch.u32(MetaAttribute.Key, key);
	});
}

/** Gives the packet what is in register 0 as its mark, or as its priority. */
export function setMeta(batch: NftBatch, key: typeof MetaKey.Mark | typeof MetaKey.Priority): void {
	expression(batch, 'meta', () => {
		batch.u32(MetaAttribute.Key, key);
		batch.u32(MetaAttribute.Sreg, REGISTER_FIRST);
	});
}

/** @param base `PayloadBase` */
export function loadPayload(
	batch: NftBatch,
	base: number,
	offset: number,
	octets: number,
	register: number = 0,
): void {
	expression(batch, 'payload', () => {
		batch.u32(PayloadAttribute.Dreg, REGISTER_FIRST + register);
		batch.u32(PayloadAttribute.Base, base);
		batch.u32(PayloadAttribute.Offset, offset);
		batch.u32(PayloadAttribute.Octets, octets);
	});
}

/** Whether an IPv6 packet has this extension header: one octet, 0 or 1. */
export function loadExtensionPresence(batch: NftBatch, type: number, register: number = 0): void {
	expression(batch, 'exthdr', () => {
		batch.u32(ExtensionAttribute.Dreg, REGISTER_FIRST + register);
		batch.octets(ExtensionAttribute.Type, Uint8Array.of(type));
		batch.u32(ExtensionAttribute.Offset, 0);
		batch.u32(ExtensionAttribute.Octets, 1);
		batch.u32(ExtensionAttribute.Flags, EXTENSION_PRESENT);
	});
}

/** The first octet of an IPv6 packet's extension header, which is the next one's type; no match where it has none. */
export function loadExtensionStart(batch: NftBatch, type: number, register: number = 0): void {
	expression(batch, 'exthdr', () => {
		batch.u32(ExtensionAttribute.Dreg, REGISTER_FIRST + register);
		batch.octets(ExtensionAttribute.Type, Uint8Array.of(type));
		batch.u32(ExtensionAttribute.Offset, 0);
		batch.u32(ExtensionAttribute.Octets, 1);
	});
}

/** What kind of address the destination is to this host: `RTN_*`. */
export function loadDestinationType(batch: NftBatch, register: number = 0): void {
	expression(batch, 'fib', () => {
		batch.u32(FibAttribute.Dreg, REGISTER_FIRST + register);
		batch.u32(FibAttribute.Result, FibQuestion.AddressType);
		batch.u32(FibAttribute.Flags, FibQuestion.OfDestination);
	});
}

/** The mark of the socket that a packet is for. */
export function loadSocketMark(batch: NftBatch, register: number = 0): void {
	expression(batch, 'socket', () => {
		batch.u32(SocketAttribute.Key, SOCKET_MARK);
		batch.u32(SocketAttribute.Dreg, REGISTER_FIRST + register);
	});
}

/** Keeps the bits of a mask, at most sixteen octets. */
export function maskRegister(batch: NftBatch, mask: Uint8Array, register: number = 0): void {
	expression(batch, 'bitwise', () => {
		batch.u32(BitwiseAttribute.Sreg, REGISTER_FIRST + register);
		batch.u32(BitwiseAttribute.Dreg, REGISTER_FIRST + register);
		batch.u32(BitwiseAttribute.Octets, mask.length);
		value(batch, BitwiseAttribute.Mask, mask);
		value(batch, BitwiseAttribute.Xor, new Uint8Array(mask.length));
	});
}

/** Goes on when the register is equal. */
export function whenEqual(batch: NftBatch, octets: Uint8Array, register: number = 0): void {
	compare(batch, Comparison.Equal, octets, register);
}

export function whenDifferent(batch: NftBatch, octets: Uint8Array, register: number = 0): void {
	compare(batch, Comparison.NotEqual, octets, register);
}

function compare(batch: NftBatch, operation: number, octets: Uint8Array, register: number): void {
	expression(batch, 'cmp', () => {
		batch.u32(CompareAttribute.Sreg, REGISTER_FIRST + register);
		batch.u32(CompareAttribute.Operation, operation);
		value(batch, CompareAttribute.Data, octets);
	});
}

/** Goes on when the set has the key that begins in register 0. */
export function whenInSet(batch: NftBatch, set: string): void {
	expression(batch, 'lookup', () => {
		batch.text(LookupAttribute.Set, set);
		batch.u32(LookupAttribute.Sreg, REGISTER_FIRST);
	});
}

/** Counts packets and octets, by a counter of the table's; where the kernel has none, the rule for itself. */
export function count(batch: NftBatch, counter: string): void {
	if (!batch.hasCounters) {
		expression(batch, 'counter', () => {});
		return;
	}
	expression(batch, 'objref', () => {
		batch.u32(ObjectReferenceAttribute.Type, OBJECT_COUNTER);
		batch.text(ObjectReferenceAttribute.Name, counter);
	});
}

/** Loads octets into a register. */
export function loadValue(batch: NftBatch, octets: Uint8Array, register: number = 0): void {
	expression(batch, 'immediate', () => {
		batch.u32(ImmediateAttribute.Dreg, REGISTER_FIRST + register);
		value(batch, ImmediateAttribute.Data, octets);
	});
}

/** Ends the rule; with a chain, for `Jump` and `Goto`. */
export function verdict(batch: NftBatch, code: VerdictNumber, chain?: string): void {
	expression(batch, 'immediate', () => {
		batch.u32(ImmediateAttribute.Dreg, REGISTER_VERDICT);
		const data = batch.nest(ImmediateAttribute.Data);
		const inner = batch.nest(DataAttribute.Verdict);
		batch.u32(VerdictAttribute.Code, code);
		if (chain !== undefined) {
			batch.text(VerdictAttribute.Chain, chain);
		}
		batch.endNest(inner);
		batch.endNest(data);
	});
}
