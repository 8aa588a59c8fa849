import assert from 'node:assert/strict';
import { describe, it, test } from 'node:test';
import { looksLikeDump, parseDump } from './dump-text.ts';
import { formatProblem } from './problem.ts';
import { parseRulesFile } from './rules-file.ts';

const STATE = `src 192.0.2.1 dst 192.0.2.2
	proto esp spi 0xc0de0001 reqid 1 mode tunnel
	replay-window 32 flag af-unspec
	aead rfc4106(gcm(aes)) 0x000102030405060708090a0b0c0d0e0f10111213 128
	anti-replay context: seq 0x5, oseq 0x0, bitmap 0x0000001f
	sel src 0.0.0.0/0 dst 0.0.0.0/0 
`;
const OTHER = STATE.replace('0xc0de0001', '0xc0de0002');
const POLICY = `src 10.0.0.0/8 dst 10.1.0.0/16 
	dir out priority 7 ptype main 
	tmpl src 192.0.2.1 dst 192.0.2.2
		proto esp reqid 1 mode tunnel
`;

describe('what cannot be read is told with its place', () => {
	const rows: readonly (readonly [name: string, text: string, problem: RegExp])[] = [
		[
			'a word that ip does not print',
			STATE.replace('mode tunnel', 'mode sideways'),
			/^f:2:40: Not what ip prints of a state; found "sideways", expected transport, tunnel/,
		],
		[
			'an attribute that is not known',
			`${STATE}\tfrobnicate 5\n${OTHER}`,
			/^f:7:2: Not what ip prints of a state; found "frobnicate", expected mark, auth/,
		],
		[
			'a text that is cut in the middle of a line',
			POLICY.slice(0, -20),
			/^f:4:12: The dump is cut in the middle of a policy; found the end of the line, expected reqid$/,
		],
		[
			'a last state that lacks what the others have',
			STATE + OTHER.split('\n').slice(0, 3).join('\n'),
			/^f:9:1: The dump is cut in the middle of the state of line 7; .* expected anti-replay context$/,
		],
		[
			'a beginning that is missing',
			STATE.split('\n').slice(1).join('\n') + OTHER,
			/^f:1:2: A line of an object whose beginning is missing; found "proto", expected src ADDRESS/,
		],
		[
			'output of the monitor',
			`Updated ${STATE}`,
			/^f:1:1: This is what ip xfrm monitor prints; .* expected output of ip xfrm state/,
		],
		[
			'an address that is none',
			STATE.replace('192.0.2.2', '192.0.2.YYY'),
			/^f:1:19: Not what ip prints of a state; found "192\.0\.2\.YYY", expected an address$/,
		],
		[
			'a name with a NUL in it, which no kernel could keep',
			STATE.replace('aead ', 'aead \0'),
			/expected the name of an algorithm$/,
		],
		[
			'a name that no table has',
			STATE.replace('aead rfc', 'aead $rfc'),
			/expected the name of an algorithm$/,
		],
		[
			'addresses of two families',
			STATE.replace('dst 192.0.2.2', 'dst 2001:db8::1'),
			/^f:1:19: .*expected an address of the same family as the source$/,
		],
		[
			'a key that is longer than it says',
			STATE.replace('10111213 128', '10111213 (152 bits) 128'),
			/^f:4:79: Not what ip prints of a state; found "128", expected a key of 152 bits$/,
		],
		[
			'a window that no kernel has',
			STATE.replace(
				/\tanti.*\n/,
				'\tanti-replay esn context:\n\t seq-hi 0x0, seq 0x0, oseq-hi 0x0, oseq 0x0\n\t replay_window 9, bitmap-length 129\n',
			),
			/^f:7:34: .* found "129", expected a number behind bitmap-length$/,
		],
	];
	for (const [name, text, want] of rows) {
		it(name, () => {
			const { problem, pieces } = parseDump(text);
			assert.equal(pieces, undefined);
			assert.ok(problem);
			assert.match(formatProblem(problem, 'f'), want);
		});
	}
});

/** Kinds and lines of the steps, or the problem. */
function outline(text: string, host?: string): unknown {
	const { steps, problem } = parseRulesFile(text, host === undefined ? {} : { host });
	return steps?.map((step) => `${step.kind} ${step.line}`).join(', ') ?? problem?.message;
}

