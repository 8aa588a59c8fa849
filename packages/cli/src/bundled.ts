/**
 * A start of a command is mostly loading: `xfrm explain` has four hundred small files. `npm run build` also writes
 * commands as one file each, dist/bundle/*.js (scripts/bundle.mjs), which is taken unless something was compiled
 * after it.
 */
import { readdirSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const packages = fileURLToPath(new URL('../../', import.meta.url));

/** When the compiler last wrote something of these packages, as it notes it; 0 where it notes nothing. */
function builtAtMs(): number {
	const times = readdirSync(packages).map((name) => {
		const note = statSync(`${packages}${name}/dist/.tsbuildinfo`, { throwIfNoEntry: false });
		return note?.mtimeMs ?? 0;
	});
	return Math.max(0, ...times);
}

/** Loads a module from its one file, if there is a fresh one. */
async function load<T>(name: string, modules: () => Promise<T>): Promise<T> {
	const bundle = new URL(`./bundle/${name}.js`, import.meta.url);
	const made = statSync(bundle, { throwIfNoEntry: false });
	return made !== undefined && made.mtimeMs >= builtAtMs()
		? ((await import(bundle.href)) as T)
		: modules();
}

/** The module of `xfrm exec`. */
export function execModule(): Promise<typeof import('./exec-command.ts')> {
	return load('exec-command', () => import('./exec-command.ts'));
}

/** The module of `xfrm explain`. */
export function explainModule(): Promise<typeof import('./explain-command.ts')> {
	return load('explain-command', () => import('./explain-command.ts'));
}

/** The module of `xfrm state`, `policy` and `monitor`. */
export function ipModule(): Promise<typeof import('./ip-command.ts')> {
	return load('ip-command', () => import('./ip-command.ts'));
}
