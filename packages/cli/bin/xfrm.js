#!/usr/bin/env node
// Starts the built command. Kept in the repository so that npm can link it before anything is built.
import { existsSync } from 'node:fs';

const built = new URL('../dist/main.js', import.meta.url);
// Looked at here: what is built names things that an older node lacks. sudo and systemd have a PATH of their own.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
	const here = `this is ${process.versions.node}, ${process.execPath}`;
	process.stderr.write(`xfrm: Node 20.19 or later is needed; ${here}\n`);
	process.exitCode = 2;
} else if (existsSync(built)) {
	const { main } = await import(built.href);
	process.exitCode = await main(process.argv.slice(2));
} else {
	process.stderr.write('xfrm is not built: run `npm run build` in the checkout\n');
	process.exitCode = 2;
}
