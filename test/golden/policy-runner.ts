/**
 * Runs a line of policy-decisions.jsonl or policy-ties.jsonl: rulesets go in through netlink, each flow is
 * looked up by the engine, and the policy that answers is named by the op that made it.
 */
import { nodeProvider } from '@xfrm/crypto/node';
import { Batch, Engine, type KernelProfile, type TraceEvent, type XfrmPolicy } from '@xfrm/engine';
import {
	encodeMessage,
	MessageFlag,
	parseAck,
	splitMessages,
	type XfrmAttribute,
} from '@xfrm/netlink';
import { NetlinkServer } from '@xfrm/netlink-server';
import { PacketBuffer, type Route } from '@xfrm/wire';
import {
	anyAddress,
	anySelector,
	Direction,
	errnoName,
	Family,
	PolicyAction,
	parseAddress,
	UNLIMITED,
	UNUSED,
} from '@xfrm/wire/xfrm';
import { type Difference, differs } from './difference.ts';

export interface PolicyOp {
	readonly op?: 'add' | 'update' | 'del';
	readonly f: 4 | 6;
	readonly s?: string;
	readonly sl?: number;
	readonly d?: string;
	readonly dl?: number;
	readonly p?: number;
	readonly sp?: number;
	readonly spm?: number;
	readonly dp?: number;
	readonly dpm?: number;
	readonly pr?: number;
	readonly m?: readonly [number, number];
	readonly ifid?: number;
}

export interface PolicyFlow {
	readonly f: 4 | 6;
	readonly s: string;
	readonly d: string;
	readonly p: number;
	readonly sp: number;
	readonly dp: number;
	readonly m?: number;
}

export interface PolicyCase {
	readonly id: string;
	readonly ops: readonly PolicyOp[];
	readonly flows: readonly PolicyFlow[];
	readonly errors: Readonly<Record<string, string>>;
	readonly decisions: readonly number[];
	readonly decisions_6_1?: Readonly<Record<string, number>>;
}

export interface PolicyResult {
	readonly right: number;
	readonly difference: Difference | undefined;
}

const provider = nodeProvider();
const NOW_US = 1_700_000_000_500_000;

/** Runs a case: how many flows got the policy that the kernel chose, and the first that did not. */
export function runPolicyCase(policyCase: PolicyCase, profile: KernelProfile): PolicyResult {
	const engine = new Engine({ profile, provider, random: () => {}, route: () => undefined });
	const server = new NetlinkServer(engine);
	const client = server.connect({ portId: 1001 });
	const errors: Record<string, string> = {};
	for (const [number, op] of policyCase.ops.entries()) {
		const answers = server.request(client, requestOf(op, number), NOW_US + number);
		const errno = errnoOf(answers);
		if (errno !== 0) {
			errors[number] = errnoName(errno);
		}
	}
	const difference = differs('errors', policyCase.errors ?? {}, errors);
	if (difference !== undefined) {
		return { right: 0, difference };
	}
	return lookUpFlows(engine, policyCase, profile);
}

function lookUpFlows(engine: Engine, policyCase: PolicyCase, profile: KernelProfile): PolicyResult {
	let right = 0;
	let first: Difference | undefined;
	for (const [number, flow] of policyCase.flows.entries()) {
		const want = decisionOf(policyCase, number, profile);
		const have = chosenOp(engine, flow);
		if (want === have) {
			right++;
		} else {
			first ??= {
				field: `flow ${number} ${JSON.stringify(flow)}`,
				want: `op ${want} ${JSON.stringify(policyCase.ops[want])}`,
				have: `op ${have} ${JSON.stringify(policyCase.ops[have])}`,
			};
		}
	}
	return { right, difference: first };
}

