/**
 * Rules of nftables (`nft -j list ruleset`) and iptables (`iptables-save`) as far as they decide about IPsec:
 * what comes in, and whose source is changed. A rule that asks for more than is known here says so.
 */
import type { FilterRule } from './facts.ts';

type Hook = FilterRule['hook'];

const HOOKS: ReadonlySet<string> = new Set([
	'input',
	'forward',
	'output',
	'postrouting',
	'prerouting',
]);
const PROTOCOLS: Readonly<Record<string, number>> = {
	icmp: 1,
	tcp: 6,
	udp: 17,
	esp: 50,
	ah: 51,
	'ipv6-icmp': 58,
	comp: 108,
	ipcomp: 108,
};

/** A value of JSON, whose form nobody promises. */
type Json = unknown;

function member(value: Json, name: string): Json {
	return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
		? (value as Readonly<Record<string, Json>>)[name]
		: undefined;
}

function textOf(value: Json): string {
	return typeof value === 'string' ? value : '';
}

/** A rule in the making. */
type Draft = { -readonly [K in keyof FilterRule]: FilterRule[K] };

function draft(chain: string, hook: Hook): Draft {
	return {
		text: '',
		chain,
		hook,
		action: 'accept',
		protocols: undefined,
		ports: undefined,
		source: undefined,
		destination: undefined,
		exceptDestination: undefined,
		device: undefined,
		ipsec: undefined,
		more: false,
	};
}

function protocolOf(value: Json): number | undefined {
	return typeof value === 'number' ? value : PROTOCOLS[textOf(value)];
}

/** Members of a set, or the one value. */
function membersOf(value: Json): readonly Json[] {
	const set = member(value, 'set');
	return Array.isArray(set) ? (set as readonly Json[]) : [value];
}

function prefixOf(value: Json): string | undefined {
	if (typeof value === 'string') {
		return value;
	}
	const prefix = member(value, 'prefix');
	const length = member(prefix, 'len');
	const address = textOf(member(prefix, 'addr'));
	return address === '' || typeof length !== 'number' ? undefined : `${address}/${length}`;
}

/** Numbers of a set; undefined when one of them is no number. */
function numbers(
	value: Json,
	read: (one: Json) => number | undefined,
): readonly number[] | undefined {
	const list = membersOf(value).map(read);
	return list.every((one) => one !== undefined) ? list : undefined;
}

/** Takes a match of nft into the rule; false when it is more than this knows. */
function takeMatch(rule: Draft, match: Json): boolean {
	const left = member(match, 'left');
	const right = member(match, 'right');
	const equal = member(match, 'op') === '==';
	const payload = member(left, 'payload');
	const field = textOf(member(payload, 'field'));
	const key = textOf(member(member(left, 'meta'), 'key'));
	if (field === 'protocol' || field === 'nexthdr' || key === 'l4proto') {
		rule.protocols = numbers(right, protocolOf);
		return equal && rule.protocols !== undefined;
	}
	if (field === 'dport') {
		const proto = PROTOCOLS[textOf(member(payload, 'protocol'))];
		rule.protocols ??= proto === undefined ? undefined : [proto];
		rule.ports = numbers(right, (one) => (typeof one === 'number' ? one : undefined));
		return equal && rule.ports !== undefined;
	}
	if (field === 'saddr' && equal) {
		rule.source = prefixOf(right);
		return rule.source !== undefined;
	}
	if (field === 'daddr') {
		const prefix = prefixOf(right);
		rule.destination = equal ? prefix : undefined;
		rule.exceptDestination = equal ? undefined : prefix;
		return prefix !== undefined;
	}
	if ((key === 'iifname' || key === 'oifname') && equal) {
		rule.device = textOf(right);
		return rule.device !== '';
	}
	const ipsec =
		member(member(left, 'rt'), 'key') === 'ipsec' || key === 'secpath' || key === 'ipsec';
	if (ipsec) {
		rule.ipsec = equal === (right === true || right === 1);
	}
	return ipsec;
}

