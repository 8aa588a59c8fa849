import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { Flow } from '@xfrm/wire';
import { anyAddress, type PolicyConfig, type Selector, UNLIMITED } from '@xfrm/wire/xfrm';
import fc from 'fast-check';
import { address, makeNamespace, selector } from './input-fixture.test.ts';
import { type KernelProfile, linux61, linux619 } from './kernel-profile.ts';
import { PolicyList, XfrmPolicy } from './policy.ts';
import { addPolicy, deletePolicy, updatePolicy } from './policy-commands.ts';
import { addressWords } from './selector-match.ts';
import { Spd } from './spd.ts';
import { scanPolicies } from './spd-scan.ts';

const profiles = [linux61, linux619];

function config(options: Partial<PolicyConfig> = {}): PolicyConfig {
	return {
		selector: selector({ dst: '0.0.0.0/0' }),
		lifetime: UNLIMITED,
		priority: 0,
		index: 0,
		direction: 1,
		action: 0,
		flags: 0,
		share: 0,
		type: 0,
		templates: [],
		...options,
	};
}

function flowOf(options: {
	src: string;
	dst: string;
	proto?: number;
	sport?: number;
	dport?: number;
	mark?: number;
	oif?: number;
}): Flow {
	const flow = new Flow();
	flow.family = options.dst.includes(':') ? 10 : 2;
	flow.saddr.set(addressWords(address(options.src), flow.family));
	flow.daddr.set(addressWords(address(options.dst), flow.family));
	flow.proto = options.proto ?? 17;
	flow.sport = options.sport ?? 0;
	flow.dport = options.dport ?? 0;
	flow.mark = (options.mark ?? 0) | 0;
	flow.oif = options.oif ?? 0;
	return flow;
}

/**
 * The kernel's lists as lists: each candidate list sorted by insertion, the replaced one taken out
 * behind the new one; position numbers as the profile's kernel gives them.
 */
class ListModel {
	private readonly lists: Map<number, XfrmPolicy[]> = new Map();
	private readonly inexact: XfrmPolicy[] = [];
	private readonly places: Map<XfrmPolicy, number> = new Map();
	private ageLast = 0;
	private readonly byAge: boolean;

	constructor(profile: KernelProfile) {
		this.byAge = profile.tiesByAge;
	}

	insert(policy: XfrmPolicy, replaced: XfrmPolicy | null): void {
		const list = this.lists.get(policy.list) ?? [];
		this.lists.set(policy.list, list);
		insertSorted(list, policy, replaced);
		this.places.set(policy, this.byAge ? ++this.ageLast : 0);
		if (policy.list !== PolicyList.Exact) {
			insertSorted(this.inexact, policy, replaced);
			if (!this.byAge) {
				this.inexact.forEach((member, place) => void this.places.set(member, place));
			}
		}
		if (replaced !== null) {
			this.remove(replaced);
		}
	}

	remove(policy: XfrmPolicy): void {
		for (const list of [...this.lists.values(), this.inexact]) {
			const at = list.indexOf(policy);
			if (at >= 0) {
				list.splice(at, 1);
			}
		}
	}

	lookup(flow: Flow, type: number, ifId: number): XfrmPolicy | null {
		let best: XfrmPolicy | null = null;
		for (let kind = 0; kind < 5; kind++) {
			const found = (this.lists.get(kind) ?? []).find(
				(policy) =>
					policy.family === flow.family &&
					policy.type === type &&
					policy.ifId === ifId &&
					policy.markFits(flow.mark) &&
					policy.selector.matches(flow),
			);
			if (found === undefined || (best !== null && found.priority > best.priority)) {
				continue;
			}
			const isOlder: boolean =
				best !== null &&
				found.priority === best.priority &&
				(this.places.get(best) ?? 0) < (this.places.get(found) ?? 0);
			best = isOlder ? best : found;
		}
		return best;
	}
}

function insertSorted(list: XfrmPolicy[], policy: XfrmPolicy, replaced: XfrmPolicy | null): void {
	const old = replaced === null ? -1 : list.indexOf(replaced);
	if (old >= 0 && replaced?.priority === policy.priority) {
		list.splice(old, 0, policy);
		return;
	}
	let at = 0;
	while (at < list.length && (list[at]?.priority ?? 0) <= policy.priority) {
		at++;
	}
	list.splice(at, 0, policy);
}

