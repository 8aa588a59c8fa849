/** Asks `xfrm explain` the question of a page, through the command's own reading of arguments and rules. */
import { nodeProvider } from '@xfrm/crypto/node';
import { PROFILES } from '@xfrm/engine';
import { type Answer, Explainer, findFixes, type PacketOptions, Secrets } from '@xfrm/explain';
import { type Item, parseExplainArguments } from '../../packages/cli/src/explain-arguments.ts';
import {
	loadHostText,
	loadRules,
	newestTimeOf,
	packetsOf,
} from '../../packages/cli/src/explain-input.ts';
import { seededRandom } from '../../packages/cli/src/seeded-random.ts';
import type { CasePage } from './case-page.ts';

/** When the world of a page begins, unless its dump tells a time: some second of 2026. */
const START_SECONDS = 1_780_000_000;

/** Values that the kernel chose for a packet, by the packet's number. */
export type Chosen = (packet: number) => PacketOptions;

export interface Asked {
	readonly packet: Uint8Array;
	readonly options: PacketOptions;
	readonly answer: Answer;
}

export interface Explained {
	readonly explainer: Explainer;
	/** What the command says of rules that Linux refuses, a line each. */
	readonly refused: readonly string[];
	readonly asked: readonly Asked[];
}

/** The items of a page, as the command line would have them. */
export function itemsOf(page: CasePage): readonly Item[] {
	return parseExplainArguments(['--profile', 'linux61', '--rules', 'x', ...page.packets]).items;
}

export interface PageOptions {
	/** Asks with the rules' dump, where the page has one. */
	readonly useDump?: boolean;
	/** Looks for fixes. */
	readonly fix?: boolean;
	readonly chosen?: Chosen;
}

/** The answers of a page, one a packet. */
export function explainPage(page: CasePage, options: PageOptions = {}): Explained {
	const { useDump = false, fix = false, chosen } = options;
	const text = useDump && page.dump !== undefined ? page.dump : page.rules.join('\n');
	const rules = { file: 'rules.xfrm', text, host: undefined };
	const explainer = new Explainer({
		profile: PROFILES.linux61,
		provider: nodeProvider(),
		random: seededRandom(),
		startUs: (newestTimeOf([rules]) ?? START_SECONDS) * 1_000_000,
	});
	for (const line of page.host) {
		const sysctl = /^sysctl -w (\S+)=(\d+)$/.exec(line);
		if (sysctl === null) {
			loadHostText(explainer, line, 'host.txt');
		} else {
			explainer.setSysctl(sysctl[1] ?? '', Number(sysctl[2]));
		}
	}
	const secrets = new Secrets(false);
	const refused = loadRules(explainer, rules, secrets).map(
		({ file, line, text: why }) => `xfrm: ${file}:${line}: refused: ${why}`,
	);
	explainer.takeEvents();
	const asked: Asked[] = [];
	for (const item of itemsOf(page)) {
		if (item.text.startsWith('wait:')) {
			explainer.wait(Number(item.text.slice(5)));
		} else if (item.text.startsWith('do:')) {
			explainer.run(item.text.slice(3));
		} else {
			for (const one of packetsOf(item.text, item.options)) {
				if (one.packet === undefined) {
					throw new Error(`${page.name}: ${one.note}`);
				}
				const answer = explainer.ask(one.packet, { ...one.options, ...chosen?.(asked.length) });
				const found = fix ? findFixes(explainer, { keyName: (key) => secrets.nameOf(key) }) : [];
				asked.push({
					packet: one.packet,
					options: one.options,
					answer: found.length === 0 ? answer : { ...answer, fix: found },
				});
			}
		}
	}
	return { explainer, refused, asked };
}

/** Does the first fix of the first packet that has any say what helped in the thread? */
export function firstFixFits(page: CasePage): boolean {
	const { asked } = explainPage(page, { useDump: true, fix: true });
	const [first] = asked.flatMap(({ answer }) => answer.fix?.slice(0, 1) ?? []);
	return first !== undefined && page.fix?.test([first.text, ...first.commands].join('\n')) === true;
}
