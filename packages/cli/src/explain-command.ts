/** `xfrm explain`: sets the world up, carries the items out in order, prints an answer a packet. */
import { nodeProvider } from '@xfrm/crypto/node';
import { PROFILES } from '@xfrm/engine';
import { Explainer, InputError, mirrorPeer, Secrets } from '@xfrm/explain';
import type { DroppedPacket, LostPacket } from './dropped-packet.ts';
import {
	type ExplainArguments,
	PROCESSORS_MAX,
	parseExplainArguments,
} from './explain-arguments.ts';
import {
	loadHost,
	loadHostText,
	loadRules,
	newestTimeOf,
	readBytes,
	readRules,
} from './explain-input.ts';
import { answerLines, Session } from './explain-session.ts';
import type { Running } from './running-rules.ts';
import { seededRandom } from './seeded-random.ts';
import { UsageError } from './usage.ts';

/** Runs the command with the arguments behind `explain`; the exit status. */
export async function explainCommand(args: readonly string[]): Promise<number> {
	let asked = parseExplainArguments(args);
	const secrets = new Secrets(asked.showKeys);
	const warn = (text: string): void => {
		process.stderr.write(`xfrm: ${secrets.hide(text)}\n`);
	};
	let status = 0;
	try {
		const dropped = await droppedOf(asked);
		dropped?.notes.forEach(warn);
		if (dropped?.answer !== undefined) {
			process.stdout.write(`${answerLines(dropped.answer, asked).join('\n')}\n`);
			return 1;
		}
		if (dropped !== undefined) {
			asked = { ...asked, items: [dropped.item] };
		}
		const running = dropped ?? (await runningOf(asked));
		const rules = running === undefined ? asked.rules.map(readRules) : [running.rules];
		const explainer = setUp(asked, newestTimeOf(rules), running);
		const refused = rules.flatMap((one) => loadRules(explainer, one, secrets));
		for (const { file, line, text } of refused) {
			warn(`${file}:${line}: refused: ${text}`);
		}
		if (asked.strict && refused.length > 0) {
			return 2;
		}
		checkDevices(explainer, asked, running !== undefined);
		explainer.takeEvents(); // what loading the rules caused belongs to no packet
		explainer.showFields = asked.bytes;
		const peer = asked.both ? peerOf(explainer, asked, secrets, warn) : undefined;
		const told = new Session(explainer, asked, {
			secrets,
			warn,
			peer,
			overrule: dropped?.overrule,
		}).run();
		// What the daemon itself has dropped, the rules alone would let go.
		status = dropped === undefined ? told : 1;
	} catch (error) {
		if (error instanceof InputError || error instanceof UsageError) {
			warn(error.message);
			return 2;
		}
		throw error;
	}
	return status;
}

/** What is in force here, where that is asked about. */
async function runningOf(asked: ExplainArguments): Promise<Running | undefined> {
	const { target } = asked;
	return target === undefined
		? undefined
		: (await import('./running-rules.ts')).readRunning(target, asked);
}

/** The packet that the daemon has dropped, where that is asked about. */
async function droppedOf(asked: ExplainArguments): Promise<DroppedPacket | LostPacket | undefined> {
	return asked.drop === undefined
		? undefined
		: (await import('./dropped-packet.ts')).readDrop(asked.drop, asked);
}

/** What `ip link` and `ip address` print: all devices that there are. */
const DEVICE_LINE = /^\d+: [^:\s]+: </m;

/** Where all devices of the host are known, --dev has to be one of them; elsewhere naming one makes it. */
function checkDevices(explainer: Explainer, asked: ExplainArguments, complete: boolean): void {
	const printed = asked.hosts.some(
		(path) => path !== '-' && DEVICE_LINE.test(new TextDecoder().decode(readBytes(path))),
	);
	const names = [...explainer.world.host.devices()].map(({ name }) => name);
	for (const { options } of asked.items) {
		const { device } = options;
		if ((complete || printed) && device !== undefined && !names.includes(device)) {
			throw new UsageError(
				`found --dev ${device}, expected a device of this host: ${names.join(', ')}`,
			);
		}
	}
}

/** The other end: a host with its own rules, or ours seen from there, as it is before each packet. */
function peerOf(
	here: Explainer,
	asked: ExplainArguments,
	secrets: Secrets,
	warn: (text: string) => void,
): () => Explainer {
	if (asked.peerRules.length === 0) {
		return () => mirrorPeer(here, seededRandom());
	}
	const peer = here.fresh(seededRandom());
	const rules = asked.peerRules.map(readRules);
	for (const { file, line, text } of rules.flatMap((one) => loadRules(peer, one, secrets))) {
		warn(`${file}:${line}: refused: ${text}`);
	}
	peer.takeEvents();
	return () => peer;
}

/** The world before its rules: host, sysctls, sockets. It begins at the newest time of the rules. */
function setUp(
	asked: ExplainArguments,
	newest: number | undefined,
	running: Running | undefined,
): Explainer {
	const absolute = asked.items.find((item) => item.time !== undefined)?.time;
	const start = absolute?.relative === false ? absolute.seconds : (newest ?? Date.now() / 1000);
	const explainer = new Explainer({
		profile: PROFILES[asked.profile],
		provider: nodeProvider(),
		random: seededRandom(),
		startUs: Math.floor(start * 1_000_000),
		listener: asked.listener && running?.heard !== false,
		processors: PROCESSORS_MAX,
	});
	if (running?.host !== undefined) {
		loadHostText(explainer, running.host, '(this host)');
	}
	for (const path of asked.hosts) {
		loadHost(explainer, path);
	}
	const device = [...explainer.world.host.devices()].find((one) => !one.loopback)?.name ?? 'eth0';
	for (const local of asked.locals) {
		const length = local.includes('/') ? '' : local.includes(':') ? '/128' : '/32';
		loadHostText(explainer, `addr add ${local}${length} dev ${device}`, '--local');
	}
	for (const route of asked.routes) {
		const dev = / (dev|via) /.test(` ${route} `) ? '' : ` dev ${device}`;
		loadHostText(explainer, `route add ${route}${dev}`, '--route');
	}
	for (const [name, value] of asked.sysctls) {
		const { status, stderr } = explainer.setSysctl(name, value);
		if (status !== 0) {
			throw new UsageError(`--sysctl ${name}=${value}: ${stderr}`);
		}
	}
	openSockets(explainer, asked);
	return explainer;
}

/** Sockets and connections that were named. */
function openSockets(explainer: Explainer, asked: ExplainArguments): void {
	if (asked.encapNone) {
		explainer.implyNoSockets();
	}
	for (const { port, type } of asked.encaps) {
		for (const family of [2, 10]) {
			const errno = explainer.openEncapSocket(family, port, type);
			if (errno !== 0) {
				throw new UsageError(`--encap ${port}/${type}: this kernel refuses it (errno ${errno})`);
			}
		}
	}
	if (asked.listeners !== undefined) {
		explainer.listenNowhere();
	}
	for (const { proto, port } of asked.listeners ?? []) {
		explainer.openListener(proto, port);
	}
	for (const stream of asked.streams) {
		explainer.openStream(stream);
	}
}
