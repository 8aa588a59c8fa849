/** An unmodified charon on a host, before whatever does IPsec there, configured and driven by swanctl. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Host, type Output, type Running, until } from './laboratory.ts';

/** Lines of swanctl.conf within a pair of braces: `name = value`, one a line. */
export type Lines = string;

/** One connection, as swanctl.conf says it; words are its keywords. */
export interface Connection {
	/** Default gw. */
	readonly name?: string;
	readonly local: string;
	readonly remote: string;
	/** Identities, by default the addresses. */
	readonly localId?: string;
	readonly remoteId?: string;
	/** Of the child `net`. */
	readonly localTs: string;
	readonly remoteTs: string;
	readonly mode?: 'tunnel' | 'transport' | 'pass' | 'drop';
	/** ESP in UDP although there is no NAT; default no. */
	readonly encap?: boolean;
	/** Empty for none. */
	readonly espProposals?: string;
	readonly startAction?: string;
	/** Further lines of the child. */
	readonly child?: Lines;
	/** Further children by name, whole. */
	readonly children?: Readonly<Record<string, Lines>>;
	/** Further lines of the connection. */
	readonly lines?: Lines;
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

/** What pre-shared keys, proposals and libipsec's own ciphers need: fewer start sooner. */
const PLUGINS =
	'random nonce openssl aes sha1 sha2 md5 hmac kdf xcbc cmac gcm ccm ctr chapoly curve25519 pem pkcs1';

function settings(host: Host, vici: string, more: Lines): string {
	const { folder, plane } = host;
	const ipsec = plane === 'libipsec' ? 'kernel-libipsec kernel-netlink' : 'kernel-netlink';
	return `charon {
	load = ${PLUGINS} ${ipsec} socket-default updown vici
	plugins {
		vici { socket = unix://${vici} }
	}
	filelog { log { path = ${folder}/log
		default = 1
		knl = 2
		time_format = %H:%M:%S
		time_add_ms = yes
		flush_line = yes } }
	pidfile = ${folder}/pid
	# Algorithms that have no number of their own are proposed to strongSwan only.
	send_vendor_id = yes
	${more}
}
`;
}

function connectionText(connection: Connection): string {
	const { local, remote, localTs, remoteTs, espProposals = 'aes128gcm16' } = connection;
	const others = Object.entries(connection.children ?? {}).map(
		([name, lines]) => `${name} {\n${lines}\n}\n`,
	);
	return `${connection.name ?? 'gw'} {
	version = 2
	local_addrs = ${local}
	remote_addrs = ${remote}
	encap = ${connection.encap === true ? 'yes' : 'no'}
	proposals = aes128-sha256-x25519
	local { auth = psk
		id = ${connection.localId ?? local} }
	remote { auth = psk
		id = ${connection.remoteId ?? remote} }
	${/mobike/.test(connection.lines ?? '') ? '' : 'mobike = no'}
	${connection.lines ?? ''}
	children { net {
		local_ts = ${localTs}
		remote_ts = ${remoteTs}
		mode = ${connection.mode ?? 'tunnel'}
		${espProposals === '' ? '' : `esp_proposals = ${espProposals}`}
		start_action = ${connection.startAction ?? 'none'}
		${connection.child ?? ''}
	}
	${others.join('')} }
}
`;
}

export class Charon {
	readonly host: Host;
	readonly running: Running;
	readonly #vici: string;

	private constructor(host: Host, running: Running, vici: string) {
		this.host = host;
		this.running = running;
		this.#vici = vici;
	}

	/** Starts it and loads a configuration. @param more lines of strongswan.conf, of its section charon */
	static async start(
		host: Host,
		connections: Connection | readonly Connection[],
		more: Lines = '',
	): Promise<Charon> {
		const { folder } = host;
		for (const name of CONFIGURATION_FOLDERS) {
			mkdirSync(join(folder, 'swanctl', name), { recursive: true });
		}
		const vici = `${host.machine.socketFolder}/${host.namespace}-vici`;
		writeFileSync(join(folder, 'strongswan.conf'), settings(host, vici, more));
		rmSync(join(folder, 'log'), { force: true });
		const command = [...host.configuring, '/usr/lib/ipsec/charon'].join(' ');
		const running = host.start(
			['unshare', '-m', 'sh', '-c', `mount -t tmpfs none /run; exec ${command}`],
			{ STRONGSWAN_CONF: join(folder, 'strongswan.conf') },
		);
		const charon = new Charon(host, running, vici);
		const isUp = (): boolean => running.hasEnded || /spawning \d+ worker/.test(charon.log);
		await until(`${host.name}: charon`, isUp, 20_000);
		charon.load(connections);
		return charon;
	}

	/** Loads another configuration; what is up stays. */
	load(connections: Connection | readonly Connection[]): void {
		const list = 'local' in connections ? [connections] : connections;
		const text = `connections {\n${list.map(connectionText).join('')}}
secrets { ike-1 { secret = "a secret of the laboratory" } }
`;
		writeFileSync(join(this.host.folder, 'swanctl', 'swanctl.conf'), text);
		this.must('--load-all');
	}

	/** Removes what a killed one has left. */
	forget(): void {
		this.host.run(['rm', '-f', this.#vici]);
		rmSync(join(this.host.folder, 'pid'), { force: true });
	}

	#command(args: readonly string[]): readonly string[] {
		const { folder } = this.host;
		return [
			'env',
			`STRONGSWAN_CONF=${join(folder, 'strongswan.conf')}`,
			`SWANCTL_DIR=${join(folder, 'swanctl')}`,
			...['timeout', '20', 'swanctl', ...args, '--uri', `unix://${this.#vici}`],
		];
	}

	swanctl(...args: readonly string[]): Output {
		return this.host.run(this.#command(args));
	}

	/** The same in the background. */
	begin(...args: readonly string[]): Running {
		return this.host.start(this.#command(args));
	}

	must(...args: readonly string[]): string {
		const { status, stdout, stderr } = this.swanctl(...args);
		if (status !== 0) {
			throw new Error(`${this.host.name}: swanctl ${args.join(' ')}: ${stderr}${stdout}`);
		}
		return stdout;
	}

	/** Brings a child up. */
	initiate(child: string = 'net'): void {
		this.must('--initiate', '--child', child);
	}

	/** CHILD_SAs that it has installed. */
	countChildren(): number {
		return this.must('--list-sas').match(/INSTALLED/g)?.length ?? 0;
	}

	get log(): string {
		const path = join(this.host.folder, 'log');
		return existsSync(path) ? readFileSync(path, 'utf8') : '';
	}
}
