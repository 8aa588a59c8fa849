// Writes the modules of commands as one file each (packages/cli/src/bundled.ts says why). Behind `tsc -b`.
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const cli = fileURLToPath(new URL('../packages/cli/dist/', import.meta.url));

// Modules that are asked for their place or their class stay what they are, once for all.
const shared = ['usage', 'version', 'running-rules'];
const sharedOfExec = ['compiled-parts', 'exec-error'];

await build({
	entryPoints: ['exec-command', 'explain-command', 'ip-command'].map((name) => `${cli}${name}.js`),
	outdir: `${cli}bundle`,
	bundle: true,
	platform: 'node',
	format: 'esm',
	target: 'node20',
	logLevel: 'error',
	plugins: [
		{
			name: 'shared',
			setup({ onResolve }) {
				onResolve({ filter: new RegExp(`^\\./(${shared.join('|')})\\.js$`) }, ({ path }) => ({
					path: path.replace('./', '../'),
					external: true,
				}));
				onResolve({ filter: new RegExp(`/(${sharedOfExec.join('|')})\\.js$`) }, ({ path }) => ({
					path: `../../../linux/dist/exec/${basename(path)}`,
					external: true,
				}));
			},
		},
	],
});
