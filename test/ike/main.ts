/**
 * `npm run test:ike`: unmodified IKE daemons over the user-space data plane, in namespaces of their own.
 * Words that are given choose the cases whose names contain one of them. Exit status 1 when one fails.
 */
import { cases } from './cases.ts';
import { reasonToSkip } from './laboratory.ts';

const reason = reasonToSkip();
if (reason !== undefined) {
	process.stdout.write(`skipped: ${reason}\n`);
	process.exit(process.env['CI'] === 'true' ? 1 : 0);
}
const words = process.argv.slice(2);
let failed = 0;
for (const { name, run } of cases) {
	if (words.length > 0 && !words.some((word) => name.includes(word))) {
		continue;
	}
	const begun = performance.now();
	try {
		await run();
		process.stdout.write(`ok ${name} (${((performance.now() - begun) / 1000).toFixed(1)} s)\n`);
	} catch (error) {
		failed++;
		const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
		process.stdout.write(`not ok ${name}\n${text.replace(/^/gm, '    ')}\n`);
	}
}
process.stdout.write(failed === 0 ? 'all passed\n' : `${failed} failed\n`);
process.exit(failed === 0 ? 0 : 1);
