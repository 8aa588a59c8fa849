import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attributeValue, decodeMessage, splitMessages, type XfrmMessage } from '@xfrm/netlink';
import type { Command, CommandContext } from './command.ts';
import { parseCommand } from './parse-command.ts';
import type { Problem } from './problem.ts';

const CONTEXT: CommandContext = { interfaceIndex: (name) => (name === 'wan' ? 3 : undefined) };

function command(text: string | readonly string[], context: CommandContext = CONTEXT): Command {
	const parsed = parseCommand(text, context);
	assert.equal(parsed.problem, undefined);
	assert.ok(parsed.command);
	return parsed.command;
}

function message(text: string, context: CommandContext = CONTEXT): XfrmMessage {
	const [raw] = command(text, context).requests.flatMap(splitMessages);
	const decoded = raw && decodeMessage(raw);
	assert.ok(decoded);
	return decoded;
}

function problem(text: string, context: CommandContext = CONTEXT): Problem {
	const parsed = parseCommand(text, context);
	assert.ok(parsed.problem, text);
	return parsed.problem;
}

test('the words before the object may be there or not, whole or in short', () => {
	const want = command('ip xfrm state list').requests;
	for (const text of ['xfrm state', 'state', 'ip x sa sh', 'sa lst', 'ip -s -d xfrm st l']) {
		assert.deepEqual(command(text).requests, want, text);
	}
	assert.deepEqual(command(['state']).requests, want);
	assert.deepEqual(command('ip -s -stat -o -t xfrm state').print, {
		stats: 2,
		oneline: true,
		timestamp: true,
		nokeys: false,
		family: 0,
	});
});

const ESP = 'state add src 10.0.0.1 dst 10.0.0.2 proto esp spi 0x100';
const GCM = "aead 'rfc4106(gcm(aes))' 0x00112233445566778899aabbccddeeff00112233 128";

// @spec C-4
test('a window is legacy up to 32, a bitmap above or with esn', () => {
	const names = (text: string): string[] => message(text).attributes.map(({ name }) => name);
	assert.deepEqual(names(`${ESP} ${GCM} replay-window 32`), ['algAead']);
	assert.deepEqual(names(`${ESP} ${GCM} replay-window 32 replay-seq 5`), ['algAead', 'replayVal']);
	const esn = message(`${ESP} ${GCM} replay-window 33 replay-oseq-hi 7`);
	assert.deepEqual(attributeValue(esn.attributes, 'replayEsnVal'), {
		bmpLen: 2,
		oseq: 0,
		seq: 0,
		oseqHi: 7,
		seqHi: 0,
		replayWindow: 33,
		bmp: new Uint32Array(0),
	});
	assert.equal(esn.name === 'newsa' && esn.body.replayWindow, 0);
	assert.deepEqual(names(`${ESP} ${GCM} flag esn dir out`), ['algAead', 'replayEsnVal', 'saDir']);
});

// @spec C-5
test('marks: the mask is all ones unless given, and sent as ip sends it', () => {
	const mark = (text: string): unknown => attributeValue(message(text).attributes, 'mark');
	assert.deepEqual(mark(`${ESP} ${GCM} mark 5`), { v: 5, m: 0xffff_ffff });
	assert.deepEqual(mark(`${ESP} ${GCM} mark 5 mask 0xff`), { v: 5, m: 255 });
	assert.deepEqual(mark(`${ESP} ${GCM} mark 5 mask 0`), undefined);
	const get = 'state get dst 10.0.0.2 proto esp spi 1 mark';
	assert.deepEqual(mark(`${get} 0`), undefined);
	assert.deepEqual(mark(`${get} 6 mask 2`), { v: 6, m: 2 });
});

test('keys are hexadecimal or text', () => {
	const key = (text: string): number[] => {
		const value = attributeValue(message(`${ESP} enc x ${text}`).attributes, 'algCrypt');
		return [value?.keyBits ?? -1, ...(value?.key ?? [])];
	};
	assert.deepEqual(key('0x0aFF'), [16, 10, 255]);
	assert.deepEqual(key('0xaff'), [16, 10, 255]);
	assert.deepEqual(key('0x'), [16, 0x30, 0x78]);
	assert.deepEqual(key('""'), [0]);
	assert.deepEqual(key("'é!'"), [24, 0xc3, 0xa9, 0x21]);
});

// @spec C-1
test('what stands for ports depends on the protocol', () => {
	const ports = (text: string): number[] => {
		const { body } = message(`policy add dir out ${text}`) as Extract<
			XfrmMessage,
			{ name: 'newpolicy' }
		>;
		const { proto, sport, sportMask, dport, dportMask } = body.selector;
		return [proto, sport, sportMask, dport, dportMask];
	};
	assert.deepEqual(ports('proto tcp dport 80'), [6, 0, 0, 80, 65535]);
	assert.deepEqual(ports('proto udp sport 0'), [17, 0, 0, 0, 0]);
	assert.deepEqual(ports('proto icmp type 0 code 3'), [1, 0, 65535, 3, 65535]);
	assert.deepEqual(ports('proto gre key 1.2.3.4'), [47, 0x102, 65535, 0x304, 65535]);
	assert.deepEqual(ports('proto mobility-header type 5'), [135, 5, 65535, 0, 0]);
	assert.deepEqual(ports('proto any'), [0, 0, 0, 0, 0]);
});