const prefix4 = fc.constantFrom(
	'0.0.0.0/0',
	'10.0.0.0/8',
	'10.1.0.0/16',
	'10.1.0.7/16',
	'10.1.1.0/24',
	'10.1.1.1/32',
	'0.0.0.0/32',
);
const prefix6 = fc.constantFrom('::/0', '2001:db8::/32', '2001:db8::/48', '2001:db8::1/128');

const selectors: fc.Arbitrary<Selector> = fc
	.record({
		pair: fc.oneof(fc.tuple(prefix4, prefix4), fc.tuple(prefix6, prefix6)),
		proto: fc.constantFrom(0, 0, 17),
		dport: fc.constantFrom(0, 0, 5),
		dportMask: fc.constantFrom(0, 0xffff, 0xfffe),
		sport: fc.constantFrom(0, 6),
		sportMask: fc.constantFrom(0, 0, 0xffff),
		ifindex: fc.constantFrom(0, 0, 0, 2),
		user: fc.constantFrom(0, 0, 0, 1000),
	})
	.map(({ pair: [src, dst], ...rest }) => selector({ src, dst, ...rest }));

const configs: fc.Arbitrary<PolicyConfig> = fc
	.record({
		selector: selectors,
		priority: fc.constantFrom(0, 0, 0, 7, 0xfffffff0),
		type: fc.constantFrom(0, 0, 0, 1),
		ifId: fc.constantFrom(0, 0, 0, 0xc0000001),
		mark: fc.constantFrom({ v: 0, m: 0 }, { v: 0, m: 0 }, { v: 1, m: 0xff }, { v: 0, m: 0xff }),
	})
	.map(config);

const flows: fc.Arbitrary<Flow> = fc
	.record({
		pair: fc.oneof(
			fc.tuple(
				fc.constantFrom('10.1.1.1', '10.2.0.1', '192.0.2.1', '0.0.0.0'),
				fc.constantFrom('10.1.1.1', '10.1.2.1', '192.0.2.1', '0.0.0.0'),
			),
			fc.tuple(
				fc.constantFrom('2001:db8::1', '2001:db8:1::1'),
				fc.constantFrom('2001:db8::1', '::1'),
			),
		),
		proto: fc.constantFrom(17, 6),
		sport: fc.constantFrom(6, 9),
		dport: fc.constantFrom(4, 5),
		mark: fc.constantFrom(0, 1),
		oif: fc.constantFrom(0, 2),
	})
	.map(({ pair: [src, dst], ...rest }) => flowOf({ src, dst, ...rest }));

// @spec P-2 P-3 P-4 P-4b P-5 P-6 P-7 P-25
test('table, scan and the kernel’s lists agree on random rules, in both profiles', () => {
	const op = fc.record({
		kind: fc.constantFrom('add', 'add', 'add', 'update', 'delete'),
		made: configs,
		again: fc.nat(20),
	});
	for (const profile of profiles) {
		fc.assert(
			fc.property(
				fc.array(op, { maxLength: 25 }),
				fc.array(flows, { minLength: 1, maxLength: 5 }),
				(ops, asked) => {
					const spd = new Spd(profile);
					const model = new ListModel(profile);
					const all: PolicyConfig[] = [];
					for (const { kind, made, again } of ops) {
						const known = all[again % Math.max(1, all.length)];
						const chosen =
							kind === 'add' || known === undefined
								? made
								: { ...known, priority: again % 3 === 0 ? made.priority : known.priority };
						const twin = spd.twin(new XfrmPolicy(chosen, 0));
						if (kind === 'delete') {
							if (twin !== null) {
								spd.remove(twin);
								model.remove(twin);
							}
							continue;
						}
						all.push(chosen);
						const policy = new XfrmPolicy(chosen, twin?.index ?? spd.freeIndex(1, 0));
						spd.insert(policy, twin);
						model.insert(policy, twin);
					}
					for (const flow of asked) {
						for (const [type, ifId] of [
							[0, 0],
							[1, 0],
							[0, 0xc0000001 | 0],
						] as const) {
							const best = spd.best(flow, 1, type, ifId);
							assert.equal(best, model.lookup(flow, type, ifId), `model, ${profile.name}`);
							const scan = scanPolicies(spd, flow, 1, type, ifId);
							assert.equal(scan.winner ?? null, best, `scan, ${profile.name}`);
							const others = [...spd.policies()].filter(
								(policy) => policy.type === type && policy !== best,
							);
							assert.deepEqual(
								scan.losers.map((loser) => loser.object),
								others,
							);
						}
					}
				},
			),
			{ numRuns: 400 },
		);
	}
});

