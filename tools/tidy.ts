/**
 * The house rules that a machine can check: arrows, sizes, names, dead files, banned words, links.
 * Runs as a test and as `npm run tidy`; prints a line a finding and exits 1 when there is one.
 *
 * What may be longer than the rule says stands in tidy-ratchet.json with its present size, which may
 * only fall. Taste is not checked here.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const root: string = fileURLToPath(new URL('../', import.meta.url));

/** Level and allowed imports of every room (ARCHITECTURE.md has the same table for people). */
const rooms: Readonly<Record<string, { level: number; imports: readonly string[] }>> = {
	wire: { level: 0, imports: [] },
	crypto: { level: 0, imports: [] },
	engine: { level: 1, imports: ['wire', 'crypto'] },
	netlink: { level: 1, imports: ['wire'] },
	host: { level: 2, imports: ['engine', 'wire'] },
	'netlink-server': { level: 2, imports: ['engine', 'netlink', 'wire', 'crypto'] },
	iproute: { level: 2, imports: ['netlink', 'wire', 'crypto'] },
	explain: {
		level: 3,
		imports: ['host', 'engine', 'netlink-server', 'netlink', 'iproute', 'wire', 'crypto'],
	},
	sim: {
		level: 4,
		imports: ['explain', 'host', 'engine', 'netlink-server', 'netlink', 'wire', 'crypto'],
	},
	linux: {
		level: 4,
		imports: [
			'explain',
			'host',
			'engine',
			'netlink-server',
			'iproute',
			'netlink',
			'wire',
			'crypto',
		],
	},
	cli: {
		level: 5,
		imports: [
			'linux',
			'explain',
			'host',
			'engine',
			'netlink-server',
			'netlink',
			'iproute',
			'wire',
			'crypto',
		],
	},
};

/** Of crypto, these rooms may see names and interfaces, never a provider. */
const cryptoEntries: Readonly<Record<string, readonly string[]>> = {
	engine: ['algorithms', 'provider'],
	'netlink-server': ['algorithms'],
	iproute: ['algorithms'],
	explain: ['algorithms', 'provider'],
	sim: ['provider'],
};

const FILE_LINES_MAX = 600;
const FUNCTION_LINES_MAX = 70;
const README_LINES_MAX = 60;
/** The formatter breaks code at 100; comments and what it can't break get some slack. */
const COLUMNS_MAX = 120;

