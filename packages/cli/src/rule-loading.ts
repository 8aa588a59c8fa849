/**
 * Rules carried out on a kernel, one after the other, and taken back: a kernel has no transactions, so what
 * `xfrm load` promises (all or nothing) is a rehearsal elsewhere first, and this if it goes wrong after all.
 */
import {
	type CommandContext,
	type DumpedObject,
	loadKind,
	loadRequest,
	type RulesStep,
	runCommandAsync,
} from '@xfrm/iproute';
import {
	type Ack,
	encodeMessage,
	MessageFlag,
	type NamedMessage,
	parseAck,
	splitMessages,
	type XfrmAttribute,
	type XfrmMessage,
} from '@xfrm/netlink';
import { formatHex } from '@xfrm/wire';
import { errnoName, errnoText, IpProto, type ReplayEsn } from '@xfrm/wire/xfrm';
import type { KernelTables } from './kernel-tables.ts';

/** Sends a datagram and gives all datagrams that came back for it. */
export type Exchange = (datagram: Uint8Array) => Promise<readonly Uint8Array[]>;

/** A rule that the kernel refused. */
export interface Refusal {
	readonly line: number;
	/** Positive; 0 for what `ip` itself refuses. */
	readonly errno: number;
	readonly text: string;
}

/** Carries a rule out; undefined when it was accepted, or is nothing to send (helper states). */
export async function carryOutRule(
	step: RulesStep,
	exchange: Exchange,
	context: CommandContext,
): Promise<Refusal | undefined> {
	const { line } = step;
	if (step.kind === 'command') {
		const { status, errno, stderr } = await runCommandAsync(step.command, exchange, context);
		return status === 0 ? undefined : { line, errno, text: stderr.trim() };
	}
	const ack = loadKind(step) === 'add' ? await send(loadRequest(step), exchange) : undefined;
	return ack === undefined ? undefined : { line, errno: ack.errno, text: ackText(ack) };
}

/** Why an object of a dump is not loaded, undefined for one that is, or that comes with another. */
export function leftOut(step: RulesStep): string | undefined {
	if (step.kind === 'command') {
		return undefined;
	}
	switch (loadKind(step)) {
		case 'larval':
			return 'a larval state: only a key manager makes one';
		case 'socket':
			return 'a policy of a socket: that socket is not here';
		default:
			return undefined;
	}
}

/** The kernel's refusal; undefined when it accepted. */
async function send(message: XfrmMessage, exchange: Exchange): Promise<Ack | undefined> {
	for (const datagram of await exchange(encodeMessage(message))) {
		for (const raw of splitMessages(datagram)) {
			const ack = parseAck(raw);
			if (ack !== undefined && ack.errno !== 0) {
				return ack;
			}
		}
	}
	return undefined;
}

function ackText(ack: Ack): string {
	const { message } = ack.extended;
	const errno = `${errnoText(ack.errno)} (${errnoName(ack.errno)})`;
	return message === undefined ? errno : `${errno}: ${message}`;
}

type Member = NamedMessage<'newsa'> | NamedMessage<'newpolicy'>;

const REQUEST = { flags: MessageFlag.Request | MessageFlag.Ack, seq: 1, pid: 0 };

/** Attributes that say, with the body, which object it is. */
const IDENTITY = new Set(['mark', 'ifId', 'policyType']);

/** The request that deletes an object: also its identity, octet by octet. */
function deletionOf({ name, body, attributes }: Member): XfrmMessage {
	const told = attributes.filter((one) => IDENTITY.has(one.name));
	if (name === 'newpolicy') {
		const { selector, direction } = body;
		return {
			...REQUEST,
			name: 'delpolicy',
			body: { selector, index: 0, direction },
			attributes: told,
		};
	}
	const { id, saddr, family } = body;
	const { daddr, spi, proto } = id;
	const source: XfrmAttribute = { name: 'srcaddr', value: saddr };
	const mark = told.filter((one) => one.name === 'mark');
	return {
		...REQUEST,
		name: 'delsa',
		body: { daddr, spi, proto, family },
		attributes: spi === 0 ? [source, ...mark] : mark,
	};
}

function byIdentity(members: readonly Member[]): Map<string, Member> {
	return new Map(
		members
			.filter((member) => isOurs(member))
			.map((member) => [formatHex(encodeMessage(deletionOf(member))), member]),
	);
}

/** Objects that requests make and delete: no helpers of IPComp, no larval states, no policies of sockets. */
function isOurs(member: Member): boolean {
	return loadKind(dumpedOf(member)) === 'add';
}

/** A message of a kernel's dump as one that was read from text. */
function dumpedOf(message: Member): DumpedObject {
	const place = { line: 0, lastLine: 0, untold: { hiddenKeys: [], statistics: true } };
	return message.name === 'newsa'
		? { kind: 'state', message, ...place }
		: { kind: 'policy', message, ...place };
}

