/**
 * `npm run test:ip`: the installed `ip xfrm` and `xfrm --show-keys`, each in a network namespace of its own
 * of the running kernel, given the same commands: those of golden/kernel-netlink and random ones. After
 * each: same stdout, stderr, exit status and tables of the kernel; after each case the lists, also with
 * `nokeys`. Times of the clock are masked.
 *
 *     npm run test:ip -- [--random 500] [--seed S] [--golden N] [--real 40] [--show 5]
 *     npm run test:ip -- --guest …      the same inside of user-mode Linux 6.1, where ESP, AH and IPComp exist
 *
 * Since a start of Node takes longer than all else, `xfrm` is its command's function in this process; a
 * sample of `--real` commands goes through the installed program. Needs root, `ip`, and a kernel with
 * NETLINK_XFRM; without, it says why and is done. Where the running kernel has no transforms (types esp, ah,
 * comp), only larval states exist, and keys are never printed: the guest has them all. There, `--real` is 0 unless
 * told otherwise, as a start of Node takes seconds.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ipCommand } from '../../packages/cli/src/ip-command.ts';
import { goldenFolder, readLines } from '../golden/golden-files.ts';
import { setUpOracle } from '../kernel/oracle.ts';
import { Random } from '../kernel/random.ts';
import { type RandomCommand, randomCommand } from './random-command.ts';
import { openTwoNamespaces, type TwoNamespaces } from './two-namespaces.ts';

const { values: options } = parseArgs({
	options: {
		random: { type: 'string', default: '500' },
		seed: { type: 'string', default: '1' },
		/** Golden cases at most. */
		golden: { type: 'string', default: '1000000' },
		real: { type: 'string' },
		show: { type: 'string', default: '5' },
		guest: { type: 'boolean', default: false },
	},
});

/** Commands that go through the installed program. */
const REAL = Number(options.real ?? '40');
const GUEST_SECONDS_MAX = 7200;
const GUEST_MEMORY = '1024M';

const BIN = fileURLToPath(new URL('../../node_modules/.bin/xfrm', import.meta.url));
/** Random commands from one reset to the next. */
const RANDOM_A_CASE = 10;

process.env['TZ'] = 'UTC';

/** Asked at the end of a case, the first two always, of the others one. */
const LISTS: readonly RandomCommand[] = [
	{ options: [], words: ['state', 'list', 'nokeys'] },
	{ options: ['-s'], words: ['policy', 'list'] },
	{ options: ['-s'], words: ['state'] },
	{ options: ['-s', '-s'], words: ['state', 'list', 'nokeys'] },
	{ options: ['-s', '-s', '-d'], words: ['policy'] },
	{ options: ['-d'], words: ['state', 'list'] },
	{ options: ['-o'], words: ['policy', 'list', 'nosock'] },
	{ options: ['-o', '-s'], words: ['state', 'list', 'nokeys'] },
	{ options: ['-s'], words: ['policy', 'count'] },
	{ options: ['-s'], words: ['state', 'count'] },
	{ options: [], words: ['policy', 'getdefault'] },
];

interface Outcome {
	readonly status: number | null;
	readonly stdout: string;
	readonly stderr: string;
}

/** Releases that speak as 6.1 does; other ones as 7.1. */
const ipRelease = spawnSync('ip', ['-V'], { encoding: 'utf8' });
const PROFILE = /iproute2-(?:[0-5]\.|6\.[01]\.)/.test(ipRelease.stdout ?? '')
	? 'linux61'
	: 'linux619';
const OWN_OPTIONS = ['--show-keys', '--profile', PROFILE];

function spawned(program: string, args: readonly string[]): Outcome {
	const { status, stdout, stderr } = spawnSync(program, args, {
		encoding: 'utf8',
		timeout: 20_000,
	});
	return { status, stdout, stderr };
}

/** The command's function, what it writes caught. */
async function inProcess(args: readonly string[]): Promise<Outcome> {
	const texts = { stdout: '', stderr: '' };
	const writes = (['stdout', 'stderr'] as const).map((name) => {
		const { write } = process[name];
		process[name].write = (text: string | Uint8Array): boolean => {
			texts[name] += String(text);
			return true;
		};
		return () => {
			process[name].write = write;
		};
	});
	try {
		return { status: await ipCommand(args), ...texts };
	} finally {
		for (const restore of writes) {
			restore();
		}
	}
}

function timeless(text: string): string {
	return text.replace(/\b20[0-9]{2}-[0-9]{2}-[0-9]{2} [0-9:]{8}/g, 'TIME');
}

interface Totals {
	commands: number;
	lists: number;
	real: number;
	/** How often the kernel or ip refused. */
	refused: number;
	/** Commands after which there was something to compare. */
	withStates: number;
	withPolicies: number;
	differences: number;
}

/** Gives commands to both sides and compares. */
class Comparison {
	readonly totals: Totals = {
		commands: 0,
		lists: 0,
		real: 0,
		refused: 0,
		withStates: 0,
		withPolicies: 0,
		differences: 0,
	};
	readonly #sides: TwoNamespaces;
	/** Commands since the last reset, as one would type them. */
	#history: string[] = [];

	constructor(sides: TwoNamespaces) {
		this.#sides = sides;
	}

