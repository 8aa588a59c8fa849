/** Makes a contradiction as small as it goes: fewer rules, and fewer words in them. */
import { type Contradiction, checkAgain, type RuleSet } from './checks.ts';

/** Times that a smaller set is tried. */
const TRIES_MAX = 3000;

/** Words of a rule or a question that may be left out. */
const SPARE_WORDS: readonly RegExp[] = [
	/ (output-)?mark \S+( mask \S+)?/,
	/ if_id \S+/,
	/ priority \S+/,
	/ level use/,
	/ reqid \S+/,
	/ ptype sub/,
	/ dev \S+/,
	/ sel .*/,
	/ proto \S+ (sport|dport|type|key).*(?= dir)/,
	/ tmpl .*/,
	/ #.*/,
	/(^| )(src|dst|sport|dport|type|proto) \S+/,
	/ via( 0x\S+)+/,
];

/** @param again is it still a contradiction? */
export function shrink(
	start: Contradiction,
	again: (contradiction: Contradiction, set: RuleSet) => Contradiction | undefined = checkAgain,
): Contradiction {
	let best = start;
	let tries = 0;
	for (let improved = true; improved && tries < TRIES_MAX; ) {
		improved = false;
		for (const set of smaller(best.set)) {
			const found = tries++ < TRIES_MAX ? again(best, set) : undefined;
			if (found !== undefined) {
				best = found;
				improved = true;
				break;
			}
		}
	}
	return best;
}

/** Everything that is less, the most promising first. */
function* smaller(set: RuleSet): Generator<RuleSet> {
	const { rules, changed, question } = set;
	for (let size = rules.length >> 1; size >= 1; size >>= 1) {
		for (let at = 0; at < rules.length; at += size) {
			const gone = new Set(rules.slice(at, at + size));
			const without = (all: readonly string[]): string[] => all.filter((rule) => !gone.has(rule));
			yield {
				...set,
				rules: without(rules),
				...(changed === undefined ? {} : { changed: without(changed) }),
			};
		}
	}
	if (changed !== undefined) {
		for (const [i] of rules.entries()) {
			yield { ...set, rules: rules.filter((_, j) => j !== i) };
		}
		for (const [i] of changed.entries()) {
			yield { ...set, changed: changed.filter((_, j) => j !== i) };
		}
	}
	for (const [i, rule] of rules.entries()) {
		for (const words of SPARE_WORDS) {
			const shorter = rule.replace(words, '');
			if (shorter !== rule) {
				const replaced = (all: readonly string[]): string[] =>
					all.map((one) => (one === rule ? shorter : one));
				yield {
					...set,
					rules: rules.map((one, j) => (j === i ? shorter : one)),
					...(changed === undefined ? {} : { changed: replaced(changed) }),
				};
			}
		}
	}
	for (const words of question === undefined ? [] : SPARE_WORDS) {
		const shorter = question?.replace(words, '').trim() ?? '';
		if (shorter !== question) {
			yield { ...set, question: shorter };
		}
	}
}
