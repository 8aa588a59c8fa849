/**
 * Judges `explain` by real troubleshooting cases: outcome, counter, policies, states in order, and whether
 * the answer says what an expert's answer says (golden/README.md, explain-cases).
 */
import { nodeProvider } from '@xfrm/crypto/node';
import { PROFILES } from '@xfrm/engine';
import { type Answer, Explainer, type PacketOptions } from '@xfrm/explain';
import { parseRulesFile } from '@xfrm/iproute';
import { parseAddress } from '@xfrm/wire/xfrm';
import { type Difference, differs } from './difference.ts';
import { bytesOf, seededRandom } from './laboratory.ts';

interface KernelState {
	readonly proto: string;
	readonly spi: string;
	readonly dst: string;
}

interface KernelPolicy {
	readonly dir: string;
	readonly index: number;
	readonly ptype: string;
	readonly priority: number;
}

interface KernelVerdict {
	readonly verdict: string;
	readonly counter: string | null;
	readonly accept?: readonly string[];
	readonly policies?: readonly KernelPolicy[] | null;
	readonly states?: readonly KernelState[] | null;
	readonly failed_state?: KernelState;
}

interface CasePacket {
	readonly packet: string;
	readonly at?: 'lan' | 'wan' | 'local';
	readonly mark?: number;
	readonly sender?: string;
}

interface HistoryItem extends Partial<CasePacket> {
	readonly ip?: readonly string[];
	readonly sleep_ms?: number;
	readonly kernel?: KernelVerdict;
}

export interface ExplainCase extends CasePacket {
	readonly id: string;
	readonly at: 'lan' | 'wan' | 'local';
	readonly dir: 'in' | 'out' | 'fwd';
	readonly input: 'rules' | 'rules-now' | 'packets' | 'dump' | 'time';
	readonly setup?: readonly string[];
	readonly sysctl?: Readonly<Record<string, string | number>>;
	readonly encap?: readonly { port: number; type?: 'espinudp' | 'espinudp-nonike' }[];
	readonly rules: readonly string[];
	/** What `ip xfrm` printed of them, plain or with -s. */
	readonly dump?: string;
	readonly dump_kind?: 'plain' | 's';
	readonly history?: readonly HistoryItem[];
	readonly if_id?: number;
	readonly time?: number;
	readonly kernel: KernelVerdict | null;
	readonly expect?: KernelVerdict;
	readonly answer: { readonly keywords: readonly string[] };
}

const provider = nodeProvider();

/** An explainer to which everything of a case has been done, its packet not yet asked about. */
export function explainerOf(asked: ExplainCase): Explainer | Difference {
	const explainer = setUp(asked);
	for (const [i, item] of (asked.history ?? []).entries()) {
		const difference = carryOut(explainer, asked, item, `history ${i}`);
		if (difference !== undefined) {
			return difference;
		}
	}
	return explainer;
}

/** Asks about a case's packet. */
export function askCase(explainer: Explainer, asked: ExplainCase): Answer {
	return explainer.ask(bytesOf(asked.packet), optionsOf(asked, asked));
}

/** Runs a case; undefined when everything agrees. */
export function runExplainCase(asked: ExplainCase): Difference | undefined {
	const explainer = explainerOf(asked);
	if (!(explainer instanceof Explainer)) {
		return explainer;
	}
	const answer = askCase(explainer, asked);
	const kernel = asked.kernel ?? asked.expect;
	if (kernel === undefined) {
		return { field: 'case', want: 'a kernel or expect', have: 'neither' };
	}
	return (
		compareVerdict('', answer, kernel) ??
		comparePolicies(asked, answer, kernel) ??
		compareStates(answer, kernel) ??
		compareWords(answer, asked.answer.keywords)
	);
}

function setUp(asked: ExplainCase): Explainer {
	const explainer = new Explainer({
		profile: PROFILES.linux61,
		provider,
		random: seededRandom(7),
		startUs: 1_700_000_000_500_000,
	});
	for (const command of asked.setup ?? []) {
		explainer.run(command);
	}
	for (const [name, value] of Object.entries(asked.sysctl ?? {})) {
		explainer.setSysctl(name, Number(value));
	}
	for (const { port, type } of asked.encap ?? []) {
		explainer.openEncapSocket(2, port, type ?? 'espinudp');
		explainer.openEncapSocket(10, port, type ?? 'espinudp');
	}
	if (asked.input === 'dump') {
		loadDump(explainer, asked.dump ?? '');
	} else {
		for (const rule of asked.rules) {
			explainer.run(rule);
		}
	}
	explainer.takeEvents();
	if (asked.input === 'time' && asked.time !== undefined) {
		explainer.wait(asked.time);
	}
	return explainer;
}