const VERDICTS: Readonly<Record<string, FilterRule['action']>> = {
	accept: 'accept',
	drop: 'drop',
	reject: 'drop',
	masquerade: 'masquerade',
	snat: 'snat',
};

interface NftChain {
	readonly name: string;
	readonly hook: Hook | undefined;
	readonly drops: boolean;
	readonly rules: Json[];
}

function chainKey(value: Json): string {
	return ['family', 'table'].map((name) => textOf(member(value, name))).join(' ');
}

/** Chains by family, table and name, each with its rules in order. */
function nftChains(objects: readonly Json[]): ReadonlyMap<string, NftChain> {
	const chains = new Map<string, NftChain>();
	for (const object of objects) {
		const chain = member(object, 'chain');
		const rule = member(object, 'rule');
		if (chain !== undefined) {
			const hook = textOf(member(chain, 'hook'));
			const name = `${chainKey(chain)} ${textOf(member(chain, 'name'))}`;
			chains.set(name, {
				name,
				hook: HOOKS.has(hook) ? (hook as Hook) : undefined,
				drops: member(chain, 'policy') === 'drop',
				rules: [],
			});
		} else if (rule !== undefined) {
			chains.get(`${chainKey(rule)} ${textOf(member(rule, 'chain'))}`)?.rules.push(rule);
		}
	}
	return chains;
}

/** Chains jump to chains: a bound, for a rule set that goes round in circles is not loadable anyway. */
const JUMPS_MAX = 16;

/** Rules of a chain and of those it jumps to, as if they stood in it. */
function* rulesOf(
	chains: ReadonlyMap<string, NftChain>,
	chain: NftChain,
	base: NftChain,
	more: boolean,
	depth: number,
): Generator<FilterRule> {
	for (const rule of chain.rules) {
		const drafted = draft(base.name, base.hook ?? 'input');
		drafted.more = more;
		const expressions = member(rule, 'expr');
		for (const expression of Array.isArray(expressions) ? (expressions as readonly Json[]) : []) {
			const [name = ''] = Object.keys(expression as object);
			const action = VERDICTS[name];
			const match = member(expression, 'match');
			const target = textOf(member(member(expression, name), 'target'));
			if (match !== undefined) {
				drafted.more = !takeMatch(drafted, match) || drafted.more;
			} else if (action !== undefined) {
				drafted.action = action;
				drafted.text = ruleText(drafted);
				yield drafted;
			} else if ((name === 'jump' || name === 'goto') && depth < JUMPS_MAX) {
				const jumped = chains.get(`${chainKey(rule)} ${target}`);
				const narrowed = drafted.more || isNarrow(drafted);
				if (jumped !== undefined) {
					yield* rulesOf(chains, jumped, base, narrowed, depth + 1);
				}
			} else if (name === 'xt' || name === 'limit' || name === 'ct') {
				drafted.more = true;
			}
		}
	}
}

/** Does a rule ask for anything? */
function isNarrow(rule: FilterRule): boolean {
	const { protocols, ports, source, destination, exceptDestination, device, ipsec } = rule;
	const asked = [protocols, ports, source, destination, exceptDestination, device, ipsec];
	return asked.some((one) => one !== undefined);
}

/** A rule as one would write it in nft. */
function ruleText(rule: FilterRule): string {
	const names = new Map(Object.entries(PROTOCOLS).map(([name, number]) => [number, name]));
	const list = (values: readonly (number | string)[]): string =>
		values.length === 1 ? `${values[0]}` : `{ ${values.join(', ')} }`;
	const { protocols, ports, source, destination, exceptDestination, device, ipsec, more } = rule;
	const words = [
		rule.chain,
		device === undefined ? '' : `${rule.hook === 'input' ? 'iifname' : 'oifname'} ${device}`,
		source === undefined ? '' : `saddr ${source}`,
		destination === undefined ? '' : `daddr ${destination}`,
		exceptDestination === undefined ? '' : `daddr != ${exceptDestination}`,
		protocols === undefined ? '' : list(protocols.map((one) => names.get(one) ?? one)),
		ports === undefined ? '' : `dport ${list(ports)}`,
		ipsec === undefined ? '' : `ipsec ${ipsec ? 'exists' : 'missing'}`,
		more ? '…' : '',
		rule.action === 'policy-drop' ? 'policy drop' : rule.action,
	];
	return `"${words.filter((word) => word !== '').join(' ')}"`;
}

