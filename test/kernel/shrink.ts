/** Makes a case that the engine gets wrong as small as it goes, asking the kernel anew each time. */
import type { VectorCase } from '../golden/vector-case.ts';
import type { CaseResult } from '../golden/vector-runner.ts';
import type { Case, Step } from './scenario.ts';

/** A case with the kernel's answer and where the engine parts from it. */
export interface Parting {
	readonly question: Case;
	readonly answer: VectorCase;
	readonly result: Exclude<CaseResult, undefined>;
}

/** Asks the kernel and judges the engine; undefined when they agree. */
export type Attempt = (question: Case) => Promise<Parting | undefined>;

const ASKED_MAX = 250;

/** Words of a command that can be left out together. */
const SPARE_WORDS: readonly RegExp[] = [
	/ limit \S+ \S+/,
	/ (extra-)?flag( (noecn|decap-dscp|nopmtudisc|wildrecv|icmp|af-unspec|align4|esn|dont-encap-dscp|oseq-may-wrap|localok))+/,
	/ replay-(window|seq|seq-hi|oseq|oseq-hi) \S+/,
	/ (output-)?mark \S+( mask \S+)?/,
	/ tfcpad \S+/,
	/ priority \S+/,
	/ level use/,
	/ reqid \S+/,
	/ (sport|dport|type|code) \S+/,
	/ encap \S+ \S+ \S+ \S+/,
];

/** What differs, without the numbers of steps and packets. */
function fieldOf({ result }: Parting): string {
	return 'skipped' in result ? '' : result.field.replace(/[0-9]+/g, '');
}

/** The smallest case found that still differs in the same field. */
export async function shrink(start: Parting, attempt: Attempt): Promise<Parting> {
	let best = start;
	let asked = 0;
	for (let improved = true; improved && asked < ASKED_MAX; ) {
		improved = false;
		for (const question of smaller(best.question)) {
			if (asked++ >= ASKED_MAX) {
				break;
			}
			const parting = await attempt(question);
			if (parting !== undefined && fieldOf(parting) === fieldOf(start)) {
				best = parting;
				improved = true;
				break;
			}
		}
	}
	return best;
}

/** Everything that is a little less, the most promising first. */
function* smaller(question: Case): Generator<Case> {
	const { steps, xfrm, setup, encap = [], policies = [], sysctl = {} } = question;
	for (const some of without(steps)) {
		yield { ...question, steps: some };
	}
	for (const some of without(xfrm)) {
		yield { ...question, xfrm: some };
	}
	for (const some of without(setup)) {
		yield { ...question, setup: some };
	}
	for (const some of without(policies)) {
		yield { ...question, policies: some };
	}
	for (const some of without(encap)) {
		yield { ...question, encap: some };
	}
	for (const name of Object.keys(sysctl)) {
		const { [name]: _gone, ...rest } = sysctl;
		yield { ...question, sysctl: rest };
	}
	for (const [i, command] of xfrm.entries()) {
		for (const simple of simpler(command)) {
			yield { ...question, xfrm: xfrm.with(i, simple) };
		}
	}
	for (const [i, step] of steps.entries()) {
		for (const simple of simplerSteps(step)) {
			yield { ...question, steps: steps.with(i, simple) };
		}
	}
}

/** The list without half of it, a quarter, … one. */
function* without<T>(list: readonly T[]): Generator<T[]> {
	for (let length = list.length >> 1 || list.length; length >= 1; length >>= 1) {
		for (let at = 0; at + length <= list.length; at += length) {
			yield [...list.slice(0, at), ...list.slice(at + length)];
		}
	}
}

function* simpler(command: string): Generator<string> {
	for (const words of SPARE_WORDS) {
		const [found] = words.exec(command) ?? [];
		if (found !== undefined) {
			yield command.replace(found, '');
		}
	}
}

function* simplerSteps(step: Step): Generator<Step> {
	if ('ip' in step) {
		for (const some of without(step.ip)) {
			yield { ...step, ip: some };
		}
		return;
	}
	if (!('at' in step)) {
		return;
	}
	const { mark, policy, bind_dev, note, ...rest } = step;
	if (mark !== undefined || policy !== undefined || bind_dev !== undefined || note !== undefined) {
		yield rest;
	}
}
