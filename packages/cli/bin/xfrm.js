#!/usr/bin/env node
// Starts the built command. Kept in the repository so that npm can link it before anything is built.
import { existsSync } from 'node:fs';

const built = new URL('../dist/main.js', import.meta.url);
if (existsSync(built)) {
	const { main } = await import(built.href);
	process.exitCode = await main(process.argv.slice(2));
} else {
	process.stderr.write('xfrm is not built: run `npm run build` in the checkout\n');
	process.exitCode = 2;
}
