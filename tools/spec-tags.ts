/**
 * The checklist and its tags: items of docs/linux-xfrm.md, and every `@spec` of the sources with the piece
 * of code that it stands above, so that coverage can tell whether that piece ran.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import type { CodePoint } from './line-coverage.ts';

export const root: string = fileURLToPath(new URL('../', import.meta.url));

export interface Item {
	readonly id: string;
	readonly title: string;
}

/** What a tag stands above. */
export interface TaggedCode {
	/** From the root, with slashes. */
	readonly file: string;
	/** Names of the declarations around it, as `Spd.insert`; `*` for a whole file. */
	readonly name: string;
	readonly items: readonly string[];
	/** 1 for the first. */
	readonly line: number;
	/** Types only: there is nothing to run. */
	readonly typeOnly: boolean;
	/** Did any of its points run? Where it holds functions, a point in one of them. */
	ran(points: readonly CodePoint[]): boolean;
}

/** The sentence of an item cut to a line of a table. */
function titleOf(text: string): string {
	const plain = text.replaceAll(/[*`|]/g, '').replaceAll(/\s+/g, ' ').trim();
	const sentence = /^.{20,}?[.:;](?= |$)/.exec(plain)?.[0] ?? plain;
	return sentence.length > 110 ? `${sentence.slice(0, 107)}…` : sentence;
}

export function readItems(): Item[] {
	const text = readFileSync(join(root, 'docs', 'linux-xfrm.md'), 'utf8');
	return [...text.matchAll(/^- ([A-Z]{1,2}-\d+[a-z]?) (.*)$/gm)].map(([, id = '', rest = '']) => ({
		id,
		title: titleOf(rest),
	}));
}

function* sources(folder: string): Generator<string> {
	for (const entry of readdirSync(folder, { withFileTypes: true })) {
		const path = join(folder, entry.name);
		if (entry.isDirectory()) {
			if (!['node_modules', 'dist'].includes(entry.name)) {
				yield* sources(path);
			}
		} else if (path.endsWith('.ts')) {
			yield path;
		}
	}
}

/** Paths of all sources and tests, from the root. */
export function sourceFiles(): string[] {
	return ['packages', 'test']
		.flatMap((folder) => [...sources(join(root, folder))])
		.map((path) => relative(root, path).split(sep).join('/'))
		.sort();
}

export function isTestCode(file: string): boolean {
	return file.endsWith('.test.ts') || file.startsWith('test/');
}

/** The items that a tag names; what follows a semicolon is for people. */
function itemsOf(tag: string): string[] {
	const list = tag.split(';')[0] ?? '';
	return list.match(/\b[A-Z]{1,2}-\d+[a-z]?\b/g) ?? [];
}

function isFunction(node: ts.Node): boolean {
	return ts.isFunctionLike(node) && 'body' in node && node.body !== undefined;
}

/** The outermost node that the comment at `at` stands in front of; undefined: the whole file. */
function nodeUnder(source: ts.SourceFile, at: number): ts.Node | undefined {
	let around: ts.Node = source;
	for (;;) {
		let inner: ts.Node | undefined;
		ts.forEachChild(around, (child) => {
			inner ??= child.pos <= at && at < child.end ? child : undefined;
		});
		if (inner === undefined) {
			return around === source ? undefined : around;
		}
		if (at < inner.getStart(source)) {
			const comments = ts.getLeadingCommentRanges(source.text, inner.pos) ?? [];
			const isHeader =
				around === source &&
				(ts.isImportDeclaration(inner) ||
					ts.isExportDeclaration(inner) ||
					at < (comments.at(-1)?.pos ?? 0)) &&
				source.statements[0] === inner;
			return isHeader ? undefined : inner;
		}
		around = inner;
	}
}

/** Names of the declarations around a node, from the outermost on. */
export function nameOf(node: ts.Node): string {
	const names: string[] = [];
	for (let at: ts.Node = node; !ts.isSourceFile(at); at = at.parent) {
		const named = ts.isVariableStatement(at) ? at.declarationList.declarations[0] : at;
		const name =
			named !== undefined && 'name' in named ? (named.name as ts.Node | undefined) : undefined;
		if (name !== undefined) {
			names.unshift(name.getText());
		}
	}
	return names.length > 0 ? names.join('.') : '*';
}

/** Extents of the bodies of functions in a node. */
function bodiesOf(node: ts.Node): [number, number][] {
	const found: [number, number][] = [];
	const visit = (at: ts.Node): void => {
		if (isFunction(at)) {
			const { body } = at as ts.FunctionLikeDeclaration;
			found.push([body?.getStart() ?? at.end, at.end]);
		} else {
			ts.forEachChild(at, visit);
		}
	};
	visit(node);
	return found;
}

function tagged(source: ts.SourceFile, file: string, at: number, items: string[]): TaggedCode {
	const node = nodeUnder(source, at) ?? source;
	const bodies = bodiesOf(node);
	const starts = source.getLineStarts();
	const extents = bodies.length > 0 ? bodies : [[node.getStart(source), node.end] as const];
	return {
		file,
		name: nameOf(node),
		items,
		line: source.getLineAndCharacterOfPosition(at).line + 1,
		typeOnly:
			ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node) || ts.isTypeElement(node),
		ran(points) {
			return points.some(({ line, column, ran }) => {
				const offset = ran ? (starts[line] ?? -1) + column : -1;
				return extents.some(([start, end]) => start <= offset && offset < end);
			});
		},
	};
}

/** All tags of a file, in order. */
export function readTags(file: string): TaggedCode[] {
	const text = readFileSync(join(root, file), 'utf8');
	const tags = [...text.matchAll(/@spec (.*)$/gm)];
	if (tags.length === 0) {
		return [];
	}
	const source = ts.createSourceFile(file, text, ts.ScriptTarget.ES2023, true);
	return tags
		.map(({ index, 1: tag = '' }) => tagged(source, file, index, itemsOf(tag)))
		.filter(({ items }) => items.length > 0);
}

/** What a file imports of the project by relative paths, over any number of steps, itself among them. */
export function importsOf(file: string): Set<string> {
	const reached = new Set<string>();
	const queue = [file];
	for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
		// A fixture may quote imports of its own.
		if (reached.has(next) || !existsSync(join(root, next))) {
			continue;
		}
		reached.add(next);
		const text = readFileSync(join(root, next), 'utf8');
		for (const [, specifier = ''] of text.matchAll(/(?:from|import\(?) '(\.[^']+\.ts)'/g)) {
			const path = resolve(root, dirname(next), specifier);
			queue.push(relative(root, path).split(sep).join('/'));
		}
	}
	return reached;
}
