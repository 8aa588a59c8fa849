/**
 * The command as people and scripts see it: exit statuses, what goes to stdout and what to stderr, and what
 * is said about input that cannot be read. Runs the built command.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const bin = fileURLToPath(new URL('../bin/xfrm.js', import.meta.url));

interface Run {
	readonly status: number | null;
	readonly stdout: string;
	readonly stderr: string;
}

function xfrm(args: readonly string[], input = '', env: Record<string, string> = {}): Run {
	const run = spawnSync(process.execPath, [bin, ...args], {
		cwd: root,
		encoding: 'utf8',
		input,
		env: { ...process.env, ...env },
	});
	const { status, stdout, stderr } = run;
	return { status, stdout, stderr };
}

const KEY = '0x3f1a5be2c8d04976aa10e5cd27b3648f9e02c571';
const AEAD = `aead 'rfc4106(gcm(aes))' ${KEY} 128`;
const STATE = `ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x100 ${AEAD}`;
const POLICY =
	'policy add src 192.0.2.1/32 dst 192.0.2.2/32 dir out tmpl proto esp mode transport # the words "ip xfrm" may go';
const FLOW = 'src 192.0.2.1 dst 192.0.2.2 proto udp dport 53 dir out';
const LOST = 'src 192.0.2.1 dst 192.0.2.3 proto udp dport 53 dir out';

let folder = '';
before(() => {
	folder = mkdtempSync(join(tmpdir(), 'xfrm-cli-'));
});
after(() => rmSync(folder, { recursive: true }));

/** A file of the test's folder. */
function file(name: string, content: string | Uint8Array): string {
	const path = join(folder, name);
	writeFileSync(path, content);
	return path;
}

/** A pcap file of raw IP packets, `cut` octets missing at its end. */
function pcap(packets: readonly string[], cut = 0): Uint8Array {
	const parts = packets.map((hex) => {
		const data = Buffer.from(hex, 'hex');
		const header = Buffer.alloc(16);
		header.writeUInt32LE(1, 0);
		header.writeUInt32LE(data.length, 8);
		header.writeUInt32LE(data.length, 12);
		return Buffer.concat([header, data]);
	});
	const head = Buffer.alloc(24);
	head.writeUInt32LE(0xa1b2c3d4, 0);
	head.writeUInt16LE(2, 4);
	head.writeUInt16LE(4, 6);
	head.writeUInt32LE(65535, 16);
	head.writeUInt32LE(101, 20);
	const whole = Buffer.concat([head, ...parts]);
	return whole.subarray(0, whole.length - cut);
}

const UDP = '4500001c12344000401101b6c0000201c00002029c40003500087c8a';

