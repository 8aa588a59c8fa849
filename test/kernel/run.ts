/**
 * Puts the cases of all kinds to guests, in turn, and judges the engine by what came back. Several
 * scenarios are under way in each guest, so that it never waits for the host.
 */
import type { VectorCase } from '../golden/vector-case.ts';
import { Coverage, Seen } from './coverage.ts';
import { type JudgedKernel, judge } from './judge.ts';
import type { Kind } from './kind.ts';
import type { Oracle } from './oracle.ts';
import { Random } from './random.ts';
import type { Case } from './scenario.ts';
import type { Parting } from './shrink.ts';

/** Scenarios under way in one guest. */
const SCENARIOS_AT_ONCE = 6;

export interface Row {
	cases: number;
	equal: number;
	skipped: number;
}

export interface RunOptions {
	readonly seed: number;
	readonly kernel: JudgedKernel;
	/** Cases of each kind, or as many as there is time for. */
	readonly casesEach: number;
	readonly seconds: number;
	/** Is told of each case that was put. */
	readonly onAnswer: (answer: VectorCase) => void;
	/** Is told of each difference, and whom it can ask again; gives true to end the run. */
	readonly onParting: (parting: Parting, oracle: Oracle) => Promise<boolean>;
}

/** Seed, kind and number in one number, so that a kind's n-th case is the same whatever else runs. */
function caseSeed(seed: number, kind: string, n: number): number {
	let hash = 0x811c9dc5;
	for (const octet of Buffer.from(kind)) {
		hash = Math.imul(hash ^ octet, 0x01000193);
	}
	return Math.imul(seed, 0x9e3779b1) ^ hash ^ Math.imul(n + 1, 0xc2b2ae35);
}

export class Run {
	readonly rows: Map<string, Row> = new Map();
	readonly coverage: Coverage = new Coverage();
	readonly #kinds: readonly Kind[];
	readonly #options: RunOptions;
	/** Cases asked for so far, by kind. */
	readonly #asked: Map<string, number> = new Map();
	readonly #ends: number;
	#turn = 0;
	#stopped = false;

	constructor(kinds: readonly Kind[], options: RunOptions) {
		this.#kinds = kinds;
		this.#options = options;
		this.#ends = Date.now() + options.seconds * 1000;
		for (const { name } of kinds) {
			this.rows.set(name, { cases: 0, equal: 0, skipped: 0 });
			this.#asked.set(name, 0);
		}
	}

	/** Runs until all is done. @throws GuestError */
	async carryOut(oracles: readonly Oracle[]): Promise<void> {
		const workers = oracles.flatMap((oracle) =>
			Array.from({ length: SCENARIOS_AT_ONCE }, () => this.#work(oracle)),
		);
		await Promise.all(workers);
	}

	async #work(oracle: Oracle): Promise<void> {
		for (let next = this.#next(); next !== undefined; next = this.#next()) {
			await this.#scenario(oracle, ...next);
		}
	}

	/** The next scenario: kinds in turn; undefined when there is nothing left to do. */
	#next(): [kind: Kind, n: number] | undefined {
		if (this.#stopped || Date.now() >= this.#ends) {
			return undefined;
		}
		for (let tries = 0; tries < this.#kinds.length; tries++) {
			const kind = this.#kinds[this.#turn++ % this.#kinds.length];
			const n = this.#asked.get(kind?.name ?? '') ?? 0;
			const done = this.rows.get(kind?.name ?? '')?.cases ?? 0;
			if (kind !== undefined && Math.max(n, done) < this.#options.casesEach) {
				this.#asked.set(kind.name, n + 1);
				return [kind, n];
			}
		}
		return undefined;
	}

	async #scenario(oracle: Oracle, kind: Kind, n: number): Promise<void> {
		const { seed } = this.#options;
		const random = new Random(caseSeed(seed, kind.name, n));
		const scenario = kind.make(random, `${kind.name}-${seed}-${n}`);
		const first = await this.#ask(oracle, kind, scenario.first, n);
		const emitted = first.steps.flatMap((step) =>
			(step.expect.emit ?? []).filter(({ dev }) => dev === 'wan').map(({ packet }) => packet),
		);
		for (const question of scenario.inbound?.(emitted) ?? []) {
			await this.#ask(oracle, kind, question, n);
		}
	}

	async #ask(oracle: Oracle, kind: Kind, question: Case, n: number): Promise<VectorCase> {
		const answer = await oracle.ask(question);
		const row = this.rows.get(kind.name) ?? { cases: 0, equal: 0, skipped: 0 };
		row.cases++;
		// Every other case is watched; the others take the ways that only an unwatched engine takes.
		const seen = n % 2 === 0 ? new Seen() : undefined;
		const result = judge(answer, this.#options.kernel, seen);
		this.#options.onAnswer(answer);
		this.coverage.count(answer, seen);
		if (result === undefined) {
			row.equal++;
		} else if ('skipped' in result) {
			row.skipped++;
		} else {
			this.#stopped ||= await this.#options.onParting({ question, answer, result }, oracle);
		}
		return answer;
	}
}
