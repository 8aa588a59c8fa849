/** `xfrm explain`: sets the world up, carries the items out in order, prints an answer a packet. */
import { nodeProvider } from '@xfrm/crypto/node';
import { PROFILES } from '@xfrm/engine';
import { type Answer, answerLine, answerText, Explainer, InputError, Secrets } from '@xfrm/explain';
import { type ExplainArguments, type Item, parseExplainArguments } from './explain-arguments.ts';
import {
	loadHost,
	loadHostText,
	loadRules,
	newestTimeOf,
	packetsOf,
	readRules,
} from './explain-input.ts';
import { seededRandom } from './seeded-random.ts';
import { colours } from './terminal.ts';
import { UsageError } from './usage.ts';

/** Runs the command with the arguments behind `explain`; the exit status. */
export function explainCommand(args: readonly string[]): number {
	const asked = parseExplainArguments(args);
	const secrets = new Secrets(asked.showKeys);
	const warn = (text: string): void => {
		process.stderr.write(`xfrm: ${secrets.hide(text)}\n`);
	};
	let status = 0;
	try {
		const rules = asked.rules.map(readRules);
		const explainer = setUp(asked, newestTimeOf(rules));
		const refused = rules.flatMap((one) => loadRules(explainer, one, secrets));
		for (const { file, line, text } of refused) {
			warn(`${file}:${line}: refused: ${text}`);
		}
		if (asked.strict && refused.length > 0) {
			return 2;
		}
		explainer.takeEvents(); // what loading the rules caused belongs to no packet
		status = new Session(explainer, asked, warn).run();
	} catch (error) {
		if (error instanceof InputError || error instanceof UsageError) {
			warn(error.message);
			return 2;
		}
		throw error;
	}
	return status;
}

/** The world before its rules: host, sysctls, sockets. It begins at the newest time of the rules. */
function setUp(asked: ExplainArguments, newest: number | undefined): Explainer {
	const absolute = asked.items.find((item) => item.time !== undefined)?.time;
	const start = absolute?.relative === false ? absolute.seconds : (newest ?? Date.now() / 1000);
	const explainer = new Explainer({
		profile: PROFILES[asked.profile],
		provider: nodeProvider(),
		random: seededRandom(),
		startUs: Math.floor(start * 1_000_000),
		listener: asked.listener,
	});
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
		const { status, stderr } = explainer.world.setSysctl(name, value);
		if (status !== 0) {
			throw new UsageError(`--sysctl ${name}=${value}: ${stderr}`);
		}
	}
	for (const { port, type } of asked.encaps) {
		for (const family of [2, 10]) {
			const errno = explainer.world.openEncapSocket(family, port, type);
			if (errno !== 0) {
				throw new UsageError(`--encap ${port}/${type}: this kernel refuses it (errno ${errno})`);
			}
		}
	}
	return explainer;
}

/** Carries the items out and prints what comes of them. */
class Session {
	readonly #explainer: Explainer;
	readonly #asked: ExplainArguments;
	readonly #warn: (text: string) => void;
	/** Unix seconds when the rules had been loaded. */
	readonly #loaded: number;
	#answers: number = 0;
	#status: number = 0;

	constructor(explainer: Explainer, asked: ExplainArguments, warn: (text: string) => void) {
		this.#explainer = explainer;
		this.#asked = asked;
		this.#warn = warn;
		this.#loaded = explainer.world.nowUs / 1_000_000;
	}

	/** The exit status: 1 when a packet was dropped or lacks a state. */
	run(): number {
		for (const item of this.#asked.items) {
			this.#carryOut(item);
		}
		for (const event of this.#explainer.takeEvents()) {
			this.#warn(`event after the last packet: ${event.text}`);
		}
		return this.#status;
	}

	#carryOut(item: Item): void {
		const { text, time } = item;
		if (time !== undefined) {
			const now = this.#explainer.world.nowUs / 1_000_000;
			const then = time.relative ? this.#loaded + time.seconds : time.seconds;
			this.#explainer.wait(Math.max(0, then - now));
		}
		if (text.startsWith('wait:')) {
			this.#wait(text.slice(5));
		} else if (text.startsWith('do:')) {
			this.#run(text.slice(3));
		} else {
			this.#askAll(item);
		}
	}

	#wait(seconds: string): void {
		if (!/^[0-9]+(\.[0-9]+)?$/.test(seconds)) {
			throw new UsageError(`found "wait:${seconds}", expected wait:SECONDS`);
		}
		this.#explainer.wait(Number(seconds));
	}

	#run(command: string): void {
		const { status, stderr } = this.#explainer.run(command);
		if (status === 1 || status === 255) {
			throw new UsageError(`do: ${stderr}`);
		}
		if (status !== 0) {
			this.#warn(`do: refused: ${stderr}`);
		}
	}

	#askAll(item: Item): void {
		for (const one of packetsOf(item.text, item.options)) {
			if (one.packet === undefined) {
				this.#warn(one.note);
				continue;
			}
			this.#print(this.#explainer.ask(one.packet, one.options));
		}
	}

	#print(answer: Answer): void {
		if (answer.outcome === 'drop' || answer.outcome === 'acquire' || answer.outcome === 'unknown') {
			this.#status = 1;
		}
		if (this.#asked.json) {
			process.stdout.write(`${answerLine(answer)}\n`);
			return;
		}
		const gap = this.#answers++ === 0 ? '' : '\n';
		const lines = answerText(answer, { colours: colours(process.stdout) });
		process.stdout.write(`${gap}${lines.join('\n')}\n`);
	}
}
