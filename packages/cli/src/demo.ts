/**
 * `xfrm demo`: the way of three packets through a small world on the real engine, told in at most 80 lines.
 * The world is that of the files in examples/, so the commands at the end ask the same hosts.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { nodeProvider } from '@xfrm/crypto/node';
import { PROFILES } from '@xfrm/engine';
import {
	type Answer,
	answerText,
	Explainer,
	makePacket,
	parseFlow,
	Secrets,
	splitWords,
} from '@xfrm/explain';
import { parseHex } from '@xfrm/wire';
import { loadHost, loadRules, readRules } from './explain-input.ts';
import { seededRandom } from './seeded-random.ts';
import { colours } from './terminal.ts';
import { UsageError } from './usage.ts';
import { PROFILE_DEFAULT } from './version.ts';

const EXAMPLES = fileURLToPath(new URL('../../../examples/', import.meta.url));

/** Any time will do, as long as it is the same every day. */
const START_US = 1_750_000_000_000_000;

/** Runs the demo; the exit status. */
export function demoCommand(args: readonly string[]): number {
	const [unknown] = args;
	if (unknown !== undefined) {
		throw new UsageError(`found "${unknown}", expected no arguments behind demo`);
	}
	if (!existsSync(EXAMPLES)) {
		throw new UsageError('the demo needs the examples of a checkout');
	}
	process.stdout.write(`${story().join('\n')}\n`);
	return 0;
}

/** A gateway of the examples. */
function gateway(site: string): Explainer {
	const explainer = new Explainer({
		profile: PROFILES[PROFILE_DEFAULT],
		provider: nodeProvider(),
		random: seededRandom(),
		startUs: START_US,
	});
	loadHost(explainer, `${EXAMPLES}${site}.host`);
	loadRules(explainer, readRules(`${EXAMPLES}${site}.xfrm`), new Secrets(false));
	return explainer;
}

function story(): readonly string[] {
	const paint = colours(process.stdout);
	const bold = (text: string): string => (paint ? `\u001b[1m${text}\u001b[0m` : text);
	const tell = (answer: Answer, near: boolean): readonly string[] =>
		answerText(answer, { colours: paint, kernel: false, near });
	const [a, b] = [gateway('site-a'), gateway('site-b')];
	const flow = (text: string): Uint8Array => makePacket(parseFlow(splitWords(text)));

	const sent = a.ask(flow('src 10.1.0.5 dst 10.2.0.1 proto udp sport 40000 dport 53'), {
		direction: 'fwd',
		device: 'lan',
	});
	const wire = parseHex(sent.packets[0] ?? '');
	const onTheWire = wire instanceof Uint8Array ? wire : new Uint8Array();
	const received = b.ask(onTheWire, { direction: 'in', device: 'wan' });
	const missing = a.ask(flow('src 10.1.0.5 dst 10.3.0.9 proto tcp dport 443'), {
		direction: 'fwd',
		device: 'lan',
	});
	const replayed = b.ask(onTheWire, { direction: 'in', device: 'wan' });
	return [
		'Two sites with a tunnel between their gateways, and three packets. This is the real engine: the',
		'same code serves IKE daemons, and gives what Linux gives, down to the counters.',
		'',
		bold('1. A packet that is protected, at site A'),
		...tell(sent, false),
		bold('   and delivered, at site B'),
		...tell(received, false),
		'',
		bold('2. A packet that no state fits: its tunnel leads to site C'),
		...tell(missing, true),
		'',
		bold('3. The first packet once more, copied from the wire'),
		...tell(replayed, true),
		'',
		'Try next',
		"  npx xfrm explain --rules examples/site-a.xfrm 'src 10.1.0.5 dst 10.2.0.9 proto icmp'",
		'  npx xfrm help explain',
	];
}