/** Rules of `nft -j list ruleset`; an output of another form has none. */
export function parseNft(text: string): readonly FilterRule[] {
	let document: Json;
	try {
		document = JSON.parse(text);
	} catch {
		return [];
	}
	const objects = member(document, 'nftables');
	const chains = nftChains(Array.isArray(objects) ? (objects as readonly Json[]) : []);
	return [...chains.values()].flatMap((chain) => {
		if (chain.hook === undefined) {
			return [];
		}
		const rules = [...rulesOf(chains, chain, chain, false, 0)];
		const end: Draft = { ...draft(chain.name, chain.hook), action: 'policy-drop' };
		end.text = ruleText(end);
		return chain.drops ? [...rules, end] : rules;
	});
}

const IPTABLES_ACTIONS: Readonly<Record<string, FilterRule['action']>> = {
	ACCEPT: 'accept',
	DROP: 'drop',
	REJECT: 'drop',
	MASQUERADE: 'masquerade',
	SNAT: 'snat',
};

/** Options of iptables with a value that this knows. */
function takeOption(rule: Draft, option: string, value: string, negated: boolean): boolean {
	switch (option) {
		case '-p':
		case '--protocol': {
			const proto = PROTOCOLS[value] ?? Number(value);
			rule.protocols = [proto];
			return !negated && Number.isInteger(proto);
		}
		case '--dport':
		case '--dports':
			rule.ports = value.split(',').map(Number);
			return !negated && rule.ports.every(Number.isInteger);
		case '-s':
			rule.source = value;
			return !negated;
		case '-d':
			rule.destination = negated ? undefined : value;
			rule.exceptDestination = negated ? value : undefined;
			return true;
		case '-i':
		case '-o':
			rule.device = value;
			return !negated;
		case '--pol':
			rule.ipsec = (value === 'ipsec') !== negated;
			return true;
		case '-m':
		case '--dir':
		case '-j':
		case '--to-source':
		case '--reject-with':
		case '--comment':
			return true;
		default:
			return false;
	}
}

function iptablesRule(table: string, words: readonly string[]): FilterRule | undefined {
	const chain = words[1] ?? '';
	const hook = chain.toLowerCase();
	const action = IPTABLES_ACTIONS[words[words.indexOf('-j') + 1] ?? ''];
	if (!HOOKS.has(hook) || action === undefined) {
		return undefined;
	}
	const rule = draft(`iptables ${table} ${chain}`, hook as Hook);
	rule.action = action;
	for (let at = 2, negated = false; at < words.length; at++) {
		const option = words[at] ?? '';
		if (option === '!') {
			negated = true;
			continue;
		}
		if (!takeOption(rule, option, words[++at] ?? '', negated)) {
			rule.more = true;
		}
		negated = false;
	}
	rule.text = `"iptables -t ${table} ${words.join(' ')}"`;
	return rule;
}

/** Rules of `iptables-save` or `ip6tables-save`, of built-in chains alone. */
export function parseIptables(text: string): readonly FilterRule[] {
	let table = '';
	const rules: FilterRule[] = [];
	const ends: FilterRule[] = [];
	for (const line of text.split('\n')) {
		const words = line.trim().split(/\s+/);
		const [first = ''] = words;
		if (first.startsWith('*')) {
			table = first.slice(1);
		} else if (first === '-A') {
			const rule = iptablesRule(table, words);
			rules.push(...(rule === undefined ? [] : [rule]));
		} else if (first.startsWith(':') && words[1] === 'DROP') {
			const chain = first.slice(1);
			const hook = chain.toLowerCase();
			if (HOOKS.has(hook)) {
				const end = draft(`iptables ${table} ${chain}`, hook as Hook);
				ends.push({
					...end,
					action: 'policy-drop',
					text: `"iptables -t ${table} -P ${chain} DROP"`,
				});
			}
		}
	}
	return [...rules, ...ends];
}