/** A selector of any two prefix lengths whose addresses have few bits, so that flows fall under many. */
const oddSelectors: fc.Arbitrary<PolicyConfig> = fc
	.record({
		isIpv4: fc.boolean(),
		bits: fc.tuple(fc.nat(3), fc.nat(3)),
		prefixes: fc.tuple(fc.nat(130), fc.nat(130)),
		ports: fc.tuple(fc.nat(3), fc.nat(3), fc.nat(0xffff), fc.nat(0xffff)),
		proto: fc.constantFrom(0, 6, 17),
		ifindex: fc.constantFrom(0, 0, 2),
		mark: fc.tuple(fc.nat(3), fc.integer()),
		priority: fc.oneof(fc.constant(5), fc.nat(20), fc.constant(0xffff_fff0)),
	})
	.map(({ isIpv4, bits, prefixes, ports, proto, ifindex, mark, priority }) => {
		const bitsMax = isIpv4 ? 33 : 129;
		const mask = mark[1] >>> 0;
		return config({
			selector: {
				...selector({ dst: isIpv4 ? '0.0.0.0/0' : '::/0' }),
				daddr: oddAddress(bits[0]),
				saddr: oddAddress(bits[1]),
				prefixlenD: prefixes[0] % (bitsMax + 1),
				prefixlenS: prefixes[1] % (bitsMax + 1),
				dport: ports[0],
				sport: ports[1],
				dportMask: ports[2] & 3 ? 0 : ports[2],
				sportMask: ports[3] & 3 ? 0 : ports[3],
				proto,
				ifindex,
			},
			priority,
			mark: (mask & 3) === 0 ? { v: mark[0] & mask, m: mask } : { v: 0, m: 0 },
		});
	});

/** The first and the last of its octets have a bit each. */
function oddAddress(bits: number): Uint8Array {
	const octets = anyAddress();
	octets[0] = bits & 1;
	octets[3] = bits >> 1;
	return octets;
}

// @spec P-2 P-3 P-4 P-4b P-25
test('table and scan agree on hundreds of tuples that come and go', () => {
	const changes = fc.array(fc.tuple(oddSelectors, fc.nat(2)), { minLength: 150, maxLength: 300 });
	for (const profile of profiles) {
		fc.assert(
			fc.property(
				changes,
				fc.array(oddSelectors, { minLength: 20, maxLength: 20 }),
				(ops, asked) => {
					const spd = new Spd(profile);
					const inserted: XfrmPolicy[] = [];
					for (const [made, kind] of ops) {
						if (kind === 0 && inserted.length > 100) {
							const [gone] = inserted.splice((made.priority * 7) % inserted.length, 1);
							assert.ok(gone !== undefined);
							spd.remove(gone);
							continue;
						}
						const twin = spd.twin(new XfrmPolicy(made, 0));
						const policy = new XfrmPolicy(made, twin?.index ?? spd.freeIndex(1, 0));
						spd.insert(policy, twin);
						if (twin !== null) {
							inserted.splice(inserted.indexOf(twin), 1);
						}
						inserted.push(policy);
					}
					for (const { selector: near, mark } of asked) {
						const flow = new Flow();
						flow.family = near.family;
						flow.daddr.set(addressWords(near.daddr, near.family));
						flow.saddr.set(addressWords(near.saddr, near.family));
						flow.proto = near.proto === 0 ? 6 : near.proto;
						flow.dport = near.dport;
						flow.sport = near.sport;
						flow.mark = (mark?.v ?? 0) | 0;
						flow.oif = near.ifindex;
						const scan = scanPolicies(spd, flow, 1, 0, 0);
						assert.equal(spd.best(flow, 1, 0, 0), scan.winner ?? null, profile.name);
					}
				},
			),
			// To shrink hundreds of changes would take minutes.
			{ numRuns: 25, endOnFailure: true },
		);
	}
});

