/** What key managers and their surroundings have wrong. */
import type { FindingKind } from './finding.ts';

export const OTHER_FINDINGS: readonly FindingKind[] = [
	{
		id: 'key-managers',
		title: 'one key manager',
		meaning:
			'Two key managers run in one network namespace: both answer acquires, both want UDP 500 and 4500, and each may flush what the other has installed.',
		remedy: 'Stop one of them, and keep it from starting.',
		find: ({ keyManagers }) =>
			keyManagers.length < 2
				? []
				: [
						{
							severity: 'fail',
							text: `${keyManagers.join(' and ')} both run here: each undoes what the other does.`,
							command: 'systemctl list-units "*strongswan*" "*ipsec*"',
						},
					],
	},
	{
		id: 'ike-port',
		title: 'IKE ports',
		meaning:
			'UDP 500 or 4500 belongs to another program than the key manager that runs: IKE packets go to it.',
		remedy: 'Stop that program, or give it another port.',
		find: ({ sockets, keyManagers }) =>
			keyManagers.length === 0
				? []
				: sockets
						.filter(({ port, process }) => (port === 500 || port === 4500) && process !== undefined)
						.filter(({ process = '' }) => !keyManagers.includes(process))
						.filter(({ process }) => process !== 'node')
						.map(({ port, process }) => ({
							severity: 'fail' as const,
							text:
								`UDP port ${port} belongs to ${process}, not to ` + `${keyManagers.join(', ')}.`,
							command: `ss -lunp sport = :${port}`,
						})),
	},
	{
		id: 'apparmor',
		title: 'AppArmor',
		meaning:
			'A profile of AppArmor confines the key manager: it may load no foreign library, so that `xfrm exec` has to be let in.',
		remedy: 'Nothing, unless it is to run by `xfrm exec`: then see its guide.',
		find: ({ confined }) =>
			confined.length === 0
				? []
				: [
						{
							severity: 'note',
							text:
								`AppArmor confines ${confined.join(', ')}: by xfrm exec it ` +
								'needs the local profile of the guide.',
						},
					],
	},
];