describe('xfrm explain: answers and exit statuses', () => {
	it('is 0 for a packet that goes its way, rules from stdin', () => {
		const run = xfrm(['explain', '--json', '--rules', '-', FLOW], `${STATE}\n${POLICY}\n`);
		assert.equal(run.stderr, '');
		assert.equal(run.status, 0);
		const answer = JSON.parse(run.stdout) as Record<string, unknown>;
		assert.equal(answer['outcome'], 'transform');
		assert.equal((answer['states'] as { spi: string }[])[0]?.spi, '0x00000100');
	});

	it('is 1 when one packet is dropped or asks a key manager', () => {
		const run = xfrm(['explain', '--rules', '-', FLOW, LOST], `${POLICY}\n`);
		assert.equal(run.status, 1);
		assert.match(run.stdout, /^--- packet 1 of 2 ---\nACQUIRE {2}XfrmOutNoStates\n/);
		assert.match(run.stdout, /\n\n--- packet 2 of 2 ---\nPASS {2}leaves by eth0, 28 bytes\n/);
	});

	it('asks nobody with --no-listener', () => {
		const run = xfrm(['explain', '--json', '--no-listener', '--rules', '-', FLOW], `${POLICY}\n`);
		const answer = JSON.parse(run.stdout) as Record<string, unknown>;
		assert.deepEqual(
			[answer['outcome'], answer['counter'], answer['events']],
			['drop', 'XfrmOutNoStates', []],
		);
	});

	it('carries state over: the first packet acquires, the second meets the larval state', () => {
		const args = ['explain', '--json', '--rules', '-', FLOW, FLOW, 'wait:31', FLOW];
		const run = xfrm(args, `${POLICY}\n`);
		const outcomes = run.stdout
			.trimEnd()
			.split('\n')
			.map((line) => (JSON.parse(line) as Record<string, unknown>)['outcome']);
		assert.deepEqual(outcomes, ['acquire', 'drop', 'acquire']);
	});

	it('counts --time +S from the load of the rules', () => {
		const times = [FLOW, '--time', '+20', FLOW, '--time', '+31', FLOW];
		const run = xfrm(['explain', '--json', '--rules', '-', ...times], `${POLICY}\n`);
		const outcomes = run.stdout
			.trimEnd()
			.split('\n')
			.map((line) => (JSON.parse(line) as Record<string, unknown>)['outcome']);
		assert.deepEqual(outcomes, ['acquire', 'drop', 'acquire']);
	});

	it('fixes what is random or counted', () => {
		const fixed = ['--iv', '0102030405060708', '--seq', '7', '--ip-id', '9', FLOW];
		const run = xfrm(['explain', '--json', '--rules', '-', ...fixed], `${STATE}\n${POLICY}\n`);
		const answer = JSON.parse(run.stdout) as { packets: string[] };
		assert.match(answer.packets[0] ?? '', /^.{40}00000100000000070102030405060708/);
	});

	it('reads captures, every packet in order', () => {
		const path = file('two.pcap', pcap([UDP, UDP]));
		const run = xfrm(['explain', '--json', '--rules', '-', '--dir', 'out', `@${path}`], STATE);
		assert.equal(run.status, 0, run.stderr);
		assert.equal(run.stdout.trimEnd().split('\n').length, 2);
	});

	it('takes host lines and what ip prints', () => {
		const host = file(
			'host',
			`2: wan: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1400 qdisc fq state UP group default
    link/ether 02:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff
    inet 192.0.2.1/24 brd 192.0.2.255 scope global wan
       valid_lft forever preferred_lft forever
default via 192.0.2.254 dev wan proto static
192.0.2.0/24 dev wan proto kernel scope link src 192.0.2.1
0:	from all lookup local
32766:	from all lookup main
`,
		);
		const run = xfrm(['explain', '--json', '--rules', '-', '--host', host, FLOW], POLICY);
		assert.equal(run.stderr, '');
		const answer = JSON.parse(run.stdout) as { outcome: string; assumed: string[] };
		assert.deepEqual([answer.outcome, answer.assumed], ['acquire', []]);
	});
});

