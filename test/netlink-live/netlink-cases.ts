/**
 * What every end of NETLINK_XFRM has to do, as cases over a client: run on our server and on the running
 * kernel. They keep to what any kernel with XFRM can do, so no transform is asked for but where `esp`
 * says that there is one.
 */
import assert from 'node:assert/strict';
import { NetlinkError, type StateInput, type XfrmClient } from '@xfrm/netlink';
import {
	anyAddress,
	anySelector,
	DefaultAction,
	Direction,
	Family,
	formatAddress,
	IpProto,
	Mode,
	PolicyType,
	parseAddress,
	type Selector,
	UNLIMITED,
} from '@xfrm/wire/xfrm';

/** One case; it throws when it fails. */
export interface Case {
	readonly name: string;
	run(): Promise<void>;
}

/** Whom the cases speak to. */
export interface NetlinkEnd {
	/** A client of an empty namespace; called once a case. */
	connect(): Promise<XfrmClient> | XfrmClient;
	/** Is there ESP, with AES-GCM and HMAC-SHA-256? */
	readonly esp: boolean;
}

function addressOf(text: string): Uint8Array {
	const parsed = parseAddress(text);
	assert.ok(parsed, text);
	return parsed.address;
}

const near = addressOf('192.0.2.1');
const far = addressOf('198.51.100.2');

function selectorTo(prefix: string, prefixlenD: number, family: number = Family.Ipv4): Selector {
	return { ...anySelector(family), daddr: addressOf(prefix), prefixlenD };
}

/** A policy that demands an ESP tunnel. */
function tunnelPolicy(prefix: string, priority: number = 0) {
	return {
		selector: selectorTo(prefix, 24),
		direction: Direction.Out,
		priority,
		templates: [
			{
				id: { daddr: far, spi: 0, proto: IpProto.Esp },
				saddr: near,
				family: Family.Ipv4,
				reqid: 7,
				mode: Mode.Tunnel,
			},
		],
	};
}

const spiWish = {
	daddr: far,
	saddr: near,
	family: Family.Ipv4,
	proto: IpProto.Esp,
	mode: Mode.Tunnel,
	reqid: 7,
};

/** An ESP state with AES-GCM. */
function espState(spi: number): StateInput {
	return {
		id: { daddr: far, spi, proto: IpProto.Esp },
		saddr: near,
		family: Family.Ipv4,
		mode: Mode.Tunnel,
		reqid: 7,
		replayWindow: 32,
		aead: { name: 'rfc4106(gcm(aes))', key: new Uint8Array(20), keyBits: 160, icvBits: 128 },
	};
}

async function code(promise: Promise<unknown>): Promise<string> {
	try {
		await promise;
	} catch (error) {
		assert.ok(error instanceof NetlinkError, String(error));
		return error.code;
	}
	return 'done';
}

type Body = (client: XfrmClient) => Promise<void>;

