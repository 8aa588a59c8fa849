/**
 * A target whose inputs stand for themselves: each is octets that say everything, so that one that does harm is
 * a test row as it is. Inputs that lead to something new are kept and changed further, which leads deeper than
 * chance alone would: a subject tells in a word what became of an input.
 */
import { Random } from '../kernel/random.ts';
import { readCorpus } from './corpus.ts';
import { mutated } from './octet-mutation.ts';
import { type Course, Fault, heapOctets, type Outcome, type Target } from './target.ts';

/** Things under attack, until they are made anew. */
export interface Subject {
	/** Gives an input in; what became of it, in few different words. Throws for what may not happen. */
	attempt(input: Uint8Array): string;
}

export interface SubjectTarget {
	readonly name: string;
	open(): Subject;
	/** Inputs to begin with. */
	seeds(random: Random): readonly Uint8Array[];
	/** A changed input; absent: octets changed anyhow. */
	mutate?(input: Uint8Array, random: Random, pool: readonly Uint8Array[]): Uint8Array;
}

/** Inputs to a subject before it is made anew and the heap is looked at. */
const INPUTS_A_ROUND = 4000;
/** Rounds before the heap is measured for the first time: code is compiled, caches are full. */
const ROUNDS_BEFORE = 3;
const HEAP_OCTETS_MAX = 16 << 20;
/** Inputs that are kept, so that memory stays flat. */
const KEPT_MAX = 3000;
const INPUT_OCTETS_MAX = 0x4000;
/** Shorter inputs that are tried once one did harm; each needs things made anew. */
const SHRINK_TRIES_MAX = 1000;

/** What an input does to a fresh subject; undefined when nothing is wrong. */
export function faultOf(target: SubjectTarget, input: Uint8Array): string | undefined {
	return attempt(target.open(), input).fault;
}

function attempt(subject: Subject, input: Uint8Array): { word: string; fault: string | undefined } {
	try {
		return { word: subject.attempt(input), fault: undefined };
	} catch (error) {
		const text = error instanceof Fault ? error.message : String((error as Error).stack ?? error);
		return { word: '', fault: text };
	}
}

/** Cuts pieces off as long as it does harm alone; undefined when it does none alone. */
function shrunk(
	target: SubjectTarget,
	input: Uint8Array,
	watch: (input: Uint8Array) => void,
): Uint8Array | undefined {
	if (faultOf(target, input) === undefined) {
		return undefined;
	}
	let best = input;
	let tries = 0;
	for (let piece = best.length >> 1; piece > 0; piece >>= 1) {
		for (let at = 0; at + piece <= best.length && tries < SHRINK_TRIES_MAX; tries++) {
			const shorter = new Uint8Array([...best.subarray(0, at), ...best.subarray(at + piece)]);
			watch(shorter);
			if (faultOf(target, shorter) === undefined) {
				at += piece;
			} else {
				best = shorter;
			}
		}
	}
	return best;
}

class Hunt {
	readonly kept: Uint8Array[] = [];
	readonly #target: SubjectTarget;
	readonly #course: Course;
	readonly #random: Random;
	readonly #pool: Uint8Array[];
	readonly #words: Set<string> = new Set();
	#inputs = 0;

	constructor(target: SubjectTarget, course: Course) {
		this.#target = target;
		this.#course = course;
		this.#random = new Random(course.seed);
		this.#pool = [...readCorpus(target.name), ...target.seeds(this.#random)];
	}

	run(): Outcome {
		const first = this.#pool.length;
		let before = 0;
		for (let round = 1; this.#course.goesOn(); round++) {
			const fault = this.#round(first);
			if (fault !== undefined) {
				return fault;
			}
			const octets = this.#course.goesOn() && round >= ROUNDS_BEFORE ? heapOctets() : 0;
			if (round === ROUNDS_BEFORE) {
				before = octets;
			} else if (octets - before > HEAP_OCTETS_MAX) {
				return { inputs: this.#inputs, fault: `the heap grew by ${octets - before} octets` };
			}
		}
		return { inputs: this.#inputs, fault: undefined, kept: this.kept };
	}

	/** Inputs to a subject of their own, of which nothing is left afterwards, on the stack neither. */
	#round(first: number): Outcome | undefined {
		const subject = this.#target.open();
		for (let i = 0; i < INPUTS_A_ROUND && this.#course.goesOn(); i++) {
			// What is there to begin with is tried as it is, by turns with changed ones.
			const turn = this.#inputs >> 1;
			const isOwn = (this.#inputs & 1) === 0 && turn < first;
			const input = isOwn ? (this.#pool[turn] ?? this.#next()) : this.#next();
			const fault = this.#try(subject, input);
			if (fault !== undefined) {
				return fault;
			}
		}
		return undefined;
	}

	#next(): Uint8Array {
		const random = this.#random;
		const lately = this.#pool.slice(-64);
		const input = random.pick(random.chance(0.3) ? lately : this.#pool);
		const change = this.#target.mutate ?? mutated;
		return change(input, random, this.#pool).slice(0, INPUT_OCTETS_MAX);
	}

	#try(subject: Subject, input: Uint8Array): Outcome | undefined {
		this.#course.watch(input);
		this.#inputs++;
		const copy = input.slice();
		const { word, fault } = attempt(subject, input);
		if (fault !== undefined) {
			const row = shrunk(this.#target, copy, (one) => this.#course.watch(one));
			const hex = Buffer.from(row ?? copy).toString('hex');
			const how = row === undefined ? ' (only after the inputs before it)' : '';
			return { inputs: this.#inputs, fault: `${fault}\ninput${how}: ${hex}`, row };
		}
		if (!this.#words.has(word) && this.#words.size < KEPT_MAX) {
			this.#words.add(word);
			this.#pool.push(copy);
			this.kept.push(copy);
		}
		return undefined;
	}
}

/** The target for `npm run fuzz`. */
export function hunt(target: SubjectTarget): Target {
	return { run: (course) => new Hunt(target, course).run() };
}
