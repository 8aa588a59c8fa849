/** `ip rule`, as a value. */
import type { RuleConfig } from '@xfrm/host';
import { Family } from '@xfrm/wire/xfrm';
import type { Draft, Reader } from './host-line.ts';

/** `ip rule add|del`. */
export interface RuleCommand {
	readonly object: 'rule';
	readonly verb: 'add' | 'del';
	readonly config: RuleConfig;
}

export function parseRule(reader: Reader, verb: 'add' | 'del', family: number): RuleCommand {
	const config: Draft<Partial<RuleConfig>> & { family: number } = { family };
	while (reader.peek() !== undefined) {
		ruleWord(reader, config);
	}
	const action = config.action ?? { table: 254 };
	const resolved = config.family === Family.Unspec ? Family.Ipv4 : config.family;
	return { object: 'rule', verb, config: { ...config, family: resolved, action } };
}

function ruleWord(reader: Reader, rule: Draft<Partial<RuleConfig>> & { family: number }): void {
	const word = reader.next('a word');
	switch (word) {
		case 'from':
		case 'to': {
			const side = reader.prefix(rule.family, 'a prefix or "all"');
			rule.family = side.family;
			if (side.prefixLength > 0) {
				rule[word] = { address: side.address, prefixLength: side.prefixLength };
			}
			return;
		}
		case 'fwmark': {
			const [value = '', mask] = reader.next('a mark').split('/');
			const v = Number(value);
			const m = mask === undefined ? 0xffffffff : Number(mask);
			if (value === '' || !Number.isInteger(v) || !Number.isInteger(m)) {
				throw reader.refuse('a mark, or mark/mask');
			}
			rule.fwmark = v | 0;
			rule.fwmask = m | 0;
			return;
		}
		case 'iif':
		case 'dev':
			rule.iif = reader.next('a device');
			return;
		case 'oif':
			rule.oif = reader.next('a device');
			return;
		case 'tos':
		case 'dsfield':
			rule.tos = reader.number('a TOS');
			return;
		case 'lookup':
		case 'table':
			rule.action = { table: reader.table() };
			return;
		case 'pref':
		case 'priority':
		case 'preference':
		case 'order':
			rule.priority = reader.number('a priority');
			return;
		case 'unreachable':
		case 'blackhole':
		case 'prohibit':
			rule.action = word;
			return;
		default:
			if (word === 'proto' || word === 'protocol' || word === 'suppress_prefixlength') {
				reader.next('a value');
				return;
			}
			throw reader.refuse('from, to, fwmark, iif, oif, lookup, priority or an action');
	}
}
