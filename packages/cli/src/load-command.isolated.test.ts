/**
 * `xfrm save`, `load` and `stat` on the running kernel, each in a namespace of its own. Skips itself where
 * namespaces or `ip` are not to be had.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const bin = fileURLToPath(new URL('../bin/xfrm.js', import.meta.url));

interface Run {
	readonly status: number | null;
	readonly stdout: string;
	readonly stderr: string;
}

function inNamespace(script: string, input: string = ''): Run {
	const { status, stdout, stderr } = spawnSync('unshare', ['-rn', 'sh', '-c', script], {
		encoding: 'utf8',
		input,
		timeout: 60_000,
		env: { ...process.env, XFRM: `${process.execPath} ${bin}`, TZ: 'UTC' },
	});
	return { status, stdout, stderr };
}

const lacksIp = spawnSync('ip', ['-V']).error !== undefined;
const mayLack = !(lacksIp && process.env['CI'] === 'true');
const skip =
	inNamespace('ip xfrm policy list').status !== 0 && mayLack
		? 'needs ip (tools/system-deps), unshare -rn and a kernel with XFRM'
		: false;

const THERE = 'ip xfrm policy add src 10.0.0.0/8 dst 10.1.0.0/16 dir out priority 7';
const GOOD = 'policy add src 10.9.0.0/16 dst 10.1.0.0/16 dir in priority 3 action block';
const REFUSED = 'policy add src 10.0.0.0/8 dst 10.1.0.0/16 dir out priority 7';

/** Starts a daemon in a namespace of its own, and ends it behind the script. */
function withDaemon(script: string, input: string): Run {
	return inNamespace(
		`d=$(mktemp -d); $XFRM daemon --state-dir $d/state --provider ffi > $d/out 2> $d/err & p=$!
		n=0; until grep -q ready $d/out; do sleep 0.1; n=$((n + 1)); [ $n -lt 200 ] || exit 9; done
		${script}; s=$?; kill $p; wait $p; rm -r $d; exit $s`,
		input,
	);
}

const lacksDaemon = skip || (withDaemon('true', '').status === 0 ? false : 'needs /dev/net/tun');

describe('rules into the daemon, all or none', { skip: lacksDaemon }, () => {
	const WHICH = 'for t in daemon kernel; do $XFRM policy --$t | grep -c "dir in"; done';
	const both = (where: string): Run =>
		withDaemon(`cat > $d/rules; $XFRM load ${where} $d/rules; echo $?; ${WHICH}`, GOOD);

	it('it is the daemon if one runs, or what is named', () => {
		assert.equal(both('').stdout, '0\n1\n0\n');
		assert.equal(both('--daemon').stdout, '0\n1\n0\n');
		assert.equal(both('--kernel').stdout, '0\n0\n1\n');
		const { status, stderr } = inNamespace('$XFRM load --daemon -', GOOD);
		assert.equal(status, 2);
		assert.match(stderr, /no xfrm daemon runs/);
		assert.equal(inNamespace('$XFRM load --daemon --kernel -', GOOD).status, 2);
	});

	it('one refused rule, and nothing is changed; what was saved is loaded again', () => {
		const script = `cat > $d/rules; head -1 $d/rules | $XFRM load - && $XFRM save -o $d/saved
			$XFRM load $d/rules; echo $?; $XFRM policy | grep -c dir
			$XFRM policy flush; $XFRM load $d/saved; echo $?; $XFRM policy | grep -c dir`;
		const { stdout, stderr } = withDaemon(script, `${REFUSED}\n${GOOD}\n${REFUSED}\n`);
		assert.equal(stdout, '1\n1\n0\n1\n');
		assert.match(
			stderr,
			/rules:1: .*File exists\n.*rules:3: .*File exists\n.*2 rules of 3 refused/,
		);
	});
});

