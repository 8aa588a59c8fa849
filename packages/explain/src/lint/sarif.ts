/** Findings as SARIF 2.1.0 (OASIS), for CI systems that show results beside the lines of a change. */
import type { Finding, Severity } from './finding.ts';
import { PAGES } from './pages.ts';

const LEVELS: Readonly<Record<Severity, string>> = {
	error: 'error',
	warning: 'warning',
	info: 'note',
};
const PAGE_URI = 'docs/lint.md';

/**
 * The log of one run.
 *
 * @param files that were looked over; results are about them as a whole
 */
export function sarifOf(
	findings: readonly Finding[],
	files: readonly string[],
	version: string,
): Readonly<Record<string, unknown>> {
	const ids = Object.keys(PAGES);
	return {
		$schema: 'https://json.schemastore.org/sarif-2.1.0.json',
		version: '2.1.0',
		runs: [
			{
				tool: {
					driver: {
						name: 'xfrm lint',
						semanticVersion: version,
						rules: Object.entries(PAGES).map(([id, page]) => ({
							id,
							shortDescription: { text: page.title },
							fullDescription: { text: page.consequence },
							help: { text: page.advice },
							helpUri: `${PAGE_URI}#${id}`,
							defaultConfiguration: { level: LEVELS[page.severity] },
						})),
					},
				},
				artifacts: files.map((uri) => ({ location: { uri } })),
				results: findings.map(({ id, severity, objects, reason, consequence, advice }) => ({
					ruleId: id,
					ruleIndex: ids.indexOf(id),
					level: LEVELS[severity],
					message: { text: `${reason}. ${consequence} ${advice}` },
					locations: [
						{
							physicalLocation: { artifactLocation: { uri: files[0] ?? 'rules' } },
							logicalLocations: objects.map(({ kind, text }) => ({
								kind,
								fullyQualifiedName: text,
							})),
						},
					],
				})),
			},
		],
	};
}