// @spec C-3
test('families go by the first address, templates and sel have their own', () => {
	const policy = message(
		'policy add src ::/0 dir out tmpl src 1.1.1.1 dst 2.2.2.2 proto esp tmpl proto ah',
	);
	const templates = attributeValue(policy.attributes, 'tmpl')?.map(({ family }) => family);
	assert.deepEqual(templates, [2, 2]);
	assert.equal(policy.name === 'newpolicy' && policy.body.selector.family, 10);
	const state = message(`state add sel src ::1 mode tunnel proto esp spi 1 ${GCM}`);
	assert.deepEqual(
		state.name === 'newsa' && [state.body.family, state.body.selector.family],
		[2, 10],
	);
	const bare = message('ip -6 xfrm policy add dir in');
	assert.equal(bare.name === 'newpolicy' && bare.body.selector.family, 10);
});

test('problems: place, what was found, what ip says, and its status', () => {
	const rows: [text: string, column: number, found: string, message: string, status: number][] = [
		['state bla', 7, 'bla', 'Command "bla" is unknown, try "ip xfrm state help".', 255],
		['ip foo', 4, 'foo', 'Object "foo" is unknown, try "ip help".', 1],
		['ip -x xfrm state', 4, '-x', 'Option "-x" is unknown, try "ip -help".', 255],
		['state add', 11, '', 'Not enough information: ID is required', 1],
		['state add foo', 11, 'foo', 'Error: argument "XFRM-PROTO" is required', 255],
		['state add src', 15, '', 'Command line is not complete. Try option "help"', 255],
		['state add src x', 15, 'x', 'Error: any valid prefix is expected rather than "x".', 1],
		[
			'ip -6 xfrm state add src 1.2.3.4',
			26,
			'1.2.3.4',
			'Error: inet6 prefix is expected rather than "1.2.3.4".',
			1,
		],
		[
			'state add src any dst 1.1.1.1 proto esp',
			15,
			'any',
			'Error: argument "any" is wrong: value after "src" has an unrecognized address family',
			255,
		],
		[
			'policy add dir in dir out',
			19,
			'dir',
			'Error: duplicate "dir": "dir" is the second value.',
			255,
		],
		['policy add src 1.1.1.1', 24, '', 'Not enough information: DIR is required.', 1],
		[
			`${ESP} encap espinudp 4500 4500 foo`,
			82,
			'foo',
			'Error: any valid address is expected rather than "foo".',
			1,
		],
		['policy add dir in src 1.1.1.1 key x', 35, 'x', 'value after "key" is invalid', 255],
		[
			'policy delete dir in',
			22,
			'',
			'Not enough information: either SELECTOR or INDEX is required.',
			1,
		],
		[
			'state flush proto tcp',
			19,
			'tcp',
			'Error: argument "tcp" is wrong: XFRM-PROTO value is invalid',
			255,
		],
		[
			'monitor nosuch',
			9,
			'nosuch',
			'Argument "nosuch" is unknown, try "ip xfrm monitor help".',
			255,
		],
	];
	for (const [text, column, found, sentence, status] of rows) {
		const { expected, line, ...rest } = problem(text);
		assert.deepEqual(rest, { column, found, message: sentence, status }, text);
		assert.notEqual(expected, '');
		assert.equal(line, 1);
	}
});

// @spec C-2
test('protocols, modes and algorithms have to fit each other', () => {
	const esp = 'with XFRM-PROTO value "esp"';
	const rows: [rest: string, sentence: string][] = [
		['proto esp spi 1', `ALGO-TYPE value "enc" or "aead" is required ${esp}`],
		['proto esp spi 1 comp deflate enc x 0x00', `ALGO-TYPE value "comp" is invalid ${esp}`],
		['proto esp spi 1 mode ro enc x 0x00', `MODE value is invalid ${esp}`],
		[
			'proto ah spi 1 enc x 0x00',
			'ALGO-TYPE values "enc", "aead", and "comp" are invalid with XFRM-PROTO value "ah"',
		],
		['proto ah spi 1 mode beet auth x 0x00', 'MODE value is invalid with XFRM-PROTO value "ah"'],
		['proto comp spi 0x10000 comp deflate', 'SPI value is too large with XFRM-PROTO value "comp"'],
		['proto hao mode ro', '"coa" is required with XFRM-PROTO value "hao"'],
		['proto hao coa ::1', '"mode" is required with XFRM-PROTO value "hao"'],
		['proto route2 spi 1', '"spi" is invalid with XFRM-PROTO value "route2"'],
		['proto esp spi 1 enc x 0x00 coa 1.1.1.1', `"coa" is invalid ${esp}`],
		['proto esp spi 1 enc x 0x00 flag esn', 'Error: esn flag set without replay-window.'],
	];
	for (const [rest, sentence] of rows) {
		assert.equal(problem(`state add ${rest}`).message, sentence, rest);
	}
});

