/**
 * `xfrm daemon`: wiring of the daemon to a terminal or a service manager. Everything it does is in
 * @xfrm/linux/daemon.
 */
import {
	cleanUp,
	Daemon,
	daemonPage,
	GuardError,
	type LogLevel,
	type MetricsAddress,
	notifyReady,
	openMetrics,
	PROVIDERS,
	type ProviderName,
	parseMetricsAddress,
	STATE_FOLDER,
	StartError,
	shedRights,
} from '@xfrm/linux/daemon';
import { UsageError } from './usage.ts';

interface Asked {
	readonly cleanup: boolean;
	readonly stateDir: string;
	readonly noGuard: boolean;
	readonly provider: ProviderName;
	readonly json: boolean;
	readonly readyFd: number | undefined;
	/** By if_id. */
	readonly interfaces: ReadonlyMap<number, string>;
	readonly metrics: MetricsAddress | undefined;
	readonly metricsToken: string | undefined;
}

function numberOf(option: string, value: string | undefined): number {
	if (value === undefined || !/^\d{1,6}$/.test(value)) {
		throw new UsageError(`found "${value ?? ''}", expected a number behind ${option}`);
	}
	return Number(value);
}

function logFormat(value: string | undefined): boolean {
	if (value !== 'json' && value !== 'text') {
		throw new UsageError(`found "${value ?? ''}", expected --log json|text`);
	}
	return value === 'json';
}

function providerOf(value: string | undefined): ProviderName {
	const name = PROVIDERS.find((one) => one === value);
	if (name === undefined) {
		throw new UsageError(`found "${value ?? ''}", expected --provider ${PROVIDERS.join('|')}`);
	}
	return name;
}

function metricsAddress(text: string): MetricsAddress {
	const address = parseMetricsAddress(text);
	if (address === undefined) {
		throw new UsageError(`found "${text}", expected --metrics ADDRESS:PORT, as in 127.0.0.1:9109`);
	}
	return address;
}

/** NAME=if_id:N */
function interfaceOf(word: string, interfaces: Map<number, string>): void {
	const [, name, number] = /^([^\s/=]{1,15})=if_id:(0x[0-9a-f]{1,8}|\d{1,10})$/i.exec(word) ?? [];
	const ifId = Number(number);
	if (name === undefined || !(ifId > 0 && ifId <= 0xffff_ffff)) {
		throw new UsageError(`found "${word}", expected a device and its if_id, as in ipsec0=if_id:42`);
	}
	interfaces.set(ifId, name);
}

function parse(args: readonly string[]): Asked {
	let provider: ProviderName = 'auto';
	let noGuard = false;
	let cleanup = false;
	let stateDir = STATE_FOLDER;
	let json = false;
	let readyFd: number | undefined;
	const interfaces = new Map<number, string>();
	let metrics: MetricsAddress | undefined;
	let metricsToken: string | undefined;
	for (let at = 0; at < args.length; at++) {
		const word = args[at] ?? '';
		switch (word) {
			case '--no-guard':
				noGuard = true;
				break;
			case '--cleanup':
				cleanup = true;
				break;
			case '--state-dir':
				stateDir = args[++at] ?? '';
				break;
			case '--log':
				json = logFormat(args[++at]);
				break;
			case '--provider':
				provider = providerOf(args[++at]);
				break;
			case '--ready-fd':
				readyFd = numberOf(word, args[++at]);
				break;
			case '--interface':
				interfaceOf(args[++at] ?? '', interfaces);
				break;
			case '--metrics':
				metrics = metricsAddress(args[++at] ?? '');
				break;
			case '--metrics-token':
				metricsToken = args[++at] ?? '';
				break;
			default:
				throw new UsageError(
					`found "${word}", expected --state-dir DIR, --no-guard, --cleanup, --provider ${PROVIDERS.join('|')}, --log json|text, --ready-fd N, --interface NAME=if_id:N, --metrics ADDR:PORT or --metrics-token FILE`,
				);
		}
	}
	if (stateDir === '') {
		throw new UsageError('expected a folder behind --state-dir');
	}
	return { cleanup, stateDir, noGuard, provider, json, readyFd, interfaces, metrics, metricsToken };
}

function logger(json: boolean): (level: LogLevel, text: string) => void {
	if (!json) {
		return (_level, text) => process.stderr.write(`xfrm: ${text}\n`);
	}
	return (level, text) => {
		const time = new Date().toISOString();
		process.stderr.write(`${JSON.stringify({ schema: 1, time, level, text })}\n`);
	};
}

/** Who reads what is printed may go first, as a terminal does: no reason to end. */
function outliveReaders(): void {
	for (const stream of [process.stdout, process.stderr]) {
		stream.removeAllListeners('error');
		stream.on('error', () => {});
	}
}

/** Runs until it is told to end; the exit status. */
export async function daemonCommand(args: readonly string[]): Promise<number> {
	const asked = parse(args);
	const { cleanup, stateDir, noGuard, provider, json, readyFd, interfaces } = asked;
	const log = logger(json);
	let metrics: Awaited<ReturnType<typeof openMetrics>> | undefined;
	let daemon: Daemon | undefined;
	try {
		if (cleanup) {
			cleanUp(stateDir, log);
			return 0;
		}
		outliveReaders();
		// From the beginning on: one that begins and is told to end leaves nothing behind either.
		for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
			process.on(signal, () => (daemon === undefined ? process.exit() : daemon.stop()));
		}
		shedRights();
		metrics = await metricsOf(asked);
		// Handled before anything is known that a debugger could read.
		process.on('SIGUSR1', () => log('info', 'SIGUSR1 is not used'));
		daemon = new Daemon({ stateDir, interfaces, noGuard, provider, log });
		await daemon.ready;
		process.stdout.write(`ready pid=${process.pid}\n`);
		notifyReady(process.env['NOTIFY_SOCKET'], readyFd);
		return await daemon.ended;
	} catch (error) {
		if (error instanceof StartError || error instanceof GuardError) {
			log('error', error.message);
			return 2;
		}
		throw error;
	} finally {
		metrics?.close();
		metrics?.closeAllConnections();
	}
}

/** The metrics' server, if one is wanted: before the daemon, so that nothing has begun where it can't be. */
async function metricsOf({
	metrics: address,
	metricsToken: tokenFile,
}: Asked): Promise<Awaited<ReturnType<typeof openMetrics>> | undefined> {
	return address === undefined ? undefined : openMetrics({ address, tokenFile, page: daemonPage });
}
