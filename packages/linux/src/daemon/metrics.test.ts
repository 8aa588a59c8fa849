import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { attribute, type NamedMessage } from '@xfrm/netlink';
import { anySelector, parseAddress, UNLIMITED } from '@xfrm/wire/xfrm';
import { METRIC_STATES_MAX } from '../limits.ts';
import { metricsPage } from './metrics-page.ts';
import { openMetrics, parseMetricsAddress } from './metrics-server.ts';
import { StartError } from './start-error.ts';

function address(text: string): Uint8Array {
	return parseAddress(text)?.address ?? new Uint8Array(16);
}

function state(spi: number, mark?: number): NamedMessage<'newsa'> {
	const body = {
		selector: anySelector(2),
		id: { daddr: address('192.0.2.2'), spi, proto: 50 },
		saddr: address('192.0.2.1'),
		lifetime: UNLIMITED,
		lifetimeCurrent: { bytes: 4000, packets: 4, addTime: 7, useTime: 8 },
		stats: { replayWindow: 1, replay: 2, integrityFailed: 3 },
		seq: 0,
		reqid: 9,
		family: 2,
		mode: 1,
		replayWindow: 32,
		flags: 0,
	};
	return {
		name: 'newsa',
		flags: 0,
		seq: 0,
		pid: 0,
		attributes: mark === undefined ? [] : [attribute('mark', { v: mark, m: 0xff })],
		body,
	};
}

const drop = {
	counter: 'XfrmInStateSeqError',
	code: 'in.replay.old',
	policy: { index: 8, direction: 0, ptype: 0, mark: '' },
	state: { proto: 50, spi: 0x100, src: '192.0.2.1', dst: '192.0.2.2', reqid: 9, mark: '' },
	packets: 5,
};

const marked = {
	...drop,
	policy: { ...drop.policy, mark: '0x1/0xff' },
	state: { ...drop.state, mark: '0x1/0xff' },
};

