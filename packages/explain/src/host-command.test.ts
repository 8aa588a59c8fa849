import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatAddress } from '@xfrm/wire/xfrm';
import { type HostCommand, parseHostLine } from './host-command.ts';
import { InputError, splitWords } from './input.ts';

/** A command as one line of text, so that rows are easy to read. */
function show(command: HostCommand): string {
	switch (command.object) {
		case 'address': {
			const { device, address, family, prefixLength, home } = command.config;
			const text = `${formatAddress(address, family === 2 ? 2 : 10)}/${prefixLength}`;
			return `address ${command.verb} ${device} ${text}${home === true ? ' home' : ''}`;
		}
		case 'route': {
			const { config } = command;
			const family = config.family === 2 ? 2 : 10;
			const parts = [
				`${formatAddress(config.destination, family)}/${config.prefixLength}`,
				config.gateway === undefined ? '' : `via ${formatAddress(config.gateway, family)}`,
				config.device === undefined ? '' : `dev ${config.device}`,
				config.kind ?? '',
				config.table === undefined ? '' : `table ${config.table}`,
				config.metric === undefined ? '' : `metric ${config.metric}`,
				config.mtu === undefined ? '' : `mtu ${config.mtu}`,
			];
			return `route ${command.verb} ${parts.filter((part) => part !== '').join(' ')}`;
		}
		case 'rule': {
			const { priority, fwmark, fwmask, action, from, iif } = command.config;
			const to = typeof action === 'string' ? action : `table ${action.table}`;
			const source = from === undefined ? '' : ` from /${from.prefixLength}`;
			const mark = `${fwmark ?? '-'}/${fwmask ?? '-'}`;
			return `rule ${command.verb} ${priority ?? '-'}${source} mark ${mark} ${iif ?? '-'} ${to}`;
		}
		case 'module':
			return `module ${command.name}`;
		default:
			return `link ${command.verb} ${command.device} ${JSON.stringify(command.settings)}`;
	}
}

function read(line: string, device?: string): string[] {
	return parseHostLine(splitWords(line), { device }).map(show);
}

describe('ip commands, abbreviated as ip allows', () => {
	const rows: readonly (readonly [line: string, ...commands: string[]])[] = [
		['modprobe xfrm_interface', 'module xfrm_interface'],
		['addr add 10.0.0.1/24 dev lan', 'address add lan 10.0.0.1/24'],
		['ip a a 10.0.0.1/24 dev lan', 'address add lan 10.0.0.1/24'],
		['ip -6 address replace fd00::1/64 dev lan nodad', 'address replace lan fd00::1/64'],
		['addr add fd00::1/128 dev lan home nodad', 'address add lan fd00::1/128 home'],
		['addr del 10.0.0.1/24 dev lan', 'address del lan 10.0.0.1/24'],
		['addr add 10.0.0.1 dev lan', 'address add lan 10.0.0.1/32'],
		['route add default dev wan', 'route add 0.0.0.0/0 dev wan'],
		['ip r a ::/0 dev wan', 'route add ::/0 dev wan'],
		['ip -6 route add default via fe80::1 dev wan', 'route add ::/0 via fe80::1 dev wan'],
		['route add default via fd00::1', 'route add ::/0 via fd00::1'],
		['route add 10/8 via 10.0.0.254', 'route add 10.0.0.0/8 via 10.0.0.254'],
		['route add unreachable 10.9.0.0/16', 'route add 10.9.0.0/16 unreachable'],
		[
			'route replace 10.9.0.0/16 dev lan table 77 mtu lock 1400',
			'route replace 10.9.0.0/16 dev lan table 77 mtu 1400',
		],
		['ip ro del 10.9.0.0/16', 'route del 10.9.0.0/16'],
		['rule add from 10.0.0.0/8 fwmark 0x77 lookup 77', 'rule add - from /8 mark 119/-1 - table 77'],
		['ip ru add fwmark 1/0xff iif lan prohibit pref 9', 'rule add 9 mark 1/255 lan prohibit'],
		['link set lan mtu 1280 up', 'link set lan {"mtu":1280,"up":true}'],
		['ip l set dev lan down', 'link set lan {"up":false}'],
		['link add x0 type dummy', 'link add x0 {}'],
		['# a comment'],
		[''],
		['ip route'],
		['$ ip addr show dev lan'],
	];
	for (const [line, ...commands] of rows) {
		it(line === '' ? 'an empty line' : line, () => assert.deepEqual(read(line), commands));
	}
});

describe('what ip prints', () => {
	const rows: readonly (readonly [line: string, ...commands: string[]])[] = [
		[
			'2: eth0@if5: <BROADCAST,UP,LOWER_UP> mtu 1400 qdisc fq',
			'link set eth0 {"up":true,"mtu":1400}',
		],
		[
			'3: eth1: <BROADCAST> mtu 1500 qdisc noop state DOWN',
			'link set eth1 {"up":false,"mtu":1500}',
		],
		[
			'    inet 10.0.0.1/24 brd 10.0.0.255 scope global dynamic eth0',
			'address replace dev 10.0.0.1/24',
		],
		['    inet6 fd00::1/64 scope global tentative', 'address replace dev fd00::1/64'],
		['2: eth0    inet 10.0.0.1/24 scope global eth0\\', 'address replace eth0 10.0.0.1/24'],
		[
			'eth0 UP 10.0.0.1/24 fd00::1/64',
			'address replace eth0 10.0.0.1/24',
			'address replace eth0 fd00::1/64',
		],
		['    link/ether 02:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff'],
		['       valid_lft forever preferred_lft forever'],
		[
			'default via 10.0.0.254 dev eth0 proto dhcp src 10.0.0.1 metric 100',
			'route append 0.0.0.0/0 via 10.0.0.254 dev eth0 metric 100',
		],
		[
			'10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.1 linkdown',
			'route append 10.0.0.0/24 dev eth0',
		],
		[
			'local 10.0.0.1 dev eth0 table local proto kernel scope host',
			'route append 10.0.0.1/32 dev eth0 local table 255',
		],
		[
			'fd00::/64 dev eth0 proto kernel metric 256 pref medium',
			'route append fd00::/64 dev eth0 metric 256',
		],
		['220:	from all lookup 220', 'rule add 220 mark -/- - table 220'],
		['0:	from all lookup local'],
		['32766:	from all lookup main'],
	];
	for (const [line, ...commands] of rows) {
		it(line.trim(), () => assert.deepEqual(read(line, 'dev'), commands));
	}
});

describe('lines that cannot be read', () => {
	const rows: readonly (readonly [line: string, column: number, found: string])[] = [
		['addr add 10.0.0.300/24 dev lan', 10, '"10.0.0.300/24"'],
		['addr add 10.0.0.1/33 dev lan', 10, '"10.0.0.1/33"'],
		['addr add 10.0.0.1/24', 21, 'the end of the line'],
		['route add 10.0.0.0/8 via nowhere', 26, '"nowhere"'],
		['route add 10.0.0.0/8 mtu big', 26, '"big"'],
		['rule add frm 10.0.0.0/8', 10, '"frm"'],
		['ip frob add x', 4, '"frob"'],
		['ip addr frob x', 9, '"frob"'],
		["addr add '10.0.0.1/24 dev lan", 10, 'a quote that is not closed'],
	];
	for (const [line, column, found] of rows) {
		it(line, () => {
			assert.throws(
				() => read(line),
				(error) => {
					assert.ok(error instanceof InputError);
					assert.deepEqual([error.fault.column, error.fault.found], [column, found]);
					return true;
				},
			);
		});
	}
});