const policyCases: Readonly<Record<string, Body>> = {
	'a policy comes back as it was given': async (client) => {
		const mark = { v: 1, m: 0xff };
		await client.policies.add({ ...tunnelPolicy('10.1.0.0', 5), mark, ifId: 42, flags: 1 });
		const [policy, ...others] = await client.policies.list();
		assert.ok(policy);
		assert.equal(others.length, 0);
		assert.equal(policy.index & 7, Direction.Out);
		assert.deepEqual(policy.selector, selectorTo('10.1.0.0', 24));
		assert.deepEqual(policy.lifetime, UNLIMITED);
		assert.deepEqual(
			[policy.priority, policy.action, policy.flags, policy.share, policy.type, policy.ifId],
			[5, 0, 1, 0, PolicyType.Main, 42],
		);
		assert.deepEqual(policy.mark, mark);
		assert.deepEqual(policy.templates, [
			{
				...tunnelPolicy('10.1.0.0').templates[0],
				share: 0,
				optional: 0,
				aalgos: 0xffff_ffff,
				ealgos: 0xffff_ffff,
				calgos: 0xffff_ffff,
			},
		]);
		const { selector, index, direction } = policy;
		const rest = { direction, mark, ifId: 42 };
		assert.equal((await client.policies.get({ ...rest, index }))?.index, index);
		assert.equal((await client.policies.get({ ...rest, selector }))?.index, index);
		assert.equal(await client.policies.get({ direction, index }), undefined);
	},
	'a policy is there once; update replaces it and it becomes the newest': async (client) => {
		await client.policies.add(tunnelPolicy('10.1.0.0'));
		assert.equal(await code(client.policies.add(tunnelPolicy('10.1.0.0', 9))), 'EEXIST');
		await client.policies.add(tunnelPolicy('10.2.0.0'));
		const before = await client.policies.list();
		await client.policies.update(tunnelPolicy('10.1.0.0', 9));
		const after = await client.policies.list();
		const summary = (policies: typeof after) =>
			policies.map(({ index, selector, priority }) => [
				index,
				formatAddress(selector.daddr, Family.Ipv4),
				priority,
			]);
		const [second, first] = before.map(({ index }) => index);
		assert.deepEqual(summary(before), [
			[second, '10.2.0.0', 0],
			[first, '10.1.0.0', 0],
		]);
		assert.deepEqual(summary(after), [
			[first, '10.1.0.0', 9],
			[second, '10.2.0.0', 0],
		]);
	},
	'deleting by selector, by index, and what is not there': async (client) => {
		await client.policies.add(tunnelPolicy('10.1.0.0'));
		await client.policies.add(tunnelPolicy('10.2.0.0'));
		const { selector, direction } = tunnelPolicy('10.1.0.0');
		await client.policies.delete({ selector, direction });
		assert.equal(await code(client.policies.delete({ selector, direction })), 'ENOENT');
		const [left] = await client.policies.list();
		assert.ok(left);
		await client.policies.delete({ index: left.index, direction });
		assert.deepEqual(await client.policies.list(), []);
	},
	'flush takes one type': async (client) => {
		await client.policies.add(tunnelPolicy('10.1.0.0'));
		await client.policies.add({ ...tunnelPolicy('10.1.0.0'), type: PolicyType.Sub });
		await client.policies.flush(PolicyType.Sub);
		assert.deepEqual(
			(await client.policies.list()).map(({ type }) => type),
			[PolicyType.Main],
		);
		assert.equal(await code(client.policies.flush(9)), 'EINVAL');
	},
	'the list is filtered': async (client) => {
		await client.policies.add(tunnelPolicy('10.1.0.0'));
		await client.policies.add({ ...tunnelPolicy('10.1.0.0'), direction: Direction.In, ifId: 3 });
		const { policies } = client;
		assert.equal((await policies.list({ filter: { direction: Direction.In } })).length, 1);
		assert.equal((await policies.list({ filter: { ifId: 0 } })).length, 1);
		assert.equal((await policies.list({ filter: { type: PolicyType.Sub } })).length, 0);
	},
	'a refusal has its sentence': async (client) => {
		const bad = { ...tunnelPolicy('10.1.0.0'), selector: selectorTo('10.1.0.0', 33) };
		try {
			await client.policies.add(bad);
			assert.fail('it was taken');
		} catch (error) {
			assert.ok(error instanceof NetlinkError);
			assert.deepEqual([error.operation, error.code], ['policies.add', 'EINVAL']);
			assert.ok(error.detail, 'it says why');
		}
	},
	'many policies come in many datagrams, newest first': async (client) => {
		const count = 700;
		const adding: Promise<void>[] = [];
		for (let i = 0; i < count; i++) {
			adding.push(client.policies.add(tunnelPolicy(`10.${i >> 8}.${i & 255}.0`, i)));
		}
		await Promise.all(adding);
		const priorities = (await client.policies.list()).map(({ priority }) => priority);
		assert.deepEqual(
			priorities,
			Array.from({ length: count }, (_, i) => count - 1 - i),
		);
		const { counts } = await client.info.policies();
		assert.deepEqual([counts.incnt, counts.outcnt, counts.fwdcnt], [0, count, 0]);
	},
};

