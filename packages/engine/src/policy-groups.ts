/**
 * Policies of tuples that have few of them (policy-tuples.ts), gathered into groups: a lookup asks each group, not
 * each tuple, so that a thousand odd selectors cost no more than a list of them. A group is of all tuples that are
 * told apart best by the same bits of the same word of the key; it finds policies by what they have there, and
 * looks at each of these field by field. There are only so many groups: what has no place in one goes into the last,
 * which tells nothing apart and is the plain list.
 *
 * @hotpath
 */
import { HashChains, NONE } from './hash-chains.ts';
import type { XfrmPolicy } from './policy.ts';
import { asked, askPolicy, fallsUnder, hashOfSum, KeyWord, type Shape } from './policy-key.ts';
import { LAST_PRIORITY, ordered, takeFirst } from './policy-order.ts';

const GROUPS_MAX = 32;

/** Of an address the last word that counts whole: the words before it are more often alike. */
const ADDRESS_WORDS = 4;

export class PolicyGroup {
	/** The word of the key by which policies are found, and the bits of it that count. */
	readonly word: number;
	readonly mask: number;
	readonly chains: HashChains<XfrmPolicy> = new HashChains();
	count: number = 0;
	/** No policy has a lower priority (`ordered`); lags behind until the group is empty. */
	priorityMin: number = LAST_PRIORITY;

	constructor(word: number, mask: number) {
		this.word = word;
		this.mask = mask;
	}

	/** What the asked key has in this group's word, as a hash: equal for equal values only. */
	hashAsked(): number {
		return hashOfSum((asked[this.word] ?? 0) & this.mask);
	}
}

export class PolicyGroups {
	private readonly groups: PolicyGroup[] = [];

	/** The group for policies of a shape; one that is new is forgotten unless a policy is put in. */
	groupFor(shape: Shape): PolicyGroup {
		const word = tellingWord(shape.masks);
		const mask = shape.masks[word] ?? 0;
		return this.find(word, mask) ?? this.find(0, 0) ?? this.make(word, mask);
	}

	insert(group: PolicyGroup, policy: XfrmPolicy): void {
		askPolicy(policy);
		group.chains.insert(group.hashAsked(), policy);
		group.count++;
		group.priorityMin = Math.min(group.priorityMin, ordered(policy.priority));
	}

	remove(group: PolicyGroup, policy: XfrmPolicy): void {
		askPolicy(policy);
		group.chains.remove(group.hashAsked(), policy);
		group.count--;
		if (group.count === 0) {
			this.groups.splice(this.groups.indexOf(group), 1);
		}
	}

	/** As `PolicyTable.firstMatches`, of the asked key; answers the best priority (`ordered`) from then on. */
	firstMatches(bestBefore: number, first: (XfrmPolicy | null)[]): number {
		const { groups } = this;
		let best = bestBefore;
		for (let i = 0; i < groups.length; i++) {
			const group = groups[i];
			if (group !== undefined && group.priorityMin <= best) {
				best = takeFrom(group, best, first);
			}
		}
		return best;
	}

	private find(word: number, mask: number): PolicyGroup | undefined {
		for (const group of this.groups) {
			if (group.word === word && group.mask === mask) {
				return group;
			}
		}
		return undefined;
	}

	/** The last one that there is room for tells nothing apart. */
	private make(word: number, mask: number): PolicyGroup {
		const isLast = this.groups.length === GROUPS_MAX - 1;
		const group = isLast ? new PolicyGroup(0, 0) : new PolicyGroup(word, mask);
		this.groups.push(group);
		return group;
	}
}

function takeFrom(group: PolicyGroup, bestBefore: number, first: (XfrmPolicy | null)[]): number {
	const { chains } = group;
	let best = bestBefore;
	for (let entry = chains.first(group.hashAsked()); entry !== NONE; entry = chains.next(entry)) {
		const policy = chains.owner(entry);
		if (policy !== null && ordered(policy.priority) <= best && fallsUnder(policy)) {
			best = takeFirst(policy, first);
		}
	}
	return best;
}

/** The word of the key that tells policies apart best: of which most bits count. */
function tellingWord(masks: Int32Array): number {
	let best = 0;
	let most = -1;
	for (let word = 0; word < KeyWord.IfId; word++) {
		const count = bitCount(masks[word] ?? 0);
		const isSameAddress = word < KeyWord.Ports && word % ADDRESS_WORDS !== 0;
		if (count > most || (count === most && isSameAddress && best === word - 1)) {
			best = word;
			most = count;
		}
	}
	return best;
}

function bitCount(word: number): number {
	const pairs = word - ((word >>> 1) & 0x5555_5555);
	const fours = (pairs & 0x3333_3333) + ((pairs >>> 2) & 0x3333_3333);
	return Math.imul((fours + (fours >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}
