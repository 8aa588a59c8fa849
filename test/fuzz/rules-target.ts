/**
 * Target `rules`: damaged files of commands, `ip xfrm` and of the host, and flows in words. Each line is read
 * or refused with a place; what was read is carried out by a fresh host, and its lists can be printed.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { nodeProvider } from '@xfrm/crypto/node';
import { linux619 } from '@xfrm/engine';
import { InputError, loadObject, makePacket, parseFlow, splitWords, World } from '@xfrm/explain';
import { parseRulesFile } from '@xfrm/iproute';
import { decodeUtf8, encodeUtf8 } from '@xfrm/wire';
import { seededRandom } from '../golden/laboratory.ts';
import type { Random } from '../kernel/random.ts';
import { goldenCases } from './golden-packets.ts';
import type { Subject, SubjectTarget } from './subject.ts';
import { check } from './target.ts';
import { damagedText } from './text-damage.ts';

const WORDS = [
	...['state', 'policy', 'add', 'update', 'deleteall', 'flush', 'list', 'get', 'allocspi', 'min'],
	...['src', 'dst', 'proto', 'esp', 'spi', 'reqid', 'mode', 'tunnel', 'dir', 'out', 'tmpl', 'mark'],
	...['0x0', '-1', '4294967296', '99999999999999999999', '10.0.0.0/33', '::/129', '1.2.3', ':::'],
	...[
		'aead',
		'rfc4106(gcm(aes))',
		"''",
		'"',
		'#',
		'\\',
		'\u0000',
		'é',
		'any',
		'all',
		'0x',
		'if_id',
	],
	...['address', 'route', 'rule', 'link', 'via', 'dev', 'lo', 'table', 'local', 'type', 'xfrm'],
	...['external', 'mtu', 'type', 'code', 'sport', 'key', 'encap', 'espinudp', 'sel', 'limit'],
];
const LINES_MAX = 40;

function seeds(random: Random): Uint8Array[] {
	const folder = new URL('../../examples/', import.meta.url);
	const texts = readdirSync(folder)
		.filter((name) => /\.(xfrm|host)$/.test(name))
		.map((name) => readFileSync(new URL(name, folder), 'utf8'));
	const cases = goldenCases();
	for (let i = 0; i < 400; i++) {
		const { xfrm, setup } = random.pick(cases);
		texts.push((random.chance(0.7) ? xfrm : setup).join('\n'));
	}
	texts.push('src 10.0.0.1 dst 10.0.0.2 proto udp sport 5 dport 53 dir out mark 7 if_id 2 dev wan');
	texts.push('src 2001:db8::1 dst 2001:db8::2 proto ipv6-icmp type 128 code 0 dir in via 0x100');
	return texts.map(encodeUtf8);
}

/** Runs what may refuse its input; true when it did not. */
function accepts(body: () => void): boolean {
	try {
		body();
		return true;
	} catch (error) {
		if (error instanceof InputError) {
			return false;
		}
		throw error;
	}
}

class Reading implements Subject {
	attempt(input: Uint8Array): string {
		const text = decodeUtf8(input);
		const world = new World({
			profile: linux619,
			provider: nodeProvider(),
			random: seededRandom(3),
			startUs: 1_700_000_000_000_000,
		});
		const { steps, problem, form } = parseRulesFile(text, world.context);
		check(problem === undefined || (problem.line >= 1 && problem.column >= 1), 'no place');
		const words = new Set<string>();
		for (const step of (steps ?? []).slice(0, LINES_MAX)) {
			const { status, stderr } =
				step.kind === 'command' ? world.carryOut(step.command) : loadObject(world, step).outcome;
			check(status === 0 || stderr !== '', 'a refusal without words');
			words.add(`${status} ${stderr.replaceAll(/["'].*|[0-9a-f]*[0-9][0-9a-f:.]*/g, '#')}`);
		}
		for (const line of text.split('\n').slice(0, LINES_MAX)) {
			words.add(`host ${accepts(() => world.run(line))}`);
			words.add(`flow ${accepts(() => makePacket(parseFlow(splitWords(line))))}`);
		}
		for (const list of ['state list', 'policy list']) {
			check(world.runXfrm(list).status === 0, 'a list that fails');
		}
		const what = problem?.message.replaceAll(/["'].*|[0-9a-f]*[0-9][0-9a-f:.]*/g, '#') ?? '';
		return `${form} ${what} ${[...words].sort().join()}`.slice(0, 300);
	}
}

export const rulesTarget: SubjectTarget = {
	name: 'rules',
	open: () => new Reading(),
	seeds,
	mutate: (input, random) => encodeUtf8(damagedText(decodeUtf8(input), random, WORDS)),
};