const bannedNames = /^(utils?|helpers?|common|types|misc)\.(test\.)?ts$/;
const bannedWords = /\b(TODO|FIXME|XXX)\b|["'`( ]\/(home|root|work)\//;
const impurities: readonly [RegExp, string][] = [
	[/\bDate\.now\b|\bnew Date\b|\bperformance\.now\b/, 'takes the time as an argument instead'],
	[/\bMath\.random\b/, 'takes random octets as an option instead'],
	[/\bBuffer\b(?!\.ts)/, 'uses Uint8Array instead'],
];

const findings: string[] = [];

function report(path: string, line: number | undefined, text: string): void {
	const place = relative(root, path).split(sep).join('/');
	findings.push(line === undefined ? `${place}: ${text}` : `${place}:${line}: ${text}`);
}

function* walk(folder: string): Generator<string> {
	for (const entry of readdirSync(folder, { withFileTypes: true })) {
		if (['node_modules', 'dist', '.git', '.cache'].includes(entry.name)) {
			continue;
		}
		const path = join(folder, entry.name);
		if (entry.isDirectory()) {
			yield* walk(path);
		} else {
			yield path;
		}
	}
}

function isTest(path: string): boolean {
	return /\.test\.ts$/.test(path) || relative(root, path).startsWith(`test${sep}`);
}

/** The package a file belongs to, if any. */
function roomOf(path: string): string | undefined {
	const parts = relative(root, path).split(sep);
	return parts[0] === 'packages' ? parts[1] : undefined;
}

function lineOf(source: ts.SourceFile, node: ts.Node): number {
	return source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1;
}

/** Everything a module imports or re-exports, with its line. */
function importsOf(source: ts.SourceFile): [string, number][] {
	const found: [string, number][] = [];
	const visit = (node: ts.Node): void => {
		if (
			(ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) &&
			node.moduleSpecifier !== undefined &&
			ts.isStringLiteral(node.moduleSpecifier)
		) {
			found.push([node.moduleSpecifier.text, lineOf(source, node)]);
		} else if (
			ts.isCallExpression(node) &&
			node.expression.kind === ts.SyntaxKind.ImportKeyword &&
			node.arguments[0] !== undefined &&
			ts.isStringLiteral(node.arguments[0])
		) {
			found.push([node.arguments[0].text, lineOf(source, node)]);
		}
		ts.forEachChild(node, visit);
	};
	visit(source);
	return found;
}

function checkArrow(path: string, room: string, specifier: string, line: number): void {
	const [, target = '', entry = ''] = /^@xfrm\/([^/]+)\/?(.*)$/.exec(specifier) ?? [];
	if (target === '') {
		const reached = specifier.startsWith('.')
			? roomOf(resolve(dirname(path), specifier))
			: undefined;
		if (reached !== undefined && reached !== room && !isTest(path)) {
			report(path, line, `reaches into ${reached}; import @xfrm/${reached} instead`);
		}
		return;
	}
	if (!(rooms[room]?.imports ?? []).includes(target)) {
		report(path, line, `${room} may not import ${target}: arrows go downward only`);
		return;
	}
	const allowed = cryptoEntries[room];
	if (target === 'crypto' && allowed !== undefined && !isTest(path) && !allowed.includes(entry)) {
		report(path, line, `${room} may import only ${allowed.join(', ')} of crypto`);
	}
}

/** `dependencies`, `references` and what the code imports have to say the same. */
function checkManifest(room: string, imported: ReadonlySet<string>): void {
	const folder = join(root, 'packages', room);
	const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
		dependencies?: Record<string, string>;
	};
	const settings = JSON.parse(readFileSync(join(folder, 'tsconfig.json'), 'utf8')) as {
		references?: { path: string }[];
	};
	const declared = Object.keys(manifest.dependencies ?? {})
		.filter((name) => name.startsWith('@xfrm/'))
		.map((name) => name.slice(6));
	const referenced = (settings.references ?? []).map(
		({ path }) => /^\.\.\/([^/]+)/.exec(path)?.[1] ?? path,
	);
	for (const name of imported) {
		if (!declared.includes(name)) {
			report(join(folder, 'package.json'), undefined, `lacks the dependency @xfrm/${name}`);
		}
		if (!referenced.includes(name)) {
			report(join(folder, 'tsconfig.json'), undefined, `lacks the reference ../${name}`);
		}
	}
	for (const name of new Set([...declared, ...referenced])) {
		if (!imported.has(name)) {
			report(join(folder, 'package.json'), undefined, `names ${name}, which no file imports`);
		}
	}
}

const ratchetPath: string = join(root, 'tools', 'tidy-ratchet.json');
const ratchet = JSON.parse(readFileSync(ratchetPath, 'utf8')) as Record<string, number>;
const ratchetUsed = new Set<string>();

/** A size over the limit is a finding unless the ratchet knows it at this size or larger. */
function checkSize(path: string, name: string, lines: number, limit: number, line?: number): void {
	if (lines <= limit) {
		return;
	}
	const key = `${relative(root, path).split(sep).join('/')}#${name}`;
	ratchetUsed.add(key);
	const known = ratchet[key];
	if (known === undefined || lines > known) {
		report(path, line, `${name} has ${lines} lines, more than ${known ?? limit}`);
	} else if (lines < known) {
		report(path, line, `${name} has ${lines} lines now: lower its ${known} in tidy-ratchet.json`);
	}
}

function functionName(node: ts.Node): string | undefined {
	if (
		ts.isFunctionDeclaration(node) ||
		ts.isMethodDeclaration(node) ||
		ts.isConstructorDeclaration(node) ||
		ts.isFunctionExpression(node) ||
		ts.isArrowFunction(node)
	) {
		const named = 'name' in node && node.name !== undefined ? node.name.getText() : undefined;
		return named ?? (ts.isConstructorDeclaration(node) ? 'constructor' : 'function');
	}
	return undefined;
}