describe('rules into the running kernel, all or none', { skip }, () => {
	it('a good file is loaded, also from a dump, in its order', () => {
		const rules = `${GOOD}\n${GOOD.replace('in', 'fwd')}\npolicy setdefault in block\n`;
		const script = `$XFRM load - && ip xfrm policy | grep -c action && ip xfrm policy getdefault | grep in:
			ip -s xfrm policy >&2`;
		const { status, stdout, stderr } = inNamespace(script, rules);
		assert.deepEqual({ status, stdout }, { status: 0, stdout: '2\n in:  block\n' });
		const again = inNamespace('$XFRM load - && ip xfrm policy | grep dir', stderr);
		assert.equal(
			again.stdout,
			'\tdir fwd action block priority 3 ptype main \n\tdir in action block priority 3 ptype main \n',
		);
	});

	it('one refused rule, and nothing is changed', () => {
		const script = `${THERE}; ip xfrm policy; $XFRM load -; echo status $?; ip xfrm policy`;
		const { stdout, stderr } = inNamespace(script, `${GOOD}\n\n${REFUSED}\n`);
		const [before, after] = stdout.split('status 1\n');
		assert.equal(after, before);
		assert.equal(
			stderr,
			'(stdin):3: RTNETLINK answers: File exists\n' +
				'xfrm load: 1 rule of 2 refused; nothing was changed\n',
		);
	});

	it('a dry run changes nothing, and tells every refusal as JSON', () => {
		const script = `${THERE}; $XFRM load --dry-run --json -; ip xfrm policy | grep -c dir`;
		const { stdout } = inNamespace(script, `${REFUSED}\n${GOOD}\n${REFUSED}\n`);
		const lines = stdout.trimEnd().split('\n');
		assert.deepEqual(
			lines.slice(0, 2).map((line) => {
				const { line: at, errno } = JSON.parse(line) as { line: number; errno: number };
				return { at, errno };
			}),
			[
				{ at: 1, errno: 17 },
				{ at: 3, errno: 17 },
			],
		);
		assert.deepEqual(lines.slice(2), ['1']);
	});

	it('a line that cannot be read, and hidden keys: status 2, nothing sent', () => {
		const bad = inNamespace('$XFRM load -; echo $?; ip xfrm policy', `${GOOD}\npolicy frob\n`);
		assert.equal(bad.stdout, '2\n');
		assert.match(bad.stderr, /^xfrm: \(stdin\):2:8: found "frob"/);
		const dump = `src 192.0.2.1 dst 192.0.2.2
	proto esp spi 0x00000101 reqid 1 mode tunnel
	replay-window 0
	aead rfc4106(gcm(aes)) <<Keys hidden>> 128
`;
		const hidden = inNamespace('$XFRM load -; echo $?', dump);
		assert.equal(hidden.stdout, '2\n');
		assert.match(hidden.stderr, /keys of this state are hidden/);
	});
});

describe('the tables of the running kernel as a snapshot', { skip }, () => {
	it('what is saved can be loaded elsewhere', () => {
		const script = `${THERE}; ip xfrm policy add dir fwd ptype sub priority 2 action block
			$XFRM save -o /proc/self/fd/2; $XFRM save`;
		const { stdout } = inNamespace(script);
		const loaded = inNamespace('$XFRM load -; $XFRM save', stdout);
		const timeless = (text: string): unknown =>
			JSON.parse(text, (name, value: unknown) =>
				name === 'time' || name === 'add' ? undefined : value,
			);
		assert.deepEqual(timeless(loaded.stdout), timeless(stdout));
	});

	it('a file is for its owner alone', () => {
		const script = 'd=$(mktemp -d); $XFRM save -o $d/s && stat -c %a $d/s; rm -r $d';
		assert.equal(inNamespace(script).stdout, '600\n');
	});

	it('without the right it says what is missing', () => {
		const script = 'setpriv --bounding-set -all --inh-caps -all $XFRM save; echo $?';
		const { stdout, stderr } = inNamespace(script);
		assert.equal(stdout, '2\n');
		assert.match(stderr, /^xfrm: states\.list: .*CAP_NET_ADMIN/);
	});
});

it('the counters are printed as the kernel does', { skip }, () => {
	const { stdout } = inNamespace(
		'$XFRM stat | sed "s/ # .*//" | diff - /proc/net/xfrm_stat && echo same',
	);
	assert.equal(stdout, 'same\n');
});