/** Loads pasted dump text, as the command does with `--rules`. */
function loadDump(explainer: Explainer, dump: string): void {
	const { steps, problem } = parseRulesFile(dump, explainer.world.context);
	if (steps === undefined) {
		throw new RangeError(`line ${problem.line}: ${problem.message}`);
	}
	for (const step of steps) {
		if (step.kind === 'command') {
			explainer.carryOut(step.command);
		} else {
			explainer.load(step);
		}
	}
}

function carryOut(
	explainer: Explainer,
	asked: ExplainCase,
	item: HistoryItem,
	name: string,
): Difference | undefined {
	if (asked.input !== 'packets' && asked.input !== 'rules-now') {
		return undefined;
	}
	for (const command of item.ip ?? []) {
		explainer.run(command);
	}
	if (asked.input === 'rules-now') {
		return undefined;
	}
	if (item.sleep_ms !== undefined) {
		explainer.wait(item.sleep_ms / 1000);
	}
	if (item.packet === undefined) {
		return undefined;
	}
	const answer = explainer.ask(
		bytesOf(item.packet),
		optionsOf({ ...item, packet: item.packet }, asked),
	);
	return item.kernel === undefined ? undefined : compareVerdict(`${name} `, answer, item.kernel);
}

function optionsOf(packet: CasePacket, asked: ExplainCase): PacketOptions {
	const at = packet.at ?? asked.at;
	const direction =
		at === asked.at ? asked.dir : ({ local: 'out', wan: 'in', lan: 'fwd' } as const)[at];
	return {
		direction,
		mark: packet.mark ?? 0,
		...(at === 'local' ? {} : { device: at }),
		...(asked.if_id === undefined ? {} : { ifId: asked.if_id }),
		...(direction === 'out'
			? { sender: packet.sender === undefined ? ('hdrincl' as const) : ('socket' as const) }
			: {}),
	};
}

function compareVerdict(
	name: string,
	answer: Answer,
	kernel: KernelVerdict,
): Difference | undefined {
	const right = [kernel.verdict, ...(kernel.accept ?? [])];
	if (!right.includes(answer.outcome)) {
		return { field: `${name}outcome`, want: right.join(' or '), have: answer.outcome };
	}
	return differs(`${name}counter`, kernel.counter, answer.counter);
}

function comparePolicies(
	asked: ExplainCase,
	answer: Answer,
	kernel: KernelVerdict,
): Difference | undefined {
	if (kernel.policies === null || kernel.policies === undefined) {
		return undefined;
	}
	// A plain dump does not tell the index.
	const plain = asked.input === 'dump' && asked.dump_kind !== 's';
	const keys = (
		list: readonly { dir: string; index: number | null; ptype: string | null; priority: number }[],
	): string[] => {
		const texts = list.map(({ dir, index, ptype, priority }) =>
			plain ? `${dir} ${ptype} ${priority}` : `${dir} ${index}`,
		);
		return [...new Set(texts)].sort();
	};
	return differs('policies', keys(kernel.policies), keys(answer.policies));
}

/** States in order; one that refused the packet may be listed last or not; IPComp's helpers do not count. */
function compareStates(answer: Answer, kernel: KernelVerdict): Difference | undefined {
	if (kernel.states === null || kernel.states === undefined) {
		return undefined;
	}
	const key = ({ proto, spi, dst }: KernelState): string => {
		const address = parseAddress(dst)?.address.join('.') ?? dst;
		return `${proto} ${Number(spi)} ${address}`;
	};
	const counts = ({ proto }: { proto: string }): boolean => proto !== 'ipip' && proto !== 'ipv6';
	const want = kernel.states.filter(counts).map(key);
	const have = answer.states.filter(counts);
	return differs('states', want, have.filter((state) => state.refused !== true).map(key));
}

/** Every keyword (`|` is or) has to be found in outcome, counter, reason or steps. */
function compareWords(answer: Answer, keywords: readonly string[]): Difference | undefined {
	const { outcome, counter, reason, steps } = answer;
	let text = JSON.stringify([outcome, counter, reason, steps]).toLowerCase();
	for (const match of text.matchAll(/0x0*([0-9a-f]+)/g)) {
		text += ` 0x${match[1]} ${Number.parseInt(match[1] ?? '0', 16)}`;
	}
	const missing = keywords.filter((word) => !word.split('|').some((one) => says(text, one)));
	return missing.length === 0
		? undefined
		: { field: 'words', want: missing.join(', '), have: reason };
}

/** Numbers, addresses and short words count only as a whole. */
function says(text: string, keyword: string): boolean {
	const word = keyword.toLowerCase();
	if (word.length > 3 && /^[a-z][a-z ()-]*$/.test(word)) {
		return text.includes(word);
	}
	const escaped = word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
	return new RegExp(`(?<![\\w.])${escaped}(?!\\w|\\.\\d)`).test(text);
}