/** Rules for the inside of one module. */
function checkSource(path: string, source: ts.SourceFile, text: string): void {
	const hot = /^ \* @hotpath$/m.test(text) && !isTest(path);
	const test = isTest(path);
	const visit = (node: ts.Node): void => {
		const name = functionName(node);
		if (name !== undefined && !test) {
			const from = source.getLineAndCharacterOfPosition(node.getStart(source)).line;
			const to = source.getLineAndCharacterOfPosition(node.getEnd()).line;
			checkSize(path, name, to - from + 1, FUNCTION_LINES_MAX, from + 1);
		}
		if (ts.isExportAssignment(node)) {
			report(path, lineOf(source, node), 'has a default export');
		}
		if (node.kind === ts.SyntaxKind.AnyKeyword) {
			report(path, lineOf(source, node), 'says any');
		}
		if (hot) {
			const word = hotSin(node);
			if (word !== undefined) {
				report(path, lineOf(source, node), `${word} in a file tagged @hotpath`);
			}
		}
		ts.forEachChild(node, visit);
	};
	visit(source);
}

/** What a packet-path file must not hold. */
function hotSin(node: ts.Node): string | undefined {
	switch (node.kind) {
		case ts.SyntaxKind.SpreadElement:
		case ts.SyntaxKind.SpreadAssignment:
			return 'spread';
		case ts.SyntaxKind.ArrowFunction:
		case ts.SyntaxKind.FunctionExpression:
			return 'closure';
		case ts.SyntaxKind.ThrowStatement:
			return 'throw';
		case ts.SyntaxKind.TryStatement:
			return 'try';
		case ts.SyntaxKind.BigIntLiteral:
			return 'bigint';
		default:
			return undefined;
	}
}

