/**
 * Keys never leave: every command that reads rules is given keys that can be told from everything else, in good
 * rules and in every kind of bad line, and what it prints, to people, as JSON, SARIF or as a complaint, is looked
 * through for any eight octets of them. Runs the built command.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const bin = fileURLToPath(new URL('../bin/xfrm.js', import.meta.url));

const KEY = '3f1a5be2c8d04976aa10e5cd27b3648f9e02c571';
/** A key is text where it has no 0x in front. */
const TEXT_KEY = 'correct-horse-16';
const BOTH = 'src 192.0.2.1 dst 192.0.2.2';
const GOOD = `
xfrm state add ${BOTH} proto esp spi 0x100 reqid 7 mode tunnel aead 'rfc4106(gcm(aes))' 0x${KEY} 128
xfrm state add src 192.0.2.2 dst 192.0.2.1 proto esp spi 0x101 reqid 7 mode tunnel aead 'rfc4106(gcm(aes))' 0x${KEY} 128
xfrm state add ${BOTH} proto esp spi 0x102 reqid 8 mode tunnel auth 'hmac(sha1)' 0x${KEY} enc 'cbc(aes)' '${TEXT_KEY}'
xfrm policy add ${BOTH} dir out tmpl ${BOTH} proto esp reqid 7 mode tunnel
xfrm policy add src 192.0.2.2 dst 192.0.2.1 dir in tmpl src 192.0.2.2 dst 192.0.2.1 proto esp reqid 7 mode tunnel
`;
const FLOW = `${BOTH} proto udp dport 53 dir out`;

/** Bad rule files. */
const BAD: Readonly<Record<string, string>> = {
	'a key too long': `xfrm state add ${BOTH} proto esp spi 1 aead 'rfc4106(gcm(aes))' 0x${KEY}00 128`,
	'an unknown algorithm': `xfrm state add ${BOTH} proto esp spi 1 aead 'rfc4106(gcm(aez))' 0x${KEY} 128`,
	'a word behind it': `xfrm state add ${BOTH} proto esp spi 1 aead 'rfc4106(gcm(aes))' 0x${KEY} 128 0x${KEY}`,
	'a digit that is none': `xfrm state add ${BOTH} proto esp spi 1 enc 'cbc(aes)' 0x${KEY}zz`,
	'no algorithm': `xfrm state add ${BOTH} proto esp spi 1 0x${KEY}`,
	'a key for a number': `xfrm state add ${BOTH} proto esp spi 0x${KEY}`,
	'a key for a command': `0x${KEY}`,
	'an unclosed quote': `xfrm state add ${BOTH} proto esp spi 1 enc 'cbc(aes) 0x${KEY}`,
	'no bits': `xfrm state add ${BOTH} proto esp spi 1 aead 'rfc4106(gcm(aes))' 0x${KEY}`,
	'a list that ends': `${BOTH}\n\tproto esp spi 0x1 reqid 1 mode tunnel\n\taead rfc4106(gcm(aes)) 0x${KEY}`,
	'JSON of another kind': `{"state":[{"aead":{"name":"rfc4106(gcm(aes))","key":"0x${KEY}"`,
};

/** RULES stands for the file, OTHER for a good one. */
const COMMANDS: readonly (readonly string[])[] = [
	['explain', '--rules', 'RULES', FLOW],
	['explain', '--json', '--both', '--bytes', '--rules', 'RULES', FLOW],
	['explain', '--why-not', '0x00000102', '--rules', 'RULES', FLOW],
	['lint', 'RULES'],
	['lint', '--json', 'RULES'],
	['lint', '--sarif', 'RULES'],
	['lookup', '--rules', 'RULES', '--json', FLOW],
	['prove', '--rules', 'RULES', `${BOTH} dir out never pass`],
	['prove', '--json', '--rules', 'RULES', `${BOTH} dir out never pass`],
	['diff', 'RULES', 'OTHER'],
	['diff', '--json', 'OTHER', 'RULES'],
	['load', '--dry-run', '--json', 'RULES'],
	['decrypt', 'examples/site-b.pcap', '-o', 'OUT', '--rules', 'RULES'],
];
/** Of bad lines each way in which files are read has one to say it. */
const COMPLAINING: readonly (readonly string[])[] = [
	['explain', '--rules', 'RULES', FLOW],
	['lint', 'RULES'],
	['diff', 'RULES', 'OTHER'],
	['load', '--dry-run', '--json', 'RULES'],
	['decrypt', 'examples/site-b.pcap', '-o', 'OUT', '--rules', 'RULES'],
];