describe('whose dump it is', () => {
	const session = (host: string, body: string): string =>
		`root@${host}:~# ip xfrm state\n${body}root@${host}:~# ip xfrm policy\n${POLICY}root@${host}:~# \n`;
	const rows: readonly (readonly [
		name: string,
		text: string,
		host: string | undefined,
		want: unknown,
	])[] = [
		[
			'newest first becomes oldest first',
			STATE + OTHER + POLICY,
			undefined,
			'state 7, state 1, policy 13',
		],
		[
			'one host, prompts around it',
			session('moon', STATE + OTHER),
			undefined,
			'state 8, state 2, policy 15',
		],
		[
			'two hosts by their prompts',
			session('moon', STATE) + session('sun', OTHER),
			undefined,
			'The text holds dumps of several hosts or moments: "moon" (line 1), "sun" (line 14)',
		],
		[
			'the second of them by name',
			session('moon', STATE) + session('sun', OTHER),
			'SUN',
			'state 15, policy 22',
		],
		['by its number', session('moon', STATE) + session('sun', OTHER), '2', 'state 15, policy 22'],
		['by a name that none has', session('moon', STATE), 'mars', 'No such host, or more than one'],
		[
			'headings of both halves are one host',
			`The states:\n${STATE}The policies:\n${POLICY}`,
			undefined,
			'state 2, policy 9',
		],
		['headings name hosts', `== Left ==\n${STATE}\n== Right ==\n${STATE}`, 'left', 'state 2'],
		[
			'the same states twice are two moments',
			`${STATE}${POLICY}after the ping:\n${STATE}`,
			undefined,
			'The text holds dumps of several hosts or moments: "1" (line 1), "after the ping" (line 11)',
		],
		[
			'commands by ssh and in containers',
			`ssh moon ip xfrm state\n${STATE}docker exec sun ip x s\n${OTHER}`,
			'moon',
			'state 2',
		],
		[
			'commands of the file are carried out, in its order',
			`ip xfrm policy add src 10.9.0.0/16 dst 10.1.0.0/16 dir out\n${STATE}xfrm state flush # new\n`,
			undefined,
			'command 1, state 2, command 8',
		],
		[
			'what was typed before a dump shows in it',
			`moon:~# ip xfrm state flush; ip xfrm state\n${STATE}moon:~# ip xfrm policy flush\n`,
			undefined,
			'state 2, command 8',
		],
		[
			'output of other commands is passed over',
			`$ ip route\ndefault via 10.0.0.1 dev eth0\n$ ip xfrm state\n${STATE}`,
			undefined,
			'state 4',
		],
		[
			'lines with colours',
			STATE.replace(/(192\S+)/g, '\u001b[35m$1\u001b[0m'),
			undefined,
			'state 1',
		],
	];
	for (const [name, text, host, want] of rows) {
		it(name, () => {
			assert.deepEqual(outline(text, host), want);
		});
	}
});

test('dumps are told from commands', () => {
	const rows: readonly (readonly [text: string, isDump: boolean])[] = [
		[STATE, true],
		[`# ip xfrm state\n${STATE}`, true],
		['ip xfrm state add \\\n  src 1.2.3.4 dst 1.2.3.5 proto esp', false],
		['policy add src 10.0.0.0/8 dst 10.0.0.0/8 dir in', false],
		['', false],
	];
	for (const [text, isDump] of rows) {
		assert.equal(looksLikeDump(text), isDump, text);
	}
});

test('keys that somebody took away with what stood for them are hidden, where there must be some', () => {
	const aead = /aead .*\n/;
	const rows: readonly (readonly [algorithms: string, hidden: readonly string[]])[] = [
		['\taead rfc4106(gcm(aes)) 128\n', ['aead rfc4106(gcm(aes))']],
		[
			'\tauth-trunc hmac(sha256) 128\n\tenc cbc(aes)\n',
			['auth-trunc hmac(sha256)', 'enc cbc(aes)'],
		],
		['\tauth-trunc digest_null 0\n\tenc ecb(cipher_null)\n', []],
	];
	for (const [algorithms, hidden] of rows) {
		const text = STATE.replace(aead, algorithms.slice(1));
		const { steps = [], problem } = parseRulesFile(text);
		assert.equal(problem, undefined, algorithms);
		assert.deepEqual(
			steps.map((step) => (step.kind === 'command' ? undefined : step.untold.hiddenKeys)),
			[hidden],
		);
	}
});

test('default policies are read where ip has printed them', () => {
	const printed = 'Default policies:\n in:  block\n fwd: accept\n out: block\n';
	const rows: readonly (readonly [text: string, kinds: string])[] = [
		[`${STATE}${POLICY}${printed}`, 'state policy'],
		[`${printed}${POLICY}`, 'policy'],
		[`root@moon:~# ip xfrm policy getdefault\n${printed}root@moon:~# ip x p\n${POLICY}`, 'policy'],
		[`${POLICY}root@moon:~# ip xfrm policy getdefault\n${printed}`, 'policy'],
		[printed, ''],
	];
	for (const [text, kinds] of rows) {
		const { steps = [], problem, form } = parseRulesFile(text);
		assert.equal(problem, undefined, text);
		assert.equal(form, 'dump');
		const commands = steps.flatMap((step) => (step.kind === 'command' ? [step.text] : []));
		assert.deepEqual(commands, [
			'ip xfrm policy setdefault in block',
			'ip xfrm policy setdefault fwd accept',
			'ip xfrm policy setdefault out block',
		]);
		const objects = steps.flatMap(({ kind }) => (kind === 'command' ? [] : [kind]));
		assert.equal(objects.join(' '), kinds);
	}
});