/**
 * Packets that may have left since the tables were read, at most. A state that is put back goes on behind
 * them: a sequence number must never be used twice under one key.
 */
const SENT_SINCE = 1 << 20;

/** The request that puts an object back as it was. */
function restorationOf(member: Member): XfrmMessage {
	if (member.name === 'newpolicy') {
		return loadRequest(dumpedOf(member));
	}
	const attributes = member.attributes.map(skipAhead);
	return loadRequest(dumpedOf({ ...member, attributes }));
}

function skipAhead(one: XfrmAttribute): XfrmAttribute {
	if (one.name === 'replayVal') {
		const oseq = Math.min(one.value.oseq + SENT_SINCE, 0xffff_ffff);
		return { ...one, value: { ...one.value, oseq } };
	}
	return one.name === 'replayEsnVal' ? { ...one, value: skipEsnAhead(one.value) } : one;
}

function skipEsnAhead(replay: ReplayEsn): ReplayEsn {
	const low = replay.oseq + SENT_SINCE;
	const high = replay.oseqHi + (low > 0xffff_ffff ? 1 : 0);
	return { ...replay, oseq: low >>> 0, oseqHi: Math.min(high, 0xffff_ffff) };
}

/** What a policy or state is but for what counts by itself. */
function settings(member: Member): string {
	const { attributes } = member;
	const counting = new Set(['replayVal', 'replayEsnVal', 'lastused']);
	const head = { seq: 0, pid: 0, flags: 0 };
	const told = attributes.filter(({ name }) => !counting.has(name));
	const lifetimeCurrent = { bytes: 0, packets: 0, addTime: 0, useTime: 0 };
	const stats = { replayWindow: 0, replay: 0, integrityFailed: 0 };
	const message: XfrmMessage =
		member.name === 'newsa'
			? { ...member, ...head, attributes: told, body: { ...member.body, lifetimeCurrent, stats } }
			: { ...member, ...head, attributes: told, body: { ...member.body, lifetimeCurrent } };
	return formatHex(encodeMessage(message));
}

/**
 * Takes the tables from what they are now back to what they were: what is new goes, what is missing or
 * changed is put back.
 *
 * @returns what could not be put back, in words
 */
export async function takeBack(
	before: KernelTables,
	now: KernelTables,
	exchange: Exchange,
): Promise<readonly string[]> {
	const failures: string[] = [];
	const request = async (message: XfrmMessage, what: string): Promise<void> => {
		const ack = await send(message, exchange);
		if (ack !== undefined) {
			failures.push(`${what}: ${ackText(ack)}`);
		}
	};
	for (const part of ['states', 'policies'] as const) {
		const old = byIdentity(before[part]);
		const present = byIdentity(now[part]);
		for (const [identity, member] of present) {
			if (!old.has(identity)) {
				await request(deletionOf(member), `${nameOf(member)} is still there`);
			}
		}
		// Oldest first, as they were made.
		for (const [identity, member] of [...old].reverse()) {
			const there = present.get(identity);
			if (there === undefined) {
				await request(restorationOf(member), `${nameOf(member)} is gone`);
			} else if (settings(there) !== settings(member)) {
				await request(updateOf(restorationOf(member)), `${nameOf(member)} is changed`);
			}
		}
	}
	const { defaults, thresholds } = before;
	if (defaults !== undefined) {
		await request(
			{ ...REQUEST, name: 'setdefault', body: defaults, attributes: [] },
			'the defaults',
		);
	}
	const { threshold4, threshold6 } = thresholds;
	const attributes: XfrmAttribute[] = [
		{ name: 'spdIpv4Hthresh', value: threshold4 },
		{ name: 'spdIpv6Hthresh', value: threshold6 },
	];
	await request(
		{ ...REQUEST, name: 'newspdinfo', body: { flags: 0 }, attributes },
		'the thresholds',
	);
	return failures;
}

/** The same as an update: a state then keeps its numbers and counters. */
function updateOf(message: XfrmMessage): XfrmMessage {
	switch (message.name) {
		case 'newsa':
			return { ...message, name: 'updsa' };
		case 'newpolicy':
			return { ...message, name: 'updpolicy' };
		default:
			return message;
	}
}

function nameOf(member: Member): string {
	if (member.name === 'newpolicy') {
		return `policy ${member.body.index}`;
	}
	const { proto, spi } = member.body.id;
	const word = proto === IpProto.Esp ? 'esp' : proto === IpProto.Ah ? 'ah' : `proto ${proto}`;
	return `state ${word} 0x${spi.toString(16).padStart(8, '0')}`;
}

/** Keys that a step has but the text hid. */
export function hidesKeys(step: RulesStep): boolean {
	return step.kind !== 'command' && step.untold.hiddenKeys.length > 0;
}
