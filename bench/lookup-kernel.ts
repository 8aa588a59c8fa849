/**
 * The running kernel's policy lookup beside ours, like with like as far as that goes. A program cannot ask the kernel
 * for a lookup alone: `connect` of a UDP socket looks up a route, and behind it the policy. Both figures are
 * therefore what a table of N policies costs more than an empty one, for the same flows and policies:
 *
 *     kernel   connect(2) with N policies, less connect(2) with none (which is all of the system call and route)
 *     ours     Spd.lookup of a flow at hand, with N policies
 *
 *     npm run bench -- lookup-kernel [--json]        as root
 */
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { nullProvider } from '@xfrm/crypto/null';
import { Flow } from '@xfrm/wire';
import { Direction, Family, IpProto } from '@xfrm/wire/xfrm';
import { enterNamespace } from '../test/netlink-live/namespace.ts';
import { KernelEnd, putAll, ServerEnd } from './netlink-end.ts';
import { requests, type Shape, selectorOf } from './netlink-requests.ts';
import { Report } from './report.ts';

const AF_INET = 2;
const SOCK_DGRAM = 2;
const FLOWS = 512;
const ROUNDS = 40;

interface Koffi {
	load(path: null): { func(prototype: string): (...args: readonly unknown[]) => number };
}

const report: Report = new Report('lookup-kernel');

/** Destination and ports of a flow that falls under policy `i`. */
function socketAddress(shape: Shape, i: number): Uint8Array {
	const { daddr, dport } = selectorOf(shape, i);
	const octets = new Uint8Array(16);
	const view = new DataView(octets.buffer);
	view.setUint16(0, AF_INET, true);
	view.setUint16(2, dport === 0 ? 9 : dport);
	octets.set(daddr.subarray(0, 4), 4);
	return octets;
}

/** Spread over the table; those without a policy of their own fall under none. */
function places(count: number): number[] {
	return Array.from({ length: FLOWS }, (_, i) => Math.floor((i * Math.max(count, 1)) / FLOWS));
}

/** Microseconds a connect, the best of some rounds. */
function connectUs(shape: Shape, count: number): number {
	const libc = (createRequire(import.meta.url)('koffi') as Koffi).load(null);
	const socket = libc.func('int socket(int domain, int type, int protocol)');
	const connect = libc.func('int connect(int fd, const void *address, unsigned int length)');
	const close = libc.func('int close(int fd)');
	const fd = socket(AF_INET, SOCK_DGRAM, 0);
	const targets = places(count).map((i) => socketAddress(shape, i));
	let best = Number.POSITIVE_INFINITY;
	for (let round = 0; round < ROUNDS; round++) {
		const from = performance.now();
		for (const target of targets) {
			if (connect(fd, target, target.length) !== 0) {
				throw new RangeError('connect was refused');
			}
		}
		best = Math.min(best, (performance.now() - from) * 1000);
	}
	close(fd);
	return best / FLOWS;
}

function lookupUs(end: ServerEnd, shape: Shape, count: number): number {
	const { spd } = end.engine.net;
	const flows = places(count).map((i) => {
		const target = new DataView(socketAddress(shape, i).buffer);
		const flow = new Flow();
		flow.family = Family.Ipv4;
		flow.daddr[0] = target.getInt32(4);
		flow.saddr[0] = 0x0a00_0001;
		flow.proto = IpProto.Udp;
		flow.dport = target.getUint16(2);
		flow.sport = 1;
		return flow;
	});
	let best = Number.POSITIVE_INFINITY;
	for (let round = 0; round < 10 * ROUNDS; round++) {
		const from = performance.now();
		for (const flow of flows) {
			spd.lookup(flow, Direction.Out, 0, 0, 1);
		}
		best = Math.min(best, (performance.now() - from) * 1000);
	}
	return best / FLOWS;
}

function run(): void {
	const absent = enterNamespace();
	if (absent !== undefined) {
		process.stderr.write(`lookup-kernel: ${absent}\n`);
		return;
	}
	const ip = (...words: readonly string[]): void => void execFileSync('ip', words);
	// Policies do not hold on the loopback device; nothing is ever sent on this one.
	ip('link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1');
	ip('address', 'add', '10.0.0.1/8', 'dev', 'v0');
	ip('link', 'set', 'v1', 'up');
	ip('link', 'set', 'v0', 'up');
	ip('route', 'add', 'default', 'dev', 'v0');
	const kernel = new KernelEnd();
	for (const shape of ['prefixes', 'ports'] as const) {
		const empty = connectUs(shape, 0);
		for (const count of [100, 10_000, 100_000]) {
			if (shape === 'ports' && count > 10_000) {
				continue;
			}
			const ours = new ServerEnd(nullProvider());
			const add = requests.addPassing(shape, count);
			putAll(kernel, add);
			putAll(ours, add);
			const theirs = Math.max(0, connectUs(shape, count) - empty);
			const value = lookupUs(ours, shape, count);
			report.add(`lookup, ${count} policies, ${shape}`, 1000 * value, 'ns', {
				against: `what connect(2) takes longer, ${Math.round(1000 * theirs).toLocaleString('en')}`,
				ratio: theirs === 0 ? 0 : value / theirs,
			});
			putAll(kernel, [requests.flushPolicies()]);
		}
	}
}

run();
report.finish();