const stateCases: Readonly<Record<string, Body>> = {
	'a larval state has the SPI that was asked for': async (client) => {
		const state = await client.states.allocSpi({ ...spiWish, min: 0x1234, max: 0x1234 });
		assert.deepEqual(state.id, { daddr: far, spi: 0x1234, proto: IpProto.Esp });
		assert.deepEqual([state.mode, state.reqid, state.family], [Mode.Tunnel, 7, Family.Ipv4]);
		assert.deepEqual(state.saddr, near);
		const key = { id: state.id, family: Family.Ipv4 };
		assert.deepEqual((await client.states.get(key))?.id, state.id);
		assert.equal((await client.info.states()).stateCount, 1);
		await client.states.delete(key);
		assert.equal(await client.states.get(key), undefined);
		assert.equal(await code(client.states.delete(key)), 'ESRCH');
	},
	'an SPI of a range is in the range, and no two are alike': async (client) => {
		const spis = new Set<number>();
		for (let reqid = 1; reqid <= 4; reqid++) {
			const { id } = await client.states.allocSpi({
				...spiWish,
				reqid,
				min: 0xc000_0000,
				max: 0xc000_0007,
			});
			assert.ok(id.spi >= 0xc000_0000 && id.spi <= 0xc000_0007);
			spis.add(id.spi);
		}
		assert.equal(spis.size, 4);
		assert.equal(await code(client.states.allocSpi({ ...spiWish, min: 2, max: 1 })), 'EINVAL');
	},
	'lists are filtered by protocol and prefix, by the kernel': async (client) => {
		await client.states.allocSpi({ ...spiWish, min: 0x100, max: 0x100 });
		await client.states.allocSpi({ ...spiWish, proto: IpProto.Ah, min: 0x200, max: 0x200 });
		const spisOf = async (filter: Parameters<typeof client.states.list>[0]) =>
			(await client.states.list(filter)).map(({ id }) => id.spi);
		assert.deepEqual(await spisOf({}), [0x200, 0x100]);
		assert.deepEqual(await spisOf({ filter: { proto: IpProto.Ah } }), [0x200]);
		assert.deepEqual(await spisOf({ filter: { proto: 255 } }), [0x200, 0x100]);
		const prefix = { saddr: near, daddr: anyAddress(), family: Family.Ipv4, splen: 32, dplen: 0 };
		assert.deepEqual(await spisOf({ filter: { addresses: prefix } }), [0x200, 0x100]);
		const other = { ...prefix, saddr: far };
		assert.deepEqual(await spisOf({ filter: { addresses: other } }), []);
		const broken = { ...prefix, splen: 129 };
		assert.equal(await code(client.states.list({ filter: { addresses: broken } })), 'EINVAL');
	},
	'flush takes one protocol': async (client) => {
		await client.states.allocSpi({ ...spiWish, min: 0x100, max: 0x100 });
		await client.states.allocSpi({ ...spiWish, proto: IpProto.Ah, min: 0x200, max: 0x200 });
		await client.states.flush(IpProto.Esp);
		assert.deepEqual(
			(await client.states.list()).map(({ id }) => id.proto),
			[IpProto.Ah],
		);
		await client.states.flush();
		assert.deepEqual(await client.states.list(), []);
	},
	'a state that says too little is refused': async (client) => {
		const { aead: _, ...bare } = espState(0x100);
		assert.equal(await code(client.states.add(bare)), 'EINVAL');
		assert.equal(await code(client.states.update(bare)), 'EINVAL');
		const strange = { ...bare, crypt: { name: 'rot13', key: new Uint8Array(0), keyBits: 0 } };
		assert.equal(await code(client.states.add(strange)), 'ENOSYS');
	},
	'moving, expiring and asking about what is not there': async (client) => {
		const key = { id: { daddr: far, spi: 9, proto: IpProto.Esp }, family: Family.Ipv4 };
		assert.equal(await client.states.replay(key), undefined);
		assert.equal(await code(client.states.expire(key, { hard: true })), 'ENOENT');
		const { selector } = tunnelPolicy('10.1.0.0');
		const policy = { selector, direction: Direction.Out };
		assert.equal(await code(client.policies.expire(policy, { hard: true })), 'ENOENT');
		const update = { replay: { oseq: 1, seq: 1, bitmap: 1 } };
		assert.equal(await code(client.states.setReplay(key, update)), 'ESRCH');
		assert.equal(await code(client.policies.migrate({ ...policy, entries: [] })), 'ERANGE');
	},
};

const espCases: Readonly<Record<string, Body>> = {
	'a state comes back as it was given': async (client) => {
		const mark = { v: 3, m: 7 };
		await client.states.add({ ...espState(0xc123_4567), mark, ifId: 9, direction: 1 });
		assert.equal(await code(client.states.add({ ...espState(0xc123_4567), mark })), 'EEXIST');
		const [state] = await client.states.list();
		assert.ok(state);
		const { aead, replayWindow, replay, ifId, direction, lifetimeCurrent } = state;
		assert.deepEqual(aead, espState(1).aead);
		assert.deepEqual([replayWindow, ifId, direction], [32, 9, 1]);
		assert.deepEqual(replay, { oseq: 0, seq: 0, bitmap: 0 });
		assert.deepEqual([lifetimeCurrent.bytes, lifetimeCurrent.packets], [0, 0]);
		assert.deepEqual(state.mark, mark);
	},
	'replay values are set and told': async (client) => {
		await client.states.add(espState(0x100));
		const key = { id: espState(0x100).id, family: Family.Ipv4 };
		const replay = { oseq: 5, seq: 0, bitmap: 0 };
		await client.states.setReplay(key, { replay, replayThreshold: 12 });
		const answer = await client.states.replay(key);
		assert.deepEqual([answer?.replay, answer?.replayThreshold], [replay, 12]);
	},
	'a larval state is completed by update': async (client) => {
		const events = client.events('sa');
		const { id } = await client.states.allocSpi({ ...spiWish, min: 0x100, max: 0x100 });
		await client.states.update(espState(id.spi));
		assert.equal((await events.next()).value?.kind, 'updsa');
		assert.equal((await client.states.list()).length, 1);
	},
};

