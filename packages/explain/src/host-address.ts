/** `ip address`, as a value. */
import type { AddressConfig } from '@xfrm/host';
import { Family } from '@xfrm/wire/xfrm';
import type { Draft, Prefix, Reader } from './host-line.ts';

/** `ip address add|replace|del`. */
export interface AddressCommand {
	readonly object: 'address';
	/** `replace` minds none that is there. */
	readonly verb: 'add' | 'replace' | 'del';
	readonly config: AddressConfig;
}

const ADDRESS_VALUES = /^(broadcast|brd|anycast|scope|label|metric|priority|proto|valid_lft)$/;
const ADDRESS_FLAGS =
	/^(nodad|mngtmpaddr|optimistic|autojoin|secondary|dynamic|permanent|-?tentative)$/;

export function parseAddressCommand(reader: Reader, verb: string): AddressCommand {
	let local: Prefix | undefined;
	const config: Draft<Partial<AddressConfig>> = {};
	while (reader.peek() !== undefined) {
		const word = reader.next('a word');
		if (word === 'dev') {
			config.device = reader.next('a device');
		} else if (word === 'home' || word === 'homeaddress') {
			config.home = true;
		} else if (word === 'peer' || word === 'remote') {
			config.peer = reader.prefix(Family.Unspec, 'an address').address;
		} else if (word === 'noprefixroute') {
			config.noPrefixRoute = true;
		} else if (word === 'preferred_lft') {
			config.deprecated = reader.next('a time') === '0';
		} else if (ADDRESS_VALUES.test(word)) {
			reader.next('a value');
		} else if (!ADDRESS_FLAGS.test(word)) {
			reader.at -= word === 'local' ? 0 : 1;
			if (local !== undefined) {
				reader.next('dev');
				throw reader.refuse('dev DEVICE');
			}
			local = reader.prefix(Family.Unspec, 'an address with its prefix length');
		}
	}
	const { device } = config;
	if (local === undefined || device === undefined) {
		reader.next(local === undefined ? 'an address with its prefix length' : 'dev DEVICE');
		throw reader.refuse('an address and a device');
	}
	return {
		object: 'address',
		verb: verb === 'delete' ? 'del' : verb === 'add' ? 'add' : 'replace',
		config: { ...config, ...local, device },
	};
}
