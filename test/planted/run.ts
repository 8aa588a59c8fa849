/**
 * `npm run test:planted [-- NAME…]`: every fault of this folder is put into a copy of the repository, where
 * the simulation, or the test or bench that the patch names, has to fail within a minute; without it, it has to
 * pass.
 *
 * A patch begins with what the fault is and who catches it:
 *
 *     Fault: the replay window moves before the ICV is looked at
 *     Caught-by: sim --scenario site-to-site --seeds 40         or: test packages/engine/src/input.test.ts
 *                                                               or: bench lookup --quick --check
 *
 * A patch that does not apply any more is a failure: plant the fault anew where the code has gone.
 */
import { spawnSync } from 'node:child_process';
import {
	cpSync,
	lstatSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	readlinkSync,
	rmSync,
	symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const folder = fileURLToPath(new URL('./', import.meta.url));
const LIMIT_MS = 60_000;
/** The copy needs none of these. */
const LEFT_OUT = new Set(['.git', 'node_modules', 'dist', 'golden', 'docs']);

interface Plant {
	readonly name: string;
	readonly file: string;
	readonly fault: string;
	readonly command: string;
}

function readPlant(file: string): Plant {
	const text = readFileSync(file, 'utf8');
	const [, fault = ''] = /^Fault: (.+)$/m.exec(text) ?? [];
	const [, command = ''] = /^Caught-by: ((?:sim|test|bench) .+)$/m.exec(text) ?? [];
	if (fault === '' || command === '') {
		throw new RangeError(`${file}: expected lines "Fault: …" and "Caught-by: sim|test|bench …"`);
	}
	return { name: basename(file, '.patch'), file, fault, command };
}

/** A copy of the sources whose `@xfrm` packages are its own; all others are the repository's. */
function copySources(): string {
	const copy = mkdtempSync(join(tmpdir(), 'xfrm-planted-'));
	cpSync(root, copy, {
		recursive: true,
		filter: (path) => !LEFT_OUT.has(basename(path)) && !lstatSync(path).isSymbolicLink(),
	});
	const modules = join(root, 'node_modules');
	mkdirSync(join(copy, 'node_modules', '@xfrm'), { recursive: true });
	for (const name of readdirSync(modules)) {
		if (name !== '@xfrm' && !name.startsWith('.')) {
			symlinkSync(join(modules, name), join(copy, 'node_modules', name));
		}
	}
	for (const name of readdirSync(join(modules, '@xfrm'))) {
		// They are relative, so that in the copy they lead to the copy.
		const target = readlinkSync(join(modules, '@xfrm', name));
		symlinkSync(target, join(copy, 'node_modules', '@xfrm', name));
	}
	return copy;
}

interface Run {
	/** Did the simulation or the test find something? */
	readonly failed: boolean;
	readonly seconds: number;
	/** The first line that says what. */
	readonly finding: string;
	/** It neither passed nor found anything: it could not run, or took too long. */
	readonly broken: string | undefined;
}

function argumentsOf(copy: string, kind: string, words: readonly string[]): readonly string[] {
	switch (kind) {
		case 'sim':
			return ['test/sim/main.ts', ...words, '--stop', '--captures', join(copy, 'captures')];
		case 'bench':
			return [`bench/${words[0]}.ts`, ...words.slice(1)];
		default:
			return ['--test', ...words];
	}
}

function run(copy: string, command: string): Run {
	const [kind, ...words] = command.split(' ');
	const loader = ['--conditions=@xfrm/source', '--import', 'tsx'];
	const args = [...loader, ...argumentsOf(copy, kind ?? '', words)];
	const start = process.hrtime.bigint();
	const { status, stdout, stderr, error } = spawnSync(process.execPath, args, {
		cwd: copy,
		timeout: LIMIT_MS,
		encoding: 'utf8',
	});
	const seconds = Number(process.hrtime.bigint() - start) / 1e9;
	const finding = /^FAILED .*$|^not ok .*$|^✖ .*$/m.exec(stdout)?.[0] ?? '';
	const broken =
		error?.message ?? (status === 0 || finding !== '' ? undefined : (stderr || stdout).slice(-600));
	return { failed: status === 1, seconds, finding, broken };
}

function git(copy: string, ...args: readonly string[]): string | undefined {
	const { status, stderr, error } = spawnSync('git', ['apply', '-C1', ...args], {
		cwd: copy,
		encoding: 'utf8',
	});
	return status === 0 ? undefined : (error?.message ?? stderr);
}

let failures = 0;

function report(ok: boolean, name: string, text: string): void {
	failures += ok ? 0 : 1;
	process.stdout.write(`${ok ? 'ok     ' : 'FAILED '}${name.padEnd(32)}${text}\n`);
}

function checkClean(copy: string, commands: Iterable<string>): void {
	for (const command of new Set(commands)) {
		const { failed, seconds, finding, broken } = run(copy, command);
		const text = broken ?? finding;
		report(
			!failed && broken === undefined,
			'(nothing planted)',
			`${seconds.toFixed(1)} s ${command} ${text}`,
		);
	}
}

function checkPlant(copy: string, { name, file, command }: Plant): void {
	const refusal = git(copy, file);
	if (refusal !== undefined) {
		report(false, name, `the patch does not apply: ${refusal.trim()}`);
		return;
	}
	const { failed, seconds, finding, broken } = run(copy, command);
	const text = failed ? finding : (broken ?? `not caught by: ${command}`);
	report(failed && broken === undefined, name, `${seconds.toFixed(1)} s ${text}`);
	git(copy, '-R', file);
}

const wanted = process.argv.slice(2);
const plants = readdirSync(folder)
	.filter((file) => file.endsWith('.patch'))
	.map((file) => readPlant(join(folder, file)))
	.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
if (plants.length === 0) {
	process.stderr.write('test:planted: no fault of that name\n');
	process.exit(2);
}
const copy = copySources();
try {
	checkClean(
		copy,
		plants.map(({ command }) => command),
	);
	for (const plant of plants) {
		checkPlant(copy, plant);
	}
} finally {
	rmSync(copy, { recursive: true, force: true });
}
process.stdout.write(
	failures === 0 ? `${plants.length} faults, all caught\n` : `${failures} failed\n`,
);
process.exitCode = failures === 0 ? 0 : 1;
