/**
 * `xfrm state|policy|monitor` against `ip xfrm`, both on the running kernel in namespaces of their own: same
 * stdout, stderr, status. Skips itself where namespaces or `ip` are not to be had.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const bin = fileURLToPath(new URL('../bin/xfrm.js', import.meta.url));

function inNamespace(script: string): { status: number | null; stdout: string; stderr: string } {
	const run = spawnSync('unshare', ['-rn', 'sh', '-c', script], {
		encoding: 'utf8',
		timeout: 60_000,
		env: { ...process.env, XFRM: `${process.execPath} ${bin}`, TZ: 'UTC' },
	});
	const { status, stdout, stderr } = run;
	return { status, stdout, stderr };
}

const probe = inNamespace('ip xfrm policy list');
const lacksIp = spawnSync('ip', ['-V']).error !== undefined;
const mayLack = !(lacksIp && process.env['CI'] === 'true');
const skip =
	probe.status !== 0 && mayLack
		? lacksIp
			? 'needs ip: run tools/system-deps'
			: 'needs unshare -rn and a kernel with XFRM'
		: false;
const release = skip === false ? inNamespace('ip -V').stdout : '';
const profile = /iproute2-(6\.1|5)/.test(release) ? '--profile linux61' : '';

/** The same commands by `ip xfrm` and by `xfrm`; times of the clock are taken out. */
function both(script: string): [ip: unknown, own: unknown] {
	const outcome = (words: string): unknown => {
		const { status, stdout, stderr } = inNamespace(`X="${words}"; ${script}`);
		const clock = /\b20[0-9]{2}-[0-9]{2}-[0-9]{2} [0-9:]{8}/g;
		return { status, stdout: stdout.replace(clock, 'TIME'), stderr };
	};
	return [outcome('ip xfrm'), outcome(`$XFRM --show-keys ${profile}`)];
}

const POLICY = 'policy add src 10.0.0.0/8 dst 10.1.0.0/16 dir out priority 7';

describe('xfrm and ip xfrm say the same', { skip }, () => {
	const rows: readonly (readonly [name: string, script: string])[] = [
		[
			'a policy is added, listed, deleted',
			`$X ${POLICY}; $X policy; $X policy deleteall; $X policy`,
		],
		['one that is there', `$X ${POLICY}; $X ${POLICY}; echo $?`],
		['bad arguments', '$X policy add dir sideways; echo $?; $X state frob; echo $?'],
		['nothing to find', '$X policy get src 10.0.0.0/8 dst 10.1.0.0/16 dir out; echo $?'],
		[
			'a larval state',
			'$X state allocspi src 192.0.2.1 dst 192.0.2.2 proto esp min 5 max 5; $X state',
		],
		[
			'all states go',
			'$X state allocspi dst 192.0.2.2 proto ah min 5 max 5; $X state deleteall; $X state',
		],
		['counts and defaults', '$X state count; $X policy count; $X policy getdefault'],
		['a file of events that is not there', '$X monitor file /nonexistent; echo $?'],
	];
	for (const [name, script] of rows) {
		it(name, () => {
			const [ip, own] = both(script);
			assert.deepEqual(own, ip);
		});
	}
});

describe('xfrm on a kernel', { skip }, () => {
	it('prints JSON, also of events, and minds no head', () => {
		const script = `$XFRM ${POLICY}; $XFRM --json policy; $XFRM policy list | head -1
			events=$(mktemp); $XFRM --json monitor policy >$events & monitor=$!
			# Of an empty table nothing is told.
			until grep -m1 flush $events; do ip xfrm policy flush; ip xfrm ${POLICY}; sleep 0.2; done
			kill $monitor; rm $events`;
		const { stdout } = inNamespace(script);
		const [policy, text, event] = stdout.trimEnd().split('\n');
		assert.equal((JSON.parse(policy ?? '') as { priority: number }).priority, 7);
		assert.equal(text, 'src 10.0.0.0/8 dst 10.1.0.0/16 ');
		assert.deepEqual(JSON.parse(event ?? ''), {
			schema: 1,
			object: 'event',
			event: 'flushpolicy',
			ptype: 'main',
		});
	});

	it('carries a batch out, with -force to its end', () => {
		const lines = `xfrm ${POLICY}\\nxfrm ${POLICY}\\n# nothing\\nxfrm policy list`;
		const script = (force: string): string =>
			`printf '${lines}' | $XFRM ${force} -batch -; echo $?`;
		const [stopped, forced] = [inNamespace(script('')), inNamespace(script('-force'))];
		assert.equal(stopped.stdout, '2\n');
		assert.match(forced.stdout, /^src 10\.0\.0\.0\/8.*\n.*\n1\n$/);
		assert.equal(forced.stderr, 'RTNETLINK answers: File exists\nCommand failed -:2\n');
	});
});