interface GoldenOp {
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

interface GoldenCase {
	readonly id: string;
	readonly ops: readonly GoldenOp[];
	readonly flows: readonly {
		f: 4 | 6;
		s: string;
		d: string;
		p: number;
		sp: number;
		dp: number;
		m?: number;
	}[];
	readonly errors: Readonly<Record<string, string>>;
	readonly decisions: readonly number[];
	readonly decisions_6_1?: Readonly<Record<string, number>>;
}

/** Cases of a golden file, plain or compressed; undefined where there is no copy. */
function goldenCases(name: string): GoldenCase[] | undefined {
	const base = new URL(`../../../golden/${name}.jsonl`, import.meta.url);
	const packed = new URL(`${base.href}.gz`);
	const text = existsSync(packed)
		? gunzipSync(readFileSync(packed)).toString()
		: existsSync(base)
			? readFileSync(base, 'utf8')
			: undefined;
	return text
		?.split('\n')
		.filter((line) => line !== '')
		.map((line) => JSON.parse(line) as GoldenCase);
}

function goldenConfig(op: GoldenOp): PolicyConfig {
	return config({
		selector: {
			daddr: op.d === undefined ? anyAddress() : address(op.d),
			saddr: op.s === undefined ? anyAddress() : address(op.s),
			prefixlenD: op.dl ?? 0,
			prefixlenS: op.sl ?? 0,
			dport: op.dp ?? 0,
			dportMask: op.dpm ?? 0,
			sport: op.sp ?? 0,
			sportMask: op.spm ?? 0,
			family: op.f === 4 ? 2 : 10,
			proto: op.p ?? 0,
			ifindex: 0,
			user: 0,
		},
		priority: op.pr ?? 0,
		...(op.m === undefined ? {} : { mark: { v: op.m[0], m: op.m[1] } }),
		...(op.ifid === undefined ? {} : { ifId: op.ifid }),
	});
}

/** Which op made the policy that each flow gets, and which ops were refused. */
function decide(golden: GoldenCase, profile: KernelProfile): [number[], Record<string, string>] {
	const net = makeNamespace(profile);
	const makers = new Map<number, number>();
	const errors: Record<string, string> = {};
	for (const [number, op] of golden.ops.entries()) {
		const made = goldenConfig(op);
		const mark = made.mark ?? { v: 0, m: 0 };
		const { selector: wanted, ifId = 0 } = made;
		const query = { direction: 1, type: 0, ifId, mark, index: 0, selector: wanted };
		if (op.op === 'del') {
			if (deletePolicy(net, query).refusal !== undefined) {
				errors[number] = 'ENOENT';
			}
			continue;
		}
		const answer = op.op === 'update' ? updatePolicy(net, made) : addPolicy(net, made);
		if (answer.refusal !== undefined) {
			errors[number] = 'EEXIST';
		} else {
			makers.set(answer.value.index, number);
		}
	}
	const decisions = golden.flows.map((flow) => {
		const { s: src, d: dst, p: proto, sp: sport, dp: dport, m: mark = 0 } = flow;
		const best = net.spd.best(flowOf({ src, dst, proto, sport, dport, mark, oif: 2 }), 1, 0, 0);
		return best === null ? -1 : (makers.get(best.index) ?? -1);
	});
	return [decisions, errors];
}

// @spec P-3 P-4 P-4b P-5 P-7 P-11
for (const name of ['policy-ties', 'policy-decisions']) {
	const cases = goldenCases(name);
	test(`${name}: every flow gets the policy that the kernel chose, in both profiles`, {
		skip: cases === undefined && `golden/${name} is not here`,
	}, () => {
		for (const profile of profiles) {
			for (const golden of cases ?? []) {
				const wanted = golden.decisions.map((decision, number) =>
					profile.tiesByAge ? decision : (golden.decisions_6_1?.[number] ?? decision),
				);
				assert.deepEqual(
					decide(golden, profile),
					[wanted, golden.errors],
					`${golden.id}, ${profile.name}`,
				);
			}
		}
	});
}

// @spec P-8
test('an index has its direction in the low bits, comes from one generator, and may be asked for', () => {
	const spd = new Spd(linux619);
	const put = (direction: number, wanted: number): number => {
		const index = spd.freeIndex(direction, wanted);
		const made = config({ direction, selector: selector({ dst: `10.0.0.${index % 256}/32` }) });
		spd.insert(new XfrmPolicy(made, index), null);
		return index;
	};
	assert.deepEqual([put(0, 0), put(1, 0), put(2, 0)], [8, 9, 18]);
	assert.equal(put(1, 0x4001), 0x4001);
	assert.equal(put(1, 0x4001), 25, 'taken: the generator goes on');
	assert.equal(new Spd(linux619).freeIndex(1, 0), 1);
	assert.equal(new Spd(linux619).freeIndex(2, 0), 2);
});

// @spec P-15
test('a lookup notes the use, a mere question does not', () => {
	const spd = new Spd(linux619);
	const policy = new XfrmPolicy(config(), 1);
	spd.insert(policy, null);
	const flow = flowOf({ src: '10.0.0.1', dst: '10.0.0.2' });
	assert.equal(spd.best(flow, 1, 0, 0), policy);
	assert.equal(policy.useTime, 0);
	assert.equal(spd.lookup(flow, 1, 0, 0, 1234), policy);
	assert.equal(policy.useTime, 1234);
});

// @spec P-11
test('thresholds decide which policies are exact, and so about ties; sorting anew forgets old places', () => {
	const spd = new Spd(linux61);
	const wide = new XfrmPolicy(
		config({ selector: selector({ src: '10.0.0.0/8', dst: '10.0.0.0/8' }) }),
		1,
	);
	const older = new XfrmPolicy(
		config({ selector: selector({ src: '10.1.0.0/24', dst: '10.2.0.0/24' }) }),
		9,
	);
	spd.insert(wide, null);
	spd.insert(older, null);
	const flow = flowOf({ src: '10.1.0.1', dst: '10.2.0.1' });
	assert.equal(spd.best(flow, 1, 0, 0), wide);
	assert.deepEqual(spd.setThreshold(2, 33, 0)?.errno, 22);
	assert.equal(spd.setThreshold(2, 24, 24), undefined);
	assert.equal(older.list, PolicyList.Exact);
	assert.equal(spd.best(flow, 1, 0, 0), wide, 'first of all inexact ones: exact loses');
	const ahead = new XfrmPolicy(
		config({ priority: 0, selector: selector({ src: '10.9.0.0/16', dst: '10.9.0.0/16' }) }),
		17,
	);
	spd.remove(wide);
	spd.insert(ahead, null);
	spd.insert(new XfrmPolicy(wide.config, 25), null);
	assert.equal(spd.best(flow, 1, 0, 0), older, 'not the first any more: exact wins');
});

// @spec P-25
test('a prefix longer than an address matches nothing, but the policy is found by its identity', () => {
	const spd = new Spd(linux619);
	const wrong = { ...selector({ dst: '10.0.0.2/32' }), prefixlenD: 33 };
	const policy = new XfrmPolicy(config({ selector: wrong }), 1);
	spd.insert(policy, null);
	assert.equal(spd.best(flowOf({ src: '10.0.0.1', dst: '10.0.0.2' }), 1, 0, 0), null);
	assert.equal(spd.twin(new XfrmPolicy(config({ selector: wrong }), 0)), policy);
});

// @spec P-2 P-25 P-26
test('a loser is named by the first field that decided, in the kernel’s order', () => {
	const flow = flowOf({ src: '10.1.0.1', dst: '10.2.0.1', proto: 1, sport: 8, dport: 0, mark: 5 });
	const base = selector({ src: '10.1.0.0/16', dst: '10.2.0.0/16' });
	const rows: readonly [Partial<PolicyConfig>, string, string, string][] = [
		[{ selector: selector({ dst: '2001:db8::/32' }) }, 'family', 'ipv6', 'ipv4'],
		[{ ifId: 7, selector: base }, 'if_id', '0x7', '0x0'],
		[{ mark: { v: 6, m: 0xff }, selector: base }, 'mark', '0x6/0xff', '0x5'],
		[
			{ selector: selector({ src: '10.9.0.0/16', dst: '10.9.0.0/16' }) },
			'dst',
			'10.9.0.0/16',
			'10.2.0.1',
		],
		[{ selector: selector({ src: '10.9.0.0/16' }) }, 'src', '10.9.0.0/16', '10.1.0.1'],
		[{ selector: { ...base, dport: 3, dportMask: 0xffff, proto: 1 } }, 'code', '3', '0'],
		[{ selector: { ...base, sport: 3, sportMask: 0xff, proto: 1 } }, 'type', '3/0xff', '8'],
		[{ selector: { ...base, dport: 53, dportMask: 0xffff, proto: 17 } }, 'dport', '53', '0'],
		[{ selector: { ...base, proto: 6 } }, 'proto', '6', '1'],
		[{ selector: { ...base, ifindex: 4 } }, 'dev', '4', '0'],
		[{ selector: base, priority: 4 }, 'priority', '3', '4'],
		[{ selector: base, priority: 3 }, 'order', 'before index 1', 'behind it'],
	];
	for (const [options, field, want, have] of rows) {
		const spd = new Spd(linux619);
		const winner = new XfrmPolicy(
			config({ priority: 3, selector: selector({ dst: '10.0.0.0/8' }) }),
			1,
		);
		const object = new XfrmPolicy(config(options), 9);
		spd.insert(winner, null);
		spd.insert(object, null);
		assert.deepEqual(scanPolicies(spd, flow, 1, 0, 0), {
			winner,
			losers: [{ object, field, want, have }],
		});
	}
});

// @spec P-1 P-19
test('a socket’s policy is found for its direction, family, selector, mark and if_id', () => {
	const spd = new Spd(linux619);
	const policy = new XfrmPolicy(
		config({ selector: selector({ dst: '10.0.0.0/8' }), mark: { v: 1, m: 1 }, ifId: 3 }),
		12,
	);
	policy.socketId = 77;
	assert.equal(spd.setSocketPolicy(77, 1, policy), null);
	const flow = flowOf({ src: '10.0.0.1', dst: '10.0.0.2', mark: 3 });
	const other = flowOf({ src: '10.0.0.1', dst: '192.0.2.1', mark: 3 });
	const unmarked = flowOf({ src: '10.0.0.1', dst: '10.0.0.2' });
	assert.equal(spd.socketPolicy(77, 1, flow, 3, 5), policy);
	assert.equal(policy.useTime, 0, 'used when it has its states');
	assert.equal(spd.socketPolicy(77, 0, flow, 3, 6), null);
	assert.equal(spd.socketPolicy(78, 1, flow, 3, 6), null);
	assert.equal(spd.socketPolicy(77, 1, other, 3, 6), null);
	assert.equal(spd.socketPolicy(77, 1, unmarked, 3, 6), null);
	assert.equal(spd.socketPolicy(77, 1, flow, 0, 6), null);
	assert.equal(spd.best(flow, 1, 0, 3), null, 'it is in no table');
	assert.deepEqual([...spd.counts], [0, 0, 0, 0, 1, 0]);
	assert.equal(spd.setSocketPolicy(77, 1, null), policy);
	assert.deepEqual([spd.hasSocketPolicy(77, 1), [...spd.policies()]], [false, []]);
});

test('many policies of one shape come and go, and the tuple keeps up', () => {
	const spd = new Spd(linux619);
	const made: XfrmPolicy[] = [];
	for (let i = 0; i < 3000; i++) {
		const dst = `10.${i >> 8}.${i & 255}.1/32`;
		const policy = new XfrmPolicy(
			config({ selector: selector({ src: '10.0.0.1/32', dst }), priority: i }),
			spd.freeIndex(1, 0),
		);
		spd.insert(policy, null);
		made.push(policy);
	}
	const flows = made.map((_, i) => flowOf({ src: '10.0.0.1', dst: `10.${i >> 8}.${i & 255}.1` }));
	const found = (): (XfrmPolicy | null)[] => flows.map((flow) => spd.best(flow, 1, 0, 0));
	assert.deepEqual(found(), made);
	made.forEach((policy, i) => void (i % 3 !== 0 && spd.remove(policy)));
	assert.deepEqual(
		found(),
		made.map((policy, i) => (i % 3 === 0 ? policy : null)),
	);
	assert.equal(spd.indexMask, 4095);
});