test('the page has counters, drops by cause, and traffic by state, within bounds', async () => {
	const states = [
		state(0x99, 1),
		...Array.from({ length: METRIC_STATES_MAX + 2 }, (_, i) => state(0x100 + i)),
	];
	const text = await metricsPage({
		states,
		numbers: {
			schema: 1,
			object: 'daemon',
			time: 100,
			counters: { XfrmInError: 0, XfrmInStateSeqError: 5 },
			own: { sent: 7 },
			drops: [drop, marked, { ...drop, policy: null, state: null, packets: 1 }],
			states: states.length,
			policies: 2,
			devices: [],
			heard: true,
			samples: [],
		},
		residentOctets: 1000,
	});
	const labels = 'proto="esp",spi="0x00000100",src="192.0.2.1",dst="192.0.2.2",reqid="9",mark=""';
	for (const line of [
		'xfrm_stat_total{counter="XfrmInError"} 0',
		'xfrm_stat_total{counter="XfrmInStateSeqError"} 5',
		'xfrm_drops_total{counter="XfrmInStateSeqError",code="in.replay.old",policy="in 8",state="esp 0x00000100 192.0.2.2"} 5',
		'xfrm_drops_total{counter="XfrmInStateSeqError",code="in.replay.old",policy="",state=""} 1',
		'xfrm_drops_total{counter="XfrmInStateSeqError",code="in.replay.old",policy="in 8 mark 0x1/0xff",state="esp 0x00000100 192.0.2.2 mark 0x1/0xff"} 5',
		`xfrm_state_bytes_total{${labels}} 4000`,
		'xfrm_state_bytes_total{proto="esp",spi="0x00000099",src="192.0.2.1",dst="192.0.2.2",reqid="9",mark="0x1/0xff"} 4000',
		`xfrm_state_packets_total{${labels}} 4`,
		`xfrm_state_refused_total{${labels},why="integrity"} 3`,
		'xfrm_daemon_packets_total{what="sent"} 7',
		`xfrm_states ${METRIC_STATES_MAX + 3}`,
		'xfrm_states_untold 3',
	]) {
		assert.ok(text.split('\n').includes(line), line);
	}
	assert.equal(text.match(/^xfrm_state_bytes_total\{/gm)?.length, METRIC_STATES_MAX);
});

test('addresses', () => {
	const cases: readonly (readonly [string, string | undefined])[] = [
		['127.0.0.1:9109', '127.0.0.1 9109'],
		['localhost:1', '127.0.0.1 1'],
		['[::1]:0', '::1 0'],
		['::1:9109', undefined],
		['127.0.0.1', undefined],
		['127.0.0.1:65536', undefined],
		['127.0.0.256:1', undefined],
		['example.net:1', undefined],
	];
	for (const [text, want] of cases) {
		const parsed = parseMetricsAddress(text);
		assert.equal(parsed && `${parsed.host} ${parsed.port}`, want, text);
	}
});

/** Status and body. */
function get(
	port: number,
	headers: Record<string, string>,
	path = '/metrics',
	method = 'GET',
): Promise<readonly [number, string]> {
	return new Promise((resolve, reject) => {
		const asked = request({ host: '127.0.0.1', port, path, headers, method }, (response) => {
			let text = '';
			response.on('data', (data) => {
				text += data;
			});
			response.on('end', () => resolve([response.statusCode ?? 0, text]));
		});
		asked.on('error', reject);
		asked.end();
	});
}

const LOOPBACK = { host: '127.0.0.1', port: 0 };

test('who may read: this machine, by its own name, and no browser', async () => {
	let fails = false;
	const server = await openMetrics({
		address: LOOPBACK,
		tokenFile: undefined,
		page: async () => {
			if (fails) {
				throw new Error('no daemon');
			}
			return 'page\n';
		},
	});
	const { port } = server.address() as AddressInfo;
	try {
		assert.deepEqual(await get(port, {}), [200, 'page\n']);
		assert.deepEqual(await get(port, { Host: `localhost:${port}` }), [200, 'page\n']);
		const cases = [
			[{ Host: 'evil.example' }, 403],
			[{ Host: '127.0.0.1.evil.example' }, 403],
			[{ Origin: 'http://evil.example' }, 403],
		] as const;
		for (const [headers, status] of cases) {
			assert.equal((await get(port, headers))[0], status, JSON.stringify(headers));
		}
		assert.equal((await get(port, {}, '/'))[0], 404);
		assert.equal((await get(port, {}, '/metrics', 'POST'))[0], 405);
		fails = true;
		assert.deepEqual(await get(port, {}), [503, 'no daemon\n']);
		await assert.rejects(
			openMetrics({ address: { ...LOOPBACK, port }, tokenFile: undefined, page: async () => '' }),
			StartError,
		);
	} finally {
		server.close();
		server.closeAllConnections();
	}
});

test('elsewhere a token is needed, in a file that is nobody else’s', async () => {
	const folder = mkdtempSync(join(tmpdir(), 'xfrm-metrics-'));
	const tokenFile = join(folder, 'token');
	const page = async (): Promise<string> => 'page\n';
	const open = (host: string, file: string | undefined) =>
		openMetrics({ address: { host, port: 0 }, tokenFile: file, page });
	try {
		await assert.rejects(open('0.0.0.0', undefined), /--metrics-token/);
		await assert.rejects(open('0.0.0.0', tokenFile), /cannot be read/);
		writeFileSync(tokenFile, 'short\n', { mode: 0o600 });
		await assert.rejects(open('0.0.0.0', tokenFile), /has no token/);
		writeFileSync(tokenFile, 'a-token-of-this-test\n');
		chmodSync(tokenFile, 0o640);
		await assert.rejects(open('0.0.0.0', tokenFile), /0600/);
		chmodSync(tokenFile, 0o600);
		const server = await open('0.0.0.0', tokenFile);
		const { port } = server.address() as AddressInfo;
		const bearer = (token: string) => ({ Authorization: `Bearer ${token}`, Host: 'gateway:1' });
		assert.equal((await get(port, {}))[0], 401);
		assert.equal((await get(port, bearer('another-token-of-this')))[0], 401);
		assert.deepEqual(await get(port, bearer('a-token-of-this-test')), [200, 'page\n']);
		server.close();
		server.closeAllConnections();
	} finally {
		rmSync(folder, { recursive: true });
	}
});
