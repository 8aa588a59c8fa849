/**
 * Random commands of `ip xfrm state|policy`, as words: most of them what the kernel takes, many at the
 * border, some broken. Few addresses, SPIs and priorities, so that later commands meet earlier objects.
 * No help (its texts differ), nothing that draws a random SPI, nothing that waits.
 */
import type { Random } from '../kernel/random.ts';

const V4 = ['192.0.2.1', '192.0.2.2', '198.51.100.7', '0.0.0.0'];
const V6 = ['2001:db8::1', '2001:db8::2', '::'];
const LIMITS = ['byte-soft', 'byte-hard', 'packet-soft', 'packet-hard', 'time-soft', 'time-hard'];
const STATE_FLAGS = [
	'noecn',
	'decap-dscp',
	'nopmtudisc',
	'wildrecv',
	'icmp',
	'af-unspec',
	'align4',
];

/** A cipher or digest of this kernel or not, with a key of a length that fits or not. */
function algorithm(random: Random): string[] {
	const key = (octets: number): string => `0x${random.hex(octets + (random.chance(0.1) ? 1 : 0))}`;
	return random.pick<() => string[]>([
		() => ['auth', 'hmac(sha1)', key(20)],
		() => ['auth', 'hmac(sha256)', key(32)],
		() => ['auth-trunc', 'hmac(sha256)', key(32), random.pick(['96', '128', '300'])],
		() => ['enc', 'cbc(aes)', key(16), 'auth', 'hmac(sha1)', key(20)],
		() => ['enc', 'ecb(cipher_null)', '', 'auth', 'digest_null', ''],
		() => ['aead', 'rfc4106(gcm(aes))', key(20), random.pick(['64', '128'])],
		() => ['comp', 'deflate'],
	])();
}

function maybe(random: Random, probability: number, words: () => string[]): string[] {
	return random.chance(probability) ? words() : [];
}

function mark(random: Random): string[] {
	return ['mark', random.pick(['1', '0x2', '7']), ...maybe(random, 0.5, () => ['mask', '0xff'])];
}

function limit(random: Random): string[] {
	return [
		'limit',
		random.pick(LIMITS),
		random.pick(['1000', '4000000000', '18446744073709551615']),
	];
}

/** `src … dst …` of one family, sometimes of two. */
function ends(random: Random, prefix: boolean): string[] {
	const family = random.chance(0.7) ? V4 : V6;
	const other = random.chance(0.95) ? family : random.chance(0.5) ? V4 : V6;
	const length = (): string =>
		prefix && random.chance(0.4) ? random.pick(['/32', '/24', '/8']) : '';
	return [
		...maybe(random, 0.95, () => ['src', random.pick(family) + length()]),
		...maybe(random, 0.95, () => ['dst', random.pick(other) + length()]),
	];
}

function upper(random: Random): string[] {
	return random.pick<() => string[]>([
		() => ['proto', 'tcp', 'dport', random.pick(['22', '80'])],
		() => ['proto', 'udp', 'sport', '53', 'dport', '1000'],
		() => ['proto', 'icmp', 'type', '8', 'code', '0'],
		() => ['proto', 'gre', 'key', random.pick(['17', '1.2.3.4'])],
		() => ['proto', random.pick(['47', 'sctp', '255', '256'])],
	])();
}

function selector(random: Random): string[] {
	return [
		...ends(random, true),
		...maybe(random, 0.1, () => ['dev', random.pick(['lo', 'nodev', 'if3'])]),
		...maybe(random, 0.3, () => upper(random)),
	];
}

function id(random: Random): string[] {
	const proto = random.pick(['ah', 'ah', 'esp', 'comp', 'route2', 'hao']);
	const spi = proto === 'comp' ? ['0x10', '0x20000'] : ['0x100', '0x101', '0', '4294967295'];
	return [
		...ends(random, false),
		...maybe(random, 0.97, () => ['proto', proto]),
		...maybe(random, 0.9, () => ['spi', random.pick(spi)]),
	];
}

const MODES = ['transport', 'tunnel', 'ro', 'in_trigger', 'beet'];

function stateAdd(random: Random): string[] {
	return [
		...id(random),
		...maybe(random, 0.8, () => ['mode', random.pick(MODES)]),
		...maybe(random, 0.4, () => ['reqid', random.pick(['1', '2', '70000'])]),
		...maybe(random, 0.1, () => ['seq', '0x77']),
		...maybe(random, 0.3, () => ['replay-window', random.pick(['0', '32', '64', '5000'])]),
		...maybe(random, 0.1, () => ['replay-oseq', '0xfffffffd']),
		...maybe(random, 0.3, () => ['flag', random.pick(STATE_FLAGS), random.pick(STATE_FLAGS)]),
		...maybe(random, 0.1, () => ['flag', 'esn']),
		...maybe(random, 0.1, () => ['extra-flag', random.pick(['oseq-may-wrap', 'dont-encap-dscp'])]),
		...maybe(random, 0.2, () => ['sel', ...selector(random)]),
		...maybe(random, 0.2, () => limit(random)),
		...maybe(random, 0.2, () => limit(random)),
		...maybe(random, 0.1, () => ['encap', 'espinudp', '4500', '4500', '0.0.0.0']),
		...maybe(random, 0.2, () => ['coa', random.pick(V6)]),
		...maybe(random, 0.2, () => mark(random)),
		...maybe(random, 0.1, () => ['output-mark', '5', 'mask', '0xf']),
		...maybe(random, 0.2, () => ['if_id', random.pick(['1', '0x20'])]),
		...maybe(random, 0.1, () => ['tfcpad', '100']),
		...maybe(random, 0.8, () => algorithm(random)),
	];
}