/** Any eight octets of the key, and the text one, in any of the ways that octets are written. */
const secrets: readonly string[] = [
	...Array.from({ length: KEY.length / 2 - 7 }, (_, i) => KEY.slice(2 * i, 2 * i + 16)),
	Buffer.from(KEY, 'hex').toString('base64').slice(0, 12),
	Buffer.from(TEXT_KEY).toString('hex'),
	TEXT_KEY,
];

function secretIn(output: string): string | undefined {
	// Octets may stand apart, or one by one as decimal numbers.
	const joined = output.toLowerCase().replace(/[\s:,]/g, '');
	const decimal = [...Buffer.from(KEY, 'hex').subarray(0, 8)].join('');
	return [...secrets, decimal].find(
		(secret) => output.includes(secret) || joined.includes(secret.toLowerCase()),
	);
}

let folder = '';
before(() => {
	folder = mkdtempSync(join(tmpdir(), 'xfrm-keys-'));
});
after(() => rmSync(folder, { recursive: true }));

async function output(args: readonly string[]): Promise<string> {
	const child = spawn(process.execPath, [bin, ...args], { cwd: root });
	let text = '';
	for (const stream of [child.stdout, child.stderr]) {
		stream.setEncoding('utf8').on('data', (part: string) => {
			text += part;
		});
	}
	await new Promise((resolve) => child.on('close', resolve));
	return text;
}

/** What the commands print of one rule file, by command line; two at a time. */
async function outputs(
	rules: string,
	commands: readonly (readonly string[])[],
): Promise<Map<string, string>> {
	const path = join(folder, 'rules');
	const other = join(folder, 'other');
	writeFileSync(path, rules);
	writeFileSync(other, GOOD.replaceAll('reqid 8', 'reqid 9'));
	const names = new Map([
		['RULES', path],
		['OTHER', other],
		['OUT', join(folder, 'out.pcap')],
	]);
	const found = new Map<string, string>();
	for (let i = 0; i < commands.length; i += 2) {
		await Promise.all(
			commands.slice(i, i + 2).map(async (command) => {
				const text = await output(command.map((word) => names.get(word) ?? word));
				found.set(command.join(' '), text);
			}),
		);
	}
	return found;
}

describe('no command prints a key', () => {
	it('is found by the search, however it is written', () => {
		const octets = Buffer.from(KEY, 'hex');
		for (const text of [
			`0x${KEY.toUpperCase()}`,
			`key ${KEY.slice(10, 30)}`,
			octets.toString('base64'),
			KEY.replace(/../g, '$& '),
			JSON.stringify([...octets]),
			`"${TEXT_KEY}"`,
		]) {
			assert.notEqual(secretIn(text), undefined, text);
		}
	});

	function check(printed: ReadonlyMap<string, string>): void {
		for (const [command, text] of printed) {
			assert.notEqual(text, '', `${command} says something`);
			assert.equal(secretIn(text), undefined, command);
		}
	}

	it('of good rules', async () => {
		check(await outputs(GOOD, COMMANDS));
	});

	for (const [name, rules] of Object.entries(BAD)) {
		it(`of ${name}`, async () => {
			check(await outputs(rules, COMPLAINING));
		});
	}
});