/** A string or regular expression alone on its line: nothing can break it. */
function isOneLiteral(line: string): boolean {
	return /^\s*(['"`/]).*\1[a-z]*[,;)]*$/.test(line);
}

function checkText(path: string, text: string): void {
	const lines = text.split('\n');
	for (const [i, line] of lines.entries()) {
		if (bannedWords.test(line) && !path.endsWith('tidy.ts')) {
			report(path, i + 1, `says "${bannedWords.exec(line)?.[0]}"`);
		}
		const columns = line.replaceAll('\t', '  ').length;
		if (path.endsWith('.ts') && columns > COLUMNS_MAX && !isOneLiteral(line)) {
			report(path, i + 1, `is ${columns} columns wide`);
		}
	}
}

function checkPurity(path: string, room: string | undefined, text: string): void {
	const impure =
		room === undefined || room === 'cli' || room === 'linux' || path.includes(`${sep}node${sep}`);
	if (impure || isTest(path)) {
		return;
	}
	const code = text.replaceAll(/\/\*[\s\S]*?\*\//g, (comment) => comment.replaceAll(/[^\n]/g, ' '));
	for (const [i, line] of code.split('\n').entries()) {
		for (const [pattern, instead] of impurities) {
			if (pattern.test(line.replace(/\/\/.*$/, ''))) {
				report(path, i + 1, `uses ${pattern.exec(line)?.[0]}; a pure package ${instead}`);
			}
		}
	}
}

/** Files that no entry, test or tool reaches. */
function checkDead(modules: ReadonlyMap<string, readonly string[]>): void {
	const reached = new Set<string>();
	const queue: string[] = [];
	for (const room of Object.keys(rooms)) {
		const manifest = JSON.parse(
			readFileSync(join(root, 'packages', room, 'package.json'), 'utf8'),
		) as { exports?: Record<string, unknown>; bin?: unknown };
		for (const entry of Object.values(manifest.exports ?? {})) {
			if (typeof entry === 'object' && entry !== null && '@xfrm/source' in entry) {
				queue.push(resolve(root, 'packages', room, String(entry['@xfrm/source'])));
			}
		}
		queue.push(join(root, 'packages', room, 'src', 'main.ts'));
	}
	while (queue.length > 0) {
		const path = queue.pop() ?? '';
		if (!reached.has(path)) {
			reached.add(path);
			queue.push(...(modules.get(path) ?? []));
		}
	}
	for (const path of modules.keys()) {
		if (roomOf(path) !== undefined && !isTest(path) && !reached.has(path)) {
			report(path, undefined, 'is reached by no entry of its package');
		}
	}
}

function checkLinks(path: string, text: string): void {
	for (const [i, line] of text.split('\n').entries()) {
		for (const [, target = ''] of line.matchAll(/\]\(([^)\s]+)\)/g)) {
			const file = target.split('#')[0] ?? '';
			if (/^[a-z]+:/.test(target) || file === '') {
				continue;
			}
			if (!existsSync(resolve(dirname(path), file))) {
				report(path, i + 1, `links to ${target}, which is not there`);
			}
		}
	}
}

function checkMarkdown(path: string, text: string): void {
	checkLinks(path, text);
	if (
		roomOf(path) !== undefined &&
		path.endsWith('README.md') &&
		dirname(path).endsWith(roomOf(path) ?? '')
	) {
		checkSize(path, 'README', text.split('\n').length - 1, README_LINES_MAX);
	}
}

/** One TypeScript file: returns the modules of the project it imports. */
function checkModule(path: string, text: string, imported: Map<string, Set<string>>): string[] {
	const room = roomOf(path);
	const name = path.split(sep).at(-1) ?? '';
	if (bannedNames.test(name) || !/^[a-z0-9]+(-[a-z0-9]+)*(\.isolated)?(\.test)?\.ts$/.test(name)) {
		report(path, undefined, 'is not a kebab-case noun of the domain');
	}
	checkSize(path, 'file', text.split('\n').length - 1, isTest(path) ? 1000 : FILE_LINES_MAX);
	const source = ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true);
	checkSource(path, source, text);
	checkPurity(path, room, text);
	const links: string[] = [];
	for (const [specifier, line] of importsOf(source)) {
		if (room !== undefined) {
			checkArrow(path, room, specifier, line);
			const target = /^@xfrm\/([^/]+)/.exec(specifier)?.[1];
			if (target !== undefined && target !== room && !isTest(path)) {
				imported.set(room, (imported.get(room) ?? new Set()).add(target));
			}
		}
		if (specifier.startsWith('.')) {
			links.push(resolve(dirname(path), specifier));
		}
	}
	return links;
}

const modules = new Map<string, readonly string[]>();
const imported = new Map<string, Set<string>>();
for (const path of walk(root)) {
	const size = statSync(path).size;
	if (size > 2_000_000 && !path.includes(`${sep}golden${sep}`)) {
		report(path, undefined, `has ${size} octets: too big for the repository`);
		continue;
	}
	if (!/\.(ts|md|mjs|js|json)$/.test(path) || /(package-lock|vectors\/.*)\.json$/.test(path)) {
		continue;
	}
	const text = readFileSync(path, 'utf8');
	checkText(path, text);
	if (path.endsWith('.md')) {
		checkMarkdown(path, text);
	} else if (path.endsWith('.ts')) {
		modules.set(path, checkModule(path, text, imported));
	}
}
for (const room of readdirSync(join(root, 'packages'))) {
	if (rooms[room] === undefined) {
		report(join(root, 'packages', room), undefined, 'is a room that tools/tidy.ts does not know');
	}
}
for (const room of Object.keys(rooms)) {
	checkManifest(room, imported.get(room) ?? new Set());
}
checkDead(modules);
for (const key of Object.keys(ratchet)) {
	if (!ratchetUsed.has(key)) {
		report(ratchetPath, undefined, `${key} is within its limit or gone: remove the line`);
	}
}
process.stdout.write(
	findings.length === 0 ? 'tidy: nothing found\n' : `${findings.sort().join('\n')}\n`,
);
process.exitCode = findings.length === 0 ? 0 : 1;