/** The op that made the policy which an OUT lookup of the flow meets, -1 for none. */
function chosenOp(engine: Engine, flow: PolicyFlow): number {
	const met: (XfrmPolicy | undefined)[] = [];
	engine.net.tracer = {
		note: (event: TraceEvent) => {
			if (event.kind === 'policy' && event.table === 'main') {
				met.push(event.winner);
			}
		},
	};
	const family = flow.f === 4 ? Family.Ipv4 : Family.Ipv6;
	const packet = new PacketBuffer(2048);
	packet.family = family;
	packet.route = anyRoute(family);
	packet.mark = (flow.m ?? 0) | 0;
	packet.flow.family = family;
	packet.flow.saddr.set(words(flow.s));
	packet.flow.daddr.set(words(flow.d));
	packet.flow.proto = flow.p;
	packet.flow.sport = flow.sp;
	packet.flow.dport = flow.dp;
	packet.flow.mark = (flow.m ?? 0) | 0;
	packet.flow.oif = 2;
	engine.lookup(Batch.of(NOW_US + 1_000_000, packet));
	engine.net.tracer = null;
	return met[0] === undefined ? -1 : met[0].config.lifetime.softByteLimit;
}

function anyRoute(family: number): Route {
	return {
		family,
		ifindex: 2,
		loopback: false,
		kind: 'unicast',
		source: anyAddress(),
		mtu: 1500,
		hopLimit: 64,
		noXfrm: false,
	};
}

function words(text: string): Int32Array {
	const address = addressOf(text);
	const view = new DataView(address.buffer);
	return Int32Array.of(view.getInt32(0), view.getInt32(4), view.getInt32(8), view.getInt32(12));
}

function addressOf(text: string | undefined): Uint8Array {
	const parsed = text === undefined ? undefined : parseAddress(text);
	return parsed?.address ?? anyAddress();
}

/** The op whose policy the kernel chose for a flow, -1 for none. */
export function decisionOf(one: PolicyCase, flow: number, profile: KernelProfile): number {
	const other = profile.name === 'linux61' ? one.decisions_6_1?.[flow] : undefined;
	return other ?? one.decisions[flow] ?? -1;
}

/** An op as the request that makes it; its number goes along as a limit that policies never look at. */
export function requestOf(op: PolicyOp, number: number): Uint8Array {
	const selector = {
		...anySelector(op.f === 4 ? Family.Ipv4 : Family.Ipv6),
		saddr: addressOf(op.s),
		prefixlenS: op.sl ?? 0,
		daddr: addressOf(op.d),
		prefixlenD: op.dl ?? 0,
		proto: op.p ?? 0,
		sport: op.sp ?? 0,
		sportMask: op.spm ?? 0,
		dport: op.dp ?? 0,
		dportMask: op.dpm ?? 0,
	};
	const attributes: XfrmAttribute[] = [];
	if (op.m !== undefined) {
		attributes.push({ name: 'mark', value: { v: op.m[0], m: op.m[1] } });
	}
	if (op.ifid !== undefined) {
		attributes.push({ name: 'ifId', value: op.ifid });
	}
	const header = { flags: MessageFlag.Request | MessageFlag.Ack, seq: number + 1, pid: 0 };
	if (op.op === 'del') {
		const body = { selector, index: 0, direction: Direction.Out };
		return encodeMessage({ name: 'delpolicy', ...header, body, attributes });
	}
	const body = {
		selector,
		lifetime: { ...UNLIMITED, softByteLimit: number },
		lifetimeCurrent: UNUSED,
		priority: op.pr ?? 0,
		index: 0,
		direction: Direction.Out,
		action: PolicyAction.Allow,
		flags: 0,
		share: 0,
	};
	const name = op.op === 'update' ? 'updpolicy' : 'newpolicy';
	return encodeMessage({ name, ...header, body, attributes });
}

function errnoOf(answers: readonly Uint8Array[]): number {
	for (const datagram of answers) {
		for (const message of splitMessages(datagram)) {
			const ack = parseAck(message);
			if (ack !== undefined) {
				return ack.errno;
			}
		}
	}
	return 0;
}
