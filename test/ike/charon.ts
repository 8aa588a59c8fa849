/** An unmodified charon on a host, by `xfrm exec`, configured and driven by swanctl. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Host, type Output, type Running, until, XFRM } from './laboratory.ts';

/** One connection with one child, as swanctl.conf says it; words are its keywords. */
export interface Connection {
	readonly local: string;
	readonly remote: string;
	readonly localTs: string;
	readonly remoteTs: string;
	readonly mode?: 'tunnel' | 'transport';
	/** ESP in UDP although there is no NAT; default no. */
	readonly encap?: boolean;
	readonly espProposals?: string;
	readonly startAction?: string;
	/** Further lines of the child. */
	readonly child?: string;
}

const CONFIGURATION_FOLDERS = [
	'bliss',
	'ecdsa',
	'pkcs8',
	'pkcs12',
	'private',
	'pubkey',
	'rsa',
	'x509',
	'x509aa',
	'x509ac',
	'x509ca',
	'x509crl',
	'x509ocsp',
];

function settings(folder: string): string {
	return `charon {
	load_modular = yes
	plugins {
		include /etc/strongswan.d/charon/*.conf
		vici { socket = unix://${folder}/vici }
		kernel-libipsec { load = no }
	}
	filelog { log { path = ${folder}/log
		default = 1
		knl = 2
		flush_line = yes } }
	pidfile = ${folder}/pid
}
`;
}

function connections(connection: Connection): string {
	const { local, remote, localTs, remoteTs } = connection;
	return `connections { gw {
	version = 2
	local_addrs = ${local}
	remote_addrs = ${remote}
	encap = ${connection.encap === true ? 'yes' : 'no'}
	mobike = no
	proposals = aes128-sha256-x25519
	local { auth = psk
		id = ${local} }
	remote { auth = psk
		id = ${remote.replace('%any', '192.168.80.1')} }
	children { net {
		local_ts = ${localTs}
		remote_ts = ${remoteTs}
		mode = ${connection.mode ?? 'tunnel'}
		esp_proposals = ${connection.espProposals ?? 'aes128gcm16'}
		start_action = ${connection.startAction ?? 'none'}
		${connection.child ?? ''}
	} }
} }
secrets { ike-1 { secret = "a secret of the laboratory" } }
`;
}

export class Charon {
	readonly host: Host;
	readonly running: Running;
	readonly #folder: string;

	private constructor(host: Host, running: Running, folder: string) {
		this.host = host;
		this.running = running;
		this.#folder = folder;
	}

	/** Starts it and loads a configuration. */
	static async start(host: Host, connection: Connection): Promise<Charon> {
		const { folder } = host;
		for (const name of CONFIGURATION_FOLDERS) {
			mkdirSync(join(folder, 'swanctl', name), { recursive: true });
		}
		writeFileSync(join(folder, 'strongswan.conf'), settings(folder));
		writeFileSync(join(folder, 'swanctl', 'swanctl.conf'), connections(connection));
		const program = `exec ${process.execPath} ${XFRM} exec -- /usr/lib/ipsec/charon`;
		const running = host.start(
			['unshare', '-m', 'sh', '-c', `mount -t tmpfs none /run; ${program}`],
			{ STRONGSWAN_CONF: join(folder, 'strongswan.conf') },
		);
		const charon = new Charon(host, running, folder);
		await until(`${host.name}: charon`, () => existsSync(join(folder, 'vici')), 10_000);
		charon.must('--load-all');
		return charon;
	}

	/** Removes what a killed one has left. */
	forget(): void {
		rmSync(join(this.#folder, 'vici'), { force: true });
		rmSync(join(this.#folder, 'pid'), { force: true });
	}

	swanctl(...args: readonly string[]): Output {
		const { status, stdout, stderr } = spawnSync(
			'timeout',
			['15', 'swanctl', ...args, '--uri', `unix://${this.#folder}/vici`],
			{
				encoding: 'utf8',
				env: {
					...process.env,
					STRONGSWAN_CONF: join(this.#folder, 'strongswan.conf'),
					SWANCTL_DIR: join(this.#folder, 'swanctl'),
				},
			},
		);
		return { status: status ?? -1, stdout, stderr };
	}

	must(...args: readonly string[]): string {
		const { status, stdout, stderr } = this.swanctl(...args);
		if (status !== 0) {
			throw new Error(`${this.host.name}: swanctl ${args.join(' ')}: ${stderr}${stdout}`);
		}
		return stdout;
	}

	get log(): string {
		const path = join(this.#folder, 'log');
		return existsSync(path) ? readFileSync(path, 'utf8') : '';
	}
}