const otherCases: Readonly<Record<string, Body>> = {
	'defaults are set one by one': async (client) => {
		const { Accept, Block } = DefaultAction;
		assert.deepEqual(await client.defaults.get(), { in: Accept, fwd: Accept, out: Accept });
		const events = client.events('policy');
		await client.defaults.set({ fwd: Block });
		const defaults = { in: Accept, fwd: Block, out: Accept };
		assert.deepEqual(await client.defaults.get(), defaults);
		assert.deepEqual((await events.next()).value, { kind: 'defaults', defaults });
	},
	'thresholds are set, or refused as a whole': async (client) => {
		const exact = { lbits: 16, rbits: 24 };
		await client.info.setThresholds({ threshold4: exact });
		const tooLong = { threshold4: { lbits: 8, rbits: 8 }, threshold6: { lbits: 129, rbits: 0 } };
		assert.equal(await code(client.info.setThresholds(tooLong)), 'EINVAL');
		const info = await client.info.policies();
		assert.deepEqual(info.threshold4, exact);
		assert.deepEqual(info.threshold6, { lbits: 128, rbits: 128 });
	},
	'events tell what was done, in order, with the number of the request': async (client) => {
		const events = client.events('sa', 'policy', 'expire');
		const { selector, direction } = tunnelPolicy('10.1.0.0');
		await client.policies.add(tunnelPolicy('10.1.0.0'));
		await client.policies.update(tunnelPolicy('10.1.0.0', 3));
		const [{ index } = { index: 0 }] = await client.policies.list();
		await client.policies.expire({ selector, direction }, { hard: false });
		await client.policies.delete({ selector, direction });
		await client.policies.flush();
		const { id } = await client.states.allocSpi({ ...spiWish, min: 0x100, max: 0x100 });
		await client.states.delete({ id, family: Family.Ipv4 });
		await client.states.flush();
		await client.policies.add(tunnelPolicy('10.3.0.0'));
		const kinds: string[] = [];
		const seqs: number[] = [];
		for await (const event of events) {
			kinds.push(event.kind);
			if ('seq' in event) {
				seqs.push(event.seq);
			}
			if ('policy' in event && event.kind !== 'newpolicy') {
				assert.equal(event.policy?.index, index);
			}
			if (event.kind === 'delsa') {
				assert.deepEqual([event.id.spi, event.state?.id.spi], [0x100, 0x100]);
			}
			if (kinds.length === 6) {
				break;
			}
		}
		// Flushes that found nothing tell nothing.
		const expected = ['newpolicy', 'updpolicy', 'polexpire', 'delpolicy', 'delsa', 'newpolicy'];
		assert.deepEqual(kinds, expected);
		assert.deepEqual(
			seqs,
			[...seqs].sort((a, b) => a - b),
		);
		assert.ok(seqs.every((seq) => seq > 0));
	},
	'an acquire that somebody asks for reaches those who listen': async (client) => {
		const events = client.events('acquire');
		const policy = {
			...tunnelPolicy('10.1.0.0'),
			lifetime: UNLIMITED,
			lifetimeCurrent: { bytes: 0, packets: 0, addTime: 0, useTime: 0 },
			index: 0,
			action: 0,
			flags: 0,
			share: 0,
		};
		const [template] = policy.templates;
		assert.ok(template);
		await client.request({
			operation: 'acquire',
			name: 'acquire',
			body: {
				id: { daddr: far, spi: 0, proto: IpProto.Esp },
				saddr: near,
				selector: policy.selector,
				policy,
				aalgos: 1,
				ealgos: 2,
				calgos: 3,
				seq: 77,
			},
			attributes: [
				{
					name: 'tmpl',
					value: [{ ...template, share: 0, optional: 0, aalgos: 1, ealgos: 2, calgos: 3 }],
				},
			],
		});
		const { value } = await events.next();
		assert.ok(value?.kind === 'acquire');
		assert.deepEqual(value.id, { daddr: far, spi: 0, proto: IpProto.Esp });
		assert.equal(value.policy.selector.prefixlenD, 24);
	},
	'several lists at once, while the table changes': async (client) => {
		for (let i = 0; i < 40; i++) {
			await client.policies.add(tunnelPolicy(`10.0.${i}.0`));
		}
		const lists = await Promise.all([
			client.policies.list(),
			client.policies.list(),
			client.states.list(),
			client.policies.add(tunnelPolicy('10.9.0.0')),
		]);
		assert.ok(lists[0].length >= 40 && lists[1].length >= 40);
		assert.deepEqual(lists[2], []);
	},
};

/** All cases for this end. */
export function netlinkCases(end: NetlinkEnd): readonly Case[] {
	const bodies = { ...policyCases, ...stateCases, ...otherCases, ...(end.esp ? espCases : {}) };
	return Object.entries(bodies).map(([name, body]) => ({
		name,
		async run() {
			const client = await end.connect();
			try {
				await body(client);
			} finally {
				client.close();
			}
		},
	}));
}
