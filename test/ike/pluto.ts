/** An unmodified pluto (libreswan) on a host, from Debian's packages in a folder: they cannot be installed beside strongSwan's. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { unpackedPackages } from './debian-package.ts';
import { type Host, type Output, type Running, until } from './laboratory.ts';

/** With what of its dependencies strongSwan does not bring; certutil makes the empty database that it wants. */
const PACKAGES = ['libreswan', 'libnss3-tools', 'libldns3', 'libevent-pthreads-2.1-7'];

/** The folder of Debian's libreswan. @throws Error when it cannot be had */
export function unpackedLibreswan(): string {
	return unpackedPackages('xfrm-libreswan', PACKAGES);
}

export interface PlutoConnection {
	readonly local: string;
	readonly remote: string;
	readonly localNet: string;
	/** Of packets of this host into the tunnel. */
	readonly source: string;
	readonly remoteNet: string;
	/** ESP in UDP although there is no NAT. */
	readonly encap: boolean;
}

export class Pluto {
	readonly host: Host;
	readonly running: Running;
	readonly #root: string;

	private constructor(host: Host, running: Running, root: string) {
		this.host = host;
		this.running = running;
		this.#root = root;
	}

	/** Starts it with one connection, `net`. */
	static async start(host: Host, connection: PlutoConnection): Promise<Pluto> {
		const root = unpackedLibreswan();
		const programs = join(root, 'usr/libexec/ipsec');
		const folder = join(host.folder, 'pluto');
		mkdirSync(join(folder, 'ipsec.d'), { recursive: true });
		const { local, remote, localNet, source, remoteNet, encap } = connection;
		writeFileSync(
			join(folder, 'secrets'),
			`${local} ${remote} : PSK "a secret of the laboratory"\n`,
			{ mode: 0o600 },
		);
		host.must([
			...environment(root),
			join(root, 'usr/bin/certutil'),
			...['-N', '-d', `sql:${join(folder, 'ipsec.d')}`, '--empty-password'],
		]);
		const options = [
			// Behind a configuration, which would undo them.
			...['--config', '/dev/null', '--nofork', '--stderrlog', '--rundir', folder],
			...['--secretsfile', join(folder, 'secrets'), '--ipsecdir', join(folder, 'ipsec.d')],
			...['--nssdir', join(folder, 'ipsec.d'), '--dumpdir', folder, '--no-dnssec'],
		];
		// It looks for its helpers where they would have been installed.
		const mount =
			'mount -t tmpfs none /usr/libexec && mkdir /usr/libexec/ipsec && ' +
			`mount --bind ${programs} /usr/libexec/ipsec && exec "$0" "$@"`;
		const program = [...environment(root), ...host.configuring, '/usr/libexec/ipsec/pluto'];
		const pluto = new Pluto(
			host,
			host.start(['unshare', '-m', 'sh', '-c', mount, ...program, ...options]),
			root,
		);
		const isUp = (): boolean =>
			pluto.running.hasEnded ||
			(existsSync(join(folder, 'pluto.ctl')) && pluto.whack('--listen').status === 0);
		await until(`${host.name}: pluto`, isUp, 20_000);
		if (pluto.running.hasEnded) {
			throw new Error(`${host.name}: pluto ended: ${pluto.running.stderr}`);
		}
		const script = ['--updown', '/usr/libexec/ipsec/_updown.xfrm'];
		pluto.must(
			...['--name', 'net', '--ikev2', '--ipv4', '--psk', '--tunnel', '--encrypt'],
			...['--ike', 'aes128-sha2_256;dh31', '--esp', 'aes_gcm128', '--no-esn'],
			...['--encaps', encap ? 'yes' : 'no'],
			...['--id', local, '--host', local, '--client', localNet, '--srcip', source, ...script],
			...['--to', '--id', remote, '--host', remote, '--client', remoteNet, ...script],
		);
		return pluto;
	}

	whack(...args: readonly string[]): Output {
		const folder = join(this.host.folder, 'pluto');
		return this.host.run([
			...environment(this.#root),
			...[
				'timeout',
				'20',
				join(this.#root, 'usr/libexec/ipsec/whack'),
				'--rundir',
				folder,
				...args,
			],
		]);
	}

	must(...args: readonly string[]): string {
		const { status, stdout, stderr } = this.whack(...args);
		if (status !== 0) {
			const log = this.running.stderr.slice(-1500);
			throw new Error(`whack ${args.join(' ')}: ${status} ${stdout}${stderr}\n${log}`);
		}
		return stdout;
	}
}

function environment(root: string): readonly string[] {
	return ['env', `LD_LIBRARY_PATH=${join(root, 'usr/lib/x86_64-linux-gnu')}`];
}