describe('xfrm explain: bad input', () => {
	const rows: readonly {
		readonly name: string;
		readonly args: readonly string[];
		readonly input?: string;
		readonly stderr: RegExp;
		readonly stdout?: RegExp;
		readonly status?: number;
	}[] = [
		{
			name: 'a rule that cannot be read: file, line, column, found, expected',
			args: ['--rules', '-', FLOW],
			input: `${STATE}\n\nip xfrm policy add src 10.0.0.0/8 dst 10.1.0.0/33 dir out\n`,
			stderr: /^xfrm: \(stdin\):3:39: found "10\.1\.0\.0\/33".*, expected /,
		},
		{
			name: 'a dump that is cut in the middle',
			args: ['--rules', '-', FLOW],
			input: 'src 10.0.0.1 dst 10.0.0.2\n\tproto esp spi 0x100 reqid\n',
			stderr:
				/\(stdin\):2:27: found the end of the line \(The dump is cut in the middle of a state\), /,
		},
		{
			name: 'a line of a dump that is none',
			args: ['--rules', '-', FLOW],
			input:
				'src 10.0.0.1 dst 10.0.0.2\n\tproto esp spi 0x100 reqid 1 mode tunnel\n\treplay-window 0 \n\tfrob 1\n',
			stderr:
				/\(stdin\):4:2: found "frob" \(Not what ip prints of a state\), expected mark, auth, /,
		},
		{
			name: 'a packet that is not hex',
			args: ['--rules', '-', '45zz'],
			input: POLICY,
			stderr: /found "z" in a packet, expected a hexadecimal digit/,
		},
		{
			name: 'a line of tcpdump for a packet',
			args: ['--rules', '-', 'IP 10.1.0.5 > 10.2.0.9: ICMP echo request, id 1, seq 1, length 64'],
			input: POLICY,
			stderr:
				/found "IP 10\.1\.0\.5 > .*", expected a packet in hex, @FILE of a capture, or a flow/,
		},
		{
			name: 'a packet of no IP version',
			args: ['--rules', '-', '9500'],
			input: POLICY,
			stderr: /byte 0: found IP version 9, expected 4 or 6/,
		},
		{
			name: 'a packet shorter than it says',
			args: ['--rules', '-', `${UDP.slice(0, -4)}`],
			input: POLICY,
			stderr: /byte 2: found a length of 28 bytes in the IP header, expected at most the 26 given/,
		},
		{
			name: 'a flow with an unknown word',
			args: ['--rules', '-', 'src 1.2.3.4 dest 1.2.3.5'],
			input: POLICY,
			stderr: /found "dest", expected src, dst, proto/,
		},
		{ name: 'no rules', args: [FLOW], stderr: /expected --rules FILE/ },
		{ name: 'no packet', args: ['--rules', '-'], stderr: /found no packet, expected hex/ },
		{
			name: 'an unknown option',
			args: ['--rules', '-', '--frob', FLOW],
			stderr: /Unknown option '--frob'/,
		},
		{
			name: 'options that contradict each other',
			args: ['--rules', '-', '--brief', '--bytes', FLOW],
			stderr: /found --brief and --bytes, expected one of them/,
		},
		{
			name: 'the rules of two hosts',
			args: ['--rules', '-', '--kernel', FLOW],
			stderr: /found --kernel and --rules, expected one of them/,
		},
		{
			name: 'a policy that nobody can be asked about',
			args: ['--rules', '-', '--why-not', 'the one', FLOW],
			stderr: /--why-not: found "the one", expected a policy \(out 9/,
		},
		{
			name: 'a packet of two families',
			args: ['--rules', '-', 'src 2001:db8::1 dst 192.0.2.1'],
			input: POLICY,
			stderr: /found "192\.0\.2\.1", expected a destination of the same family as the source/,
		},
		{
			name: 'an unknown profile',
			args: ['--rules', '-', '--profile', 'linux1', FLOW],
			stderr: /found "linux1", expected --profile linux61\|linux619\|linux72/,
		},
		{
			name: 'a file that is not there',
			args: ['--rules', '/nonexistent/rules', FLOW],
			stderr: /\/nonexistent\/rules: no such file/,
		},
		{
			name: 'a wait that is no number',
			args: ['--rules', '-', FLOW, 'wait:soon'],
			input: POLICY,
			stderr: /found "wait:soon", expected wait:SECONDS/,
			stdout: /^ACQUIRE/,
		},
	];
	for (const { name, args, input, stderr, stdout, status } of rows) {
		it(name, () => {
			const run = xfrm(['explain', ...args], input);
			assert.match(run.stderr, stderr);
			assert.match(run.stdout, stdout ?? /^$/);
			assert.equal(run.status, status ?? 2);
		});
	}

	it('a capture that is cut short: everything before is answered, then the error', () => {
		const path = file('cut.pcap', pcap([UDP, UDP], 5));
		const run = xfrm(['explain', '--json', '--rules', '-', '--dir', 'out', `@${path}`], POLICY);
		assert.equal(run.stdout.trimEnd().split('\n').length, 1);
		assert.match(run.stderr, /cut\.pcap: packet 2, byte \d+: /);
		assert.equal(run.status, 2);
	});

	it('a rule that Linux refuses is reported with errno, text and line, and the rest goes on', () => {
		const rules = `${STATE}\n${STATE}\n${POLICY}\n`;
		const run = xfrm(['explain', '--json', '--rules', '-', FLOW], rules);
		assert.equal(run.stderr, 'xfrm: (stdin):2: refused: EEXIST: RTNETLINK answers: File exists\n');
		assert.equal(run.status, 0);
		const strict = xfrm(['explain', '--strict', '--rules', '-', FLOW], rules);
		assert.deepEqual([strict.status, strict.stdout], [2, '']);
	});
});

describe('xfrm explain: what it tells beside the way', () => {
	const LOST_STATE = STATE.replace('spi 0x100', 'spi 0x100 reqid 5');

	it('the best fix with --brief, none with --no-fix, as text and as JSON', () => {
		const rules = `${LOST_STATE}\n${POLICY}\n`;
		const brief = xfrm(['explain', '--brief', '--rules', '-', FLOW], rules);
		assert.match(
			brief.stdout,
			/\nFix \(tried here.*\n {2}1\. .* reqid 5.*\n(?: {5}.*\n)? {7}ip xfrm policy update /,
		);
		assert.ok(!brief.stdout.includes('SEND'));
		const none = xfrm(['explain', '--json', '--no-fix', '--rules', '-', FLOW], rules);
		assert.equal((JSON.parse(none.stdout) as Record<string, unknown>)['fix'], undefined);
		const json = xfrm(['explain', '--json', '--rules', '-', FLOW], rules);
		const { fix } = JSON.parse(json.stdout) as { fix: { commands: string[]; outcome: string }[] };
		assert.match(fix[0]?.commands[0] ?? '', /^ip xfrm policy update .* reqid 5 mode transport$/);
		assert.equal(fix[0]?.outcome, 'transform');
		assert.ok(!json.stdout.includes(KEY.slice(2)));
	});

	it('keys in fixes by their names, unless they may be shown', () => {
		const rules = `${LOST_STATE.replace(KEY, KEY.toUpperCase().replace('0X', '0x'))}\n${POLICY}\n`;
		const hidden = xfrm(['explain', '--json', '--rules', '-', FLOW], rules).stdout;
		assert.ok(hidden.includes('key#1'));
		assert.ok(!hidden.toLowerCase().includes(KEY.slice(2)));
		const shown = xfrm(['explain', '--json', '--show-keys', '--rules', '-', FLOW], rules).stdout;
		assert.ok(shown.includes(KEY));
	});

	it('why a policy or state was not taken, header fields, the hex of each step', () => {
		const rules = `${STATE}\n${POLICY}\n`;
		const args = ['--why-not', 'out 1', '--why-not', '0x00000100', '--why-not', '77', '--bytes'];
		const run = xfrm(['explain', '--steps', ...args, '--rules', '-', LOST], rules);
		assert.match(run.stdout, /Why not out 1\?\n.*does not match/);
		assert.match(run.stdout, /dst: want 192\.0\.2\.2\/32, have 192\.0\.2\.3/);
		assert.match(run.stdout, /Why not 77\?\n {4}There is no such policy\./);
		const sealed = xfrm(['explain', '--bytes', '--rules', '-', FLOW], rules);
		assert.match(sealed.stdout, /esp\.spi +00000100 {2}0x00000100/);
		assert.match(sealed.stdout, /esp\.icv +[0-9a-f]{32} {2}16 bytes/);
	});

	it('the other end: ours seen from there, or the rules of the peer', () => {
		const back = STATE.replace('src 192.0.2.1 dst 192.0.2.2', 'src 192.0.2.2 dst 192.0.2.1');
		const policies = [
			POLICY.replace(/ #.*/, ''),
			'policy add src 192.0.2.2/32 dst 192.0.2.1/32 dir in tmpl proto esp mode transport',
		];
		const rules = [STATE, back, ...policies].join('\n');
		const whole = xfrm(['explain', '--both', '--rules', '-', FLOW], rules);
		assert.match(whole.stdout, /--- At the peer ---\nTRANSFORM/);
		assert.match(whole.stdout, /--- The answer, arriving here ---\nTRANSFORM/);
		assert.equal(whole.status, 0);
		const peer = file('peer.xfrm', STATE.replace(KEY, KEY.replace('3f', '40')));
		const broken = xfrm(['explain', '--json', '--peer-rules', peer, '--rules', '-', FLOW], rules);
		const { both } = JSON.parse(broken.stdout) as {
			both: { peer: { code: string }; back?: unknown };
		};
		assert.equal(both.peer.code, 'in.icv');
		assert.equal(both.back, undefined);
		assert.equal(broken.status, 1);
	});

	it('nothing of the way that is wider than the terminal', () => {
		const run = xfrm(['explain', '--no-fix', '--rules', '-', FLOW], `${POLICY}\n`, {
			COLUMNS: '70',
		});
		const widest = Math.max(...run.stdout.split('\n').map((line) => line.length));
		assert.ok(widest <= 70, `${widest} columns`);
	});
});

describe('xfrm decrypt', () => {
	it('writes what was inside, counts by state, and says what stays closed', () => {
		const out = join(folder, 'plain.pcap');
		const args = ['decrypt', 'examples/site-b.pcap', '-o', out, '--rules'];
		const run = xfrm([...args, 'examples/site-b.xfrm']);
		assert.equal(run.stderr, '');
		assert.match(run.stdout, /^2 packets: 2 opened, 0 protected that stay closed, 0 in clear\n/);
		assert.equal(run.status, 0);
		const inner = xfrm([
			'explain',
			'--json',
			'--no-fix',
			'--rules',
			'examples/site-a.xfrm',
			'--dir',
			'fwd',
			`@${out}`,
		]);
		assert.match(inner.stdout, /10\.1\.0\.\d+ → 10\.2\.0\.\d+/);
		const closed = xfrm([...args, '-', '--json'], `${STATE}\n`);
		const { opened, closed: reasons } = JSON.parse(closed.stdout) as Record<string, unknown>;
		assert.deepEqual([opened, reasons], [0, { 'in.state.none': 2 }]);
		assert.equal(closed.status, 1);
		assert.equal(xfrm(['decrypt', 'examples/site-b.pcap']).status, 2);
	});
});

describe('secrets', () => {
	it('no key is in any output, and a key that cannot be read is hidden in the error', () => {
		const run = xfrm(['explain', '--json', '--rules', '-', FLOW], `${STATE}\n${POLICY}\n`);
		assert.doesNotMatch(run.stdout + run.stderr, /3f1a5be2c8d0/);
		const bad = `ip xfrm state add src 1.1.1.1 dst 1.1.1.2 proto esp spi 1 enc 'cbc(aes)' ${KEY}zz`;
		const refused = xfrm(['explain', '--rules', '-', FLOW], `${bad}\n`);
		assert.equal(refused.status, 2);
		assert.doesNotMatch(refused.stderr, /3f1a5be2c8d0/);
	});
});

describe('dumps as rules', () => {
	const HIDDEN = `src 192.0.2.2 dst 192.0.2.1
	proto esp spi 0x00000200 reqid 0 mode transport
	replay-window 0
	aead rfc4106(gcm(aes)) <<Keys hidden>> 128
	anti-replay context: seq 0x5, oseq 0x0, bitmap 0x0000001f
	sel src 0.0.0.0/0 dst 0.0.0.0/0
src 192.0.2.1 dst 192.0.2.2
	proto esp spi 0x00000100 reqid 0 mode transport
	replay-window 0
	aead rfc4106(gcm(aes)) <<Keys hidden>> 128
	anti-replay context: seq 0x0, oseq 0x41, bitmap 0x00000000
	sel src 0.0.0.0/0 dst 0.0.0.0/0
src 192.0.2.1/32 dst 192.0.2.2/32
	dir out priority 0 ptype main
	tmpl src 0.0.0.0 dst 0.0.0.0
		proto esp reqid 0 mode transport
`;
	const ESP = `45000048000040004032b680c0000202c0000201${'00000200'}00000006${'5a'.repeat(44)}`;
	const answersOf = (run: Run): Record<string, unknown>[] =>
		run.stdout
			.trimEnd()
			.split('\n')
			.map((line) => JSON.parse(line) as Record<string, unknown>);

	it('a hidden key: outbound everything but the octets, inbound unknown with both ways told', () => {
		const args = ['explain', '--json', '--rules', '-', '--local', '192.0.2.1', FLOW];
		const run = xfrm([...args, '--dir', 'in', ESP], HIDDEN);
		assert.equal(run.stderr, '');
		const [sent = {}, received = {}] = answersOf(run);
		assert.deepEqual([sent['outcome'], received['outcome']], ['transform', 'unknown']);
		assert.match((sent['packets'] as string[])[0] ?? '', /^.{40}0000010000000042/);
		const { code, counter, counters, packets, states } = received;
		assert.deepEqual([code, counter, counters, packets], ['key.hidden', null, {}, []]);
		assert.deepEqual(
			(states as { spi: string; refused?: boolean }[]).map(({ spi, refused }) => [spi, refused]),
			[['0x00000200', undefined]],
		);
		assert.match(String(received['reason']), /with that key.*XfrmInStateProtoError/);
		assert.match(String(received['assumed']), /keys of 2 states are hidden/);
		assert.equal(run.status, 1);
	});

	it('several hosts in one file: one has to be named', () => {
		const both = `root@moon:~# ip xfrm state; ip xfrm policy\n${HIDDEN}root@sun:~# ip xfrm policy\n`;
		const text = `${both}src 192.0.2.2/32 dst 192.0.2.1/32\n\tdir out action block priority 0\n`;
		const asked = xfrm(['explain', '--rules', '-', FLOW], text);
		assert.match(asked.stderr, /several hosts or moments: "moon" \(line 1\), "sun" \(line 18\)/);
		assert.equal(asked.status, 2);
		const named = xfrm(['explain', '--json', '--rules=-#moon', FLOW], text);
		assert.equal(answersOf(named)[0]?.['outcome'], 'transform');
	});
});

describe('the other commands', () => {
	it('--version tells version, commit and profile', () => {
		const run = xfrm(['--version']);
		assert.match(
			run.stdout,
			/^xfrm \d+\.\d+\.\d+ \(commit ([0-9a-f]{12}|unknown), profile linux619\)\n$/,
		);
		assert.equal(run.status, 0);
	});

	it('a node that is too old is named, wherever it came from', () => {
		const older = "Object.defineProperty(process, 'versions', { value: { node: '20.18.9' } })";
		const run = xfrm(['demo'], '', { NODE_OPTIONS: `--import "data:text/javascript,${older}"` });
		const stderr = `xfrm: Node 20.19 or later is needed; this is 20.18.9, ${process.execPath}\n`;
		assert.deepEqual(run, { status: 2, stdout: '', stderr });
	});

	it('without koffi, which is not installed everywhere, what needs it says so in a line', () => {
		const without = `import module from 'node:module';
			const load = module._load;
			module._load = (name, ...more) => {
				if (name === 'koffi') throw new Error("Cannot find module 'koffi'\\nRequire stack:");
				return load(name, ...more);
			};`;
		const url = `data:text/javascript,${encodeURIComponent(without)}`;
		const told =
			"xfrm: the package koffi cannot be loaded (its binary is an optional dependency: npm ci --include=optional): Cannot find module 'koffi'\n";
		for (const command of [['state'], ['monitor'], ['daemon']]) {
			const { stderr } = xfrm(command, '', { NODE_OPTIONS: `--import "${url}"` });
			assert.equal(stderr, told, command[0]);
		}
	});

	it('an unknown command is bad usage', () => {
		const run = xfrm(['frobnicate']);
		assert.match(run.stderr, /found "frobnicate", expected a command/);
		assert.equal(run.status, 2);
	});

	it('help is there for every command, in 100 columns', () => {
		for (const args of [
			['help'],
			['--help'],
			['help', 'explain'],
			['explain', '--help'],
			['demo', '-h'],
			[],
		]) {
			const run = xfrm(args);
			assert.equal(run.status, 0, args.join(' '));
			assert.match(run.stdout, /xfrm /);
			assert.ok(Math.max(...run.stdout.split('\n').map((line) => line.length)) <= 100);
		}
	});

	it('the demo is at most 80 lines of 100 columns, plain when it is no terminal', () => {
		const run = xfrm(['demo']);
		const lines = run.stdout.trimEnd().split('\n');
		assert.equal(run.status, 0, run.stderr);
		assert.ok(lines.length <= 80, `${lines.length} lines`);
		assert.ok(Math.max(...lines.map((line) => line.length)) <= 100);
		assert.ok(!run.stdout.includes('\u001b'));
		for (const part of ['TRANSFORM', 'delivered', 'reqid: want 7, have 5', 'XfrmInStateSeqError']) {
			assert.ok(run.stdout.includes(part), part);
		}
	});

	it('the capture of the examples: one packet is delivered, its copy is a replay', () => {
		const site = ['--rules', 'examples/site-b.xfrm', '--host', 'examples/site-b.host'];
		const run = xfrm(['explain', '--json', ...site, '--dev', 'wan', '@examples/site-b.pcap']);
		const answers = run.stdout
			.trimEnd()
			.split('\n')
			.map((line) => JSON.parse(line) as Record<string, unknown>);
		assert.deepEqual(
			answers.map(({ outcome, code }) => [outcome, code]),
			[
				['transform', 'in.delivered'],
				['drop', 'in.replay.repeated'],
			],
		);
	});

	it('the commands that the demo ends with work as printed', () => {
		const lines = xfrm(['demo']).stdout.split('\n');
		const commands = lines.filter((line) => line.startsWith('  npx xfrm '));
		assert.equal(commands.length, 2);
		for (const command of commands) {
			const shell = command.trim().replace(/^npx xfrm/, `"${process.execPath}" "${bin}"`);
			const run = spawnSync('sh', ['-c', shell], { cwd: root, encoding: 'utf8' });
			assert.equal(run.status, 0, `${command}: ${run.stderr}`);
			assert.ok(run.stdout.length > 100);
		}
	});
});
