/**
 * A start of `xfrm explain` is mostly loading: four hundred small files. `npm run build` also writes them as one,
 * dist/bundle/explain-command.js (scripts/bundle.mjs), which is taken unless something was compiled after it.
 */
import { readdirSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

type ExplainModule = typeof import('./explain-command.ts');

const bundle = new URL('./bundle/explain-command.js', import.meta.url);
const packages = fileURLToPath(new URL('../../', import.meta.url));

/** When the compiler last wrote something of these packages, as it notes it; 0 where it notes nothing. */
function builtAtMs(): number {
	const times = readdirSync(packages).map((name) => {
		const note = statSync(`${packages}${name}/dist/.tsbuildinfo`, { throwIfNoEntry: false });
		return note?.mtimeMs ?? 0;
	});
	return Math.max(0, ...times);
}

/** The module of `xfrm explain`, in one file where there is a fresh one. */
export async function explainModule(): Promise<ExplainModule> {
	const made = statSync(bundle, { throwIfNoEntry: false });
	return made !== undefined && made.mtimeMs >= builtAtMs()
		? ((await import(bundle.href)) as ExplainModule)
		: import('./explain-command.ts');
}
