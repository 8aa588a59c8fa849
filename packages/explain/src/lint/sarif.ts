/** Findings as SARIF 2.1.0 (OASIS), for CI systems that show results beside the lines of a change. */
import type { Finding, LintObject, Severity } from './finding.ts';
import { PAGES } from './pages.ts';

const LEVELS: Readonly<Record<Severity, string>> = {
	error: 'error',
	warning: 'warning',
	info: 'note',
};
const PAGE = 'docs/lint.md';

/**
 * The log of one run.
 *
 * @param files that were looked over; what has no line of its own is about the first of them
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
							properties: { page: `${PAGE}#${id}` },
							defaultConfiguration: { level: LEVELS[page.severity] },
						})),
					},
				},
				artifacts: files.map((file) => ({ location: { uri: encodeURI(file) } })),
				results: findings.map((finding) => ({
					ruleId: finding.id,
					ruleIndex: ids.indexOf(finding.id),
					level: LEVELS[finding.severity],
					message: { text: `${finding.reason}. ${finding.consequence} ${finding.advice}` },
					...placesOf(finding, files),
				})),
			},
		],
	};
}

/** The line of the first object that has one; those of the others are related. */
function placesOf(
	{ objects }: Finding,
	files: readonly string[],
): Readonly<Record<string, unknown>> {
	const logicalLocations = objects.map(({ kind, text }) => ({ kind, fullyQualifiedName: text }));
	const [first, ...others] = objects.filter(({ file }) => file !== undefined);
	const primary =
		first === undefined
			? { artifactLocation: { uri: encodeURI(files[0] ?? 'rules') } }
			: physicalOf(first);
	const related = others.map((object, id) => ({
		id,
		message: { text: object.text },
		physicalLocation: physicalOf(object),
	}));
	return {
		locations: [{ physicalLocation: primary, logicalLocations }],
		...(related.length === 0 ? {} : { relatedLocations: related }),
	};
}

function physicalOf({ file, line, last_line }: LintObject): Readonly<Record<string, unknown>> {
	return {
		artifactLocation: { uri: encodeURI(file ?? '') },
		region: { startLine: line, endLine: last_line },
	};
}