	async command(command: RandomCommand, real: boolean): Promise<void> {
		this.totals.commands++;
		this.totals.real += real ? 1 : 0;
		const status = await this.#both(command, real);
		this.totals.refused += status === 0 ? 0 : 1;
		const [expected, found] = [this.#sides.ip.tables(), this.#sides.own.tables()];
		this.totals.withStates += expected.states > 0 ? 1 : 0;
		this.totals.withPolicies += expected.policies > 0 ? 1 : 0;
		if (expected.text !== found.text) {
			this.#differs('tables of the kernel', expected.text, found.text);
		}
	}

	/** The lists of the end of a case, and empty tables. */
	async finish(turn: number): Promise<void> {
		const one = LISTS[2 + (turn % (LISTS.length - 2))];
		for (const list of one === undefined ? [] : [...LISTS.slice(0, 2), one]) {
			this.totals.lists++;
			await this.#both(list, false);
		}
		this.#sides.ip.reset();
		this.#sides.own.reset();
		this.#history = [];
	}

	/** Runs it on both sides; ip's status. */
	async #both({ options, words }: RandomCommand, real: boolean): Promise<number | null> {
		const quoted = words.map((word) => (/^[\w./:-]+$/.test(word) ? word : `'${word}'`));
		this.#history.push(['ip', ...options, 'xfrm', ...quoted].join(' '));
		this.#sides.ip.enter();
		const expected = spawned('ip', [...options, 'xfrm', ...words]);
		this.#sides.own.enter();
		const args = [...OWN_OPTIONS, ...options, ...words];
		const found = real ? spawned(BIN, args) : await inProcess(args);
		for (const part of ['status', 'stdout', 'stderr'] as const) {
			const [of, own] = [timeless(String(expected[part])), timeless(String(found[part]))];
			if (of !== own) {
				this.#differs(part, of, own);
			}
		}
		return expected.status;
	}

	#differs(what: string, expected: string, found: string): void {
		if (this.totals.differences++ < Number(options.show)) {
			const indented = (text: string): string => text.replace(/^/gm, '    ');
			say(`${what} differ after\n${indented(this.#history.join('\n'))}`);
			say(`  ip:\n${indented(expected)}\n  xfrm:\n${indented(found)}\n`);
		}
	}
}

function say(text: string): void {
	process.stdout.write(`${text}\n`);
}

interface GoldenCase {
	readonly commands: readonly { readonly cmd: string }[];
}

/** The words of a golden command, quotes taken off. */
function goldenCommand(cmd: string): RandomCommand {
	const words = cmd
		.trim()
		.split(/\s+/)
		.map((word) => word.replace(/^(['"])(.*)\1$/, '$2'));
	const xfrm = words.indexOf('xfrm');
	return { options: words.slice(1, xfrm), words: words.slice(xfrm + 1) };
}

async function main(): Promise<number> {
	if (ipRelease.status !== 0) {
		say('skipped: needs ip of iproute2');
		return 0;
	}
	const sides = openTwoNamespaces();
	if (typeof sides === 'string') {
		say(`skipped: ${sides}`);
		return 0;
	}
	const all = readLines<GoldenCase>(goldenFolder(), 'kernel-netlink') ?? [];
	const golden = all.slice(0, Number(options.golden));
	const seed = Number(options.seed);
	const random = new Random(seed);
	const cases = golden.map(({ commands }) => commands.map(({ cmd }) => goldenCommand(cmd)));
	for (let left = Number(options.random); left > 0; left -= RANDOM_A_CASE) {
		cases.push(Array.from({ length: Math.min(left, RANDOM_A_CASE) }, () => randomCommand(random)));
	}
	const count = cases.reduce((sum, { length }) => sum + length, 0);
	const every = Math.max(1, Math.floor(count / REAL));
	const comparison = new Comparison(sides);
	const { totals } = comparison;
	for (const [turn, commands] of cases.entries()) {
		for (const command of commands) {
			await comparison.command(command, totals.commands % every === 0 && REAL > 0);
		}
		await comparison.finish(turn);
	}
	say(
		`${totals.commands} commands (${golden.length} golden cases, ${options.random} random of seed ${seed}, ` +
			`${totals.refused} refused by both, ${totals.withStates} leave states and ${totals.withPolicies} policies, ` +
			`${totals.real} by the installed xfrm), ${totals.lists} lists, ` +
			`${ipRelease.stdout.trim()}: ${totals.differences} differences`,
	);
	return totals.differences === 0 ? 0 : 1;
}

/** Boots the guest and does the same there, with this machine's programs and files. */
function runInGuest(): number {
	const reason = setUpOracle('guest');
	if (reason !== undefined) {
		say(`skipped: ${reason}`);
		return 0;
	}
	const boot = fileURLToPath(new URL('../kernel/oracle/boot', import.meta.url));
	const { random, seed, golden, real = '0', show } = options;
	const own = [fileURLToPath(import.meta.url), '--random', random, '--seed', seed];
	const run = spawnSync(
		boot,
		[
			...[
				'-t',
				String(GUEST_SECONDS_MAX),
				'-m',
				GUEST_MEMORY,
				'--',
				process.execPath,
				...process.execArgv,
				...own,
			],
			...['--golden', golden, '--real', real, '--show', show],
		],
		{ stdio: ['ignore', 'inherit', 'inherit'] },
	);
	return run.status ?? 1;
}

process.exitCode = options.guest ? runInGuest() : await main();