/** An SPI to reserve, which leaves no choice. */
function spiRequest(random: Random): string[] {
	const spi = random.pick(['0x300', '0x301', '0x302', '70000']);
	return [
		...ends(random, false),
		'proto',
		random.pick(['esp', 'ah', 'comp', 'route2']),
		...maybe(random, 0.6, () => ['mode', random.pick(MODES)]),
		...maybe(random, 0.4, () => ['reqid', random.pick(['1', '70000'])]),
		...maybe(random, 0.2, () => ['seq', '0x77']),
		...maybe(random, 0.2, () => mark(random)),
		'min',
		spi,
		'max',
		spi,
	];
}

function template(random: Random): string[] {
	return [
		'tmpl',
		...id(random),
		...maybe(random, 0.7, () => ['mode', random.pick(MODES)]),
		...maybe(random, 0.4, () => ['reqid', '9']),
		...maybe(random, 0.3, () => ['level', random.pick(['required', 'use'])]),
	];
}

function direction(random: Random): string[] {
	return maybe(random, 0.97, () => ['dir', random.pick(['in', 'out', 'fwd'])]);
}

function policyKey(random: Random): string[] {
	return [
		...selector(random),
		...direction(random),
		...maybe(random, 0.15, () => mark(random)),
		...maybe(random, 0.1, () => ['ptype', random.pick(['main', 'sub'])]),
		...maybe(random, 0.1, () => ['if_id', '4']),
	];
}

function policyAdd(random: Random): string[] {
	return [
		...policyKey(random),
		...maybe(random, 0.3, () => ['action', random.pick(['allow', 'block'])]),
		...maybe(random, 0.4, () => ['priority', random.pick(['1', '10', '4294967295'])]),
		...maybe(random, 0.2, () => ['flag', random.pick(['localok', 'icmp'])]),
		...maybe(random, 0.2, () => limit(random)),
		...maybe(random, 0.6, () => template(random)),
		...maybe(random, 0.2, () => template(random)),
	];
}

const COMMANDS: readonly ((random: Random) => string[])[] = [
	...Array(5).fill((random: Random) => ['state', 'add', ...stateAdd(random)]),
	(random) => ['state', 'update', ...stateAdd(random)],
	(random) => ['state', random.pick(['get', 'delete']), ...id(random)],
	(random) => ['state', random.pick(['deleteall', 'list', 'flush']), ...id(random)],
	...Array(4).fill((random: Random) => ['state', 'allocspi', ...spiRequest(random)]),
	...Array(5).fill((random: Random) => ['policy', 'add', ...policyAdd(random)]),
	(random) => ['policy', 'update', ...policyAdd(random)],
	(random) => ['policy', random.pick(['get', 'delete']), ...policyKey(random)],
	(random) => ['policy', random.pick(['deleteall', 'list']), ...policyKey(random)],
	(random) => ['policy', 'flush', ...maybe(random, 0.3, () => ['ptype', 'sub'])],
	(random) => ['policy', 'set', 'hthresh4', random.pick(['24', '33']), '16'],
	(random) => ['policy', 'setdefault', 'in', random.pick(['block', 'accept', 'allow'])],
	(random) => [random.pick(['state', 'policy']), 'count'],
	() => ['policy', 'getdefault'],
];

/** A word lost, doubled, exchanged for another or abbreviated. */
function broken(words: string[], random: Random): string[] {
	const at = random.int(1, words.length - 1);
	const word = words[at] ?? '';
	const instead = random.pick<string[]>([
		[],
		[word, word],
		[random.pick(['frob', '0x', '-1', 'src', '99999999999', '1/2'])],
		[word.slice(0, 2)],
	]);
	const changed = [...words.slice(0, at), ...instead, ...words.slice(at + 1)];
	// "help" and "h" ask for texts that are our own.
	return changed.some((one) => 'help'.startsWith(one) && one !== '') ? words : changed;
}

/** Options, object, action and arguments; `ip` puts `xfrm` between options and object. */
export interface RandomCommand {
	readonly options: readonly string[];
	readonly words: readonly string[];
}

export function randomCommand(random: Random): RandomCommand {
	const words = random.pick(COMMANDS)(random);
	const options = maybe(random, 0.2, () => [random.pick(['-s', '-d', '-o', '-4', '-6'])]);
	// A broken range of SPIs may leave the kernel a choice.
	const breaks = words[1] !== 'allocspi' && random.chance(0.15);
	return { options, words: breaks ? broken(words, random) : words };
}