test('6.1 does not know what 7.1 brought', () => {
	const old: CommandContext = { ...CONTEXT, release: '6.1' };
	assert.equal(
		problem(`${ESP} ${GCM} dir out`, old).message,
		'Error: argument "dir" is wrong: unknown',
	);
	assert.equal(
		problem('policy setdefault in allow', old).message,
		'Error: argument "allow" is wrong: in policy value is invalid',
	);
	assert.equal(command('policy setdefault in allow').action, 'setdefault');
});

test('interfaces by name, by ifN, or not at all', () => {
	const index = (name: string): unknown => {
		const add = message(`policy add dir out dev ${name}`);
		return add.name === 'newpolicy' && add.body.selector.ifindex;
	};
	assert.equal(index('wan'), 3);
	assert.equal(index('if12'), 12);
	assert.equal(index('none'), 0);
	assert.equal(
		problem('policy add dir out dev eth9').message,
		'Error: argument "eth9" is wrong: DEV value is invalid',
	);
});

// What ip lacks: keywords of our own, in its style.
test('attributes and messages that ip has no words for', () => {
	const esp = "state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 1 enc cipher_null ''";
	const sent = (text: string): XfrmMessage => {
		const { command, problem } = parseCommand(text);
		assert.equal(problem, undefined, text);
		const [raw] = command?.requests.flatMap(splitMessages) ?? [];
		const message = raw && decodeMessage(raw);
		assert.ok(message);
		return message;
	};
	const iptfs =
		'iptfs iptfs-drop-time 1 iptfs-reorder-window 2 iptfs-dont-frag iptfs-init-delay 3 ' +
		'iptfs-max-queue-size 4 iptfs-pkt-size 5 nat-keepalive 20';
	assert.deepEqual(
		sent(`${esp} ${iptfs}`).attributes.flatMap((one) =>
			/^(iptfs|nat)/.test(one.name) ? [[one.name, one.value]] : [],
		),
		[
			['iptfsDropTime', 1],
			['iptfsReorderWindow', 2],
			['iptfsDontFrag', true],
			['iptfsInitDelay', 3],
			['iptfsMaxQsize', 4],
			['iptfsPktSize', 5],
			['natKeepaliveInterval', 20],
		],
	);
	const protectedBy = sent('policy add dir out tmpl proto esp iptfs reqid 1');
	assert.ok(protectedBy.name === 'newpolicy');
	assert.equal(attributeValue(protectedBy.attributes, 'tmpl')?.[0]?.mode, 5);
	const ends = 'src 192.0.2.1 dst 192.0.2.2';
	const migrate = sent(
		`policy migrate src 10.0.0.0/8 dst 10.1.0.0/16 dir out ptype main ` +
			`kmaddress local 192.0.2.1 remote 192.0.2.9 ` +
			`from ${ends} proto esp mode tunnel reqid 5 to src 192.0.2.1 dst 192.0.2.9`,
	);
	assert.deepEqual(
		[migrate.name, migrate.attributes.map(({ name }) => name)],
		['migrate', ['policyType', 'migrate', 'kmaddress']],
	);
	const [, list] = migrate.attributes;
	assert.ok(list?.name === 'migrate');
	const [entry] = list.value;
	assert.deepEqual(
		[entry?.proto, entry?.mode, entry?.reqid, entry?.newDaddr[3], entry?.oldFamily],
		[50, 1, 5, 9, 2],
	);
	const moved = sent(
		`state migrate-state ${ends} proto esp spi 0xc0de0001 mark 1 mask 0xff ` +
			'to src 192.0.2.1 dst 192.0.2.9 reqid 7 host-sel encap espinudp 4500 4501 0.0.0.0',
	);
	assert.ok(moved.name === 'migratestate');
	const { id, oldMark, newReqid, flags, newDaddr } = moved.body;
	assert.deepEqual(
		[id.spi, oldMark, newReqid, flags, newDaddr[3], moved.attributes.map(({ name }) => name)],
		[0xc0de0001, { v: 1, m: 0xff }, 7, 2, 9, ['encap']],
	);
	for (const [text, complaint] of [
		[`${esp} iptfs-pkt-size x`, /value after "iptfs-pkt-size" is invalid/],
		[`policy migrate dir out`, /"from" and "to" are required/],
		[`state migrate-state ${ends} proto esp spi 1`, /"to" is required/],
		[`state migrate-state ${ends} proto esp spi 1 to src 192.0.2.1`, /Both "src" and "dst"/],
	] as const) {
		assert.match(parseCommand(text).problem?.message ?? '', complaint);
	}
	for (const text of [`${esp} nat-keepalive 5`, 'policy migrate dir in', `${esp} iptfs`]) {
		assert.ok(parseCommand(text, { release: '6.1' }).problem, text);
	}
});
