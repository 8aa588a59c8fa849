/**
 * Every algorithm that charon can propose of those that XFRM knows: one CHILD_SA each, over one pair of
 * charons, one after the other.
 */
import assert from 'node:assert/strict';
import type { Lines } from './charon.ts';
import type { Plane } from './laboratory.ts';
import {
	ALL_PEERS,
	assertPings,
	connectionOf,
	IPV4,
	type Situation,
	WITH_TABLES,
	withCharons,
	withPeer,
} from './scenario.ts';

const PINGS = 3;
/** Payloads of pings: none that fills its block, and one that is longer than most. */
const PAYLOADS = [37, 1200];

function childLines(index: number, isA: boolean, line: Lines): Lines {
	const [local, remote] = [`10.1.${index}.0/24`, `10.2.${index}.0/24`];
	const ends = isA ? [local, remote] : [remote, local];
	return `local_ts = ${ends[0]}\nremote_ts = ${ends[1]}\n${line}`;
}

/** @param proposals as charon writes them */
async function runAll(
	peer: Plane,
	proposals: readonly string[],
	keyword: 'esp_proposals' | 'ah_proposals',
	more: Lines = '',
): Promise<void> {
	await withPeer(peer, async (ends) => {
		const { a, b } = ends;
		const [left, right] = connectionOf(IPV4, { encap: keyword === 'esp_proposals' });
		const children = (isA: boolean): Record<string, Lines> =>
			Object.fromEntries(
				proposals.map((proposal, index) => [
					`c${index + 1}`,
					childLines(index + 1, isA, `${keyword} = ${proposal}\n${more}`),
				]),
			);
		const [one] = await withCharons(ends, [
			{ ...left, children: children(true) },
			{ ...right, children: children(false) },
		]);
		const failed: string[] = [];
		for (const [index, proposal] of proposals.entries()) {
			const number = index + 1;
			a.must(`ip address add 10.1.${number}.1 dev lo`);
			b.must(`ip address add 10.2.${number}.1 dev lo`);
			const { status, stdout } = one.swanctl('--initiate', '--child', `c${number}`);
			const came = PAYLOADS.map((octets) =>
				status === 0 ? a.ping(`10.2.${number}.1`, PINGS, `-s ${octets} -W 5`) : 0,
			);
			if (came.some((count) => count < PINGS)) {
				failed.push(`${proposal} (${came.join(' and ')} pings): ${stdout.slice(-300)}`);
			}
		}
		assert.deepEqual(failed, []);
		assertPings(b, '10.1.1.1', PINGS, '-I 10.2.1.1');
	});
}

function esp(
	name: string,
	proposals: readonly string[],
	peers: readonly Plane[] = ALL_PEERS,
	lacks?: string,
): Situation {
	return {
		group: 'Algorithms',
		name,
		peers,
		...(lacks === undefined ? {} : { lacks }),
		run: (peer) => runAll(peer, proposals, 'esp_proposals'),
	};
}

function sizes(prefix: string, suffixes: readonly string[]): readonly string[] {
	return ['128', '192', '256'].flatMap((bits) =>
		suffixes.map((suffix) => `${prefix}${bits}${suffix}`),
	);
}

const LEGACY = 'Node’s OpenSSL has it in its legacy provider only';

const AUTHENTICATIONS = ['md5', 'sha1', 'sha256', 'sha384', 'sha512', 'aesxcbc', 'aescmac'];

export const algorithmSituations: readonly Situation[] = [
	esp('AES-GCM, keys of 128, 192 and 256 bits, ICVs of 8, 12 and 16 octets', [
		...sizes('aes', ['gcm8', 'gcm12', 'gcm16']),
	]),
	esp('AES-CCM, the same', [...sizes('aes', ['ccm8', 'ccm12', 'ccm16'])]),
	esp('AES-GMAC, keys of 128, 192 and 256 bits', [...sizes('aes', ['gmac'])], WITH_TABLES),
	esp('ChaCha20-Poly1305', ['chacha20poly1305']),
	esp('AES-CBC, keys of 128, 192 and 256 bits', [...sizes('aes', ['-sha256'])]),
	esp(
		'HMAC-MD5, HMAC-SHA-1, HMAC-SHA-2, AES-XCBC, AES-CMAC, with AES-CBC',
		AUTHENTICATIONS.map((name) => `aes128-${name}`),
	),
	esp('AES-CTR, keys of 128, 192 and 256 bits', [...sizes('aes', ['ctr-sha256'])]),
	esp('Camellia-CBC, keys of 128, 192 and 256 bits', [...sizes('camellia', ['-sha256'])]),
	esp('3DES-CBC', ['3des-sha1', '3des-sha256']),
	esp('no encryption, with HMAC-SHA-1 and HMAC-SHA-256', ['null-sha1', 'null-sha256']),
	esp('HMAC-SHA-256 cut to 96 bits, as in a draft', ['aes128-sha256_96'], WITH_TABLES),
	esp('DES-CBC', ['des-sha1'], WITH_TABLES, LEGACY),
	esp('Blowfish-CBC, CAST-CBC', ['blowfish128-sha256', 'cast128-sha256'], WITH_TABLES, LEGACY),
	esp(
		'Serpent-CBC, Twofish-CBC',
		['serpent128-sha256', 'twofish128-sha256'],
		WITH_TABLES,
		'OpenSSL has neither',
	),
	esp(
		'extended sequence numbers, with AES-GCM and with AES-CBC',
		['aes128gcm16-esn', 'aes256-sha256-esn', 'chacha20poly1305-esn'],
		WITH_TABLES,
	),
	{
		group: 'Algorithms',
		name: 'AH: HMAC-MD5, HMAC-SHA-1, HMAC-SHA-2, AES-XCBC, AES-CMAC; with extended sequence numbers',
		peers: WITH_TABLES,
		run: (peer) =>
			runAll(peer, [...AUTHENTICATIONS, 'sha256_96', 'sha256-esn', 'sha1-esn'], 'ah_proposals'),
	},
];
