/**
 * Where the counters of /proc/net/xfrm_stat go up in our code: every place that names a `Verdict` of Linux's
 * to answer with it, to count it, or to keep it for later. Comparisons and the tracer's calls are left out.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { COUNTER_COUNT, Verdict } from '@xfrm/engine';
import ts from 'typescript';
import { isTestCode, nameOf, root, type TaggedCode } from './spec-tags.ts';

const ROOMS = /^packages\/(?:engine|host)\/src\//;
/** `verdict.ts` is the list itself; a rehearsal tells what would happen and counts nothing. */
const LEFT_OUT = /\/(?:verdict|rehearsal)\.ts$/;

/** Counters by name, in Linux's order. */
export const counterNames: readonly string[] = Object.entries(Verdict)
	.filter(([, value]) => value >= 1 && value <= COUNTER_COUNT)
	.sort(([, one], [, other]) => one - other)
	.map(([name]) => `Xfrm${name}`);

function isAsked(node: ts.Node): boolean {
	const { parent } = node;
	if (ts.isCaseClause(parent)) {
		return true;
	}
	if (ts.isCallExpression(parent)) {
		return parent.expression.getText() === 'traceVerdict';
	}
	return (
		ts.isBinaryExpression(parent) &&
		[ts.SyntaxKind.EqualsEqualsEqualsToken, ts.SyntaxKind.ExclamationEqualsEqualsToken].includes(
			parent.operatorToken.kind,
		)
	);
}

/** The places of a file, each with its counter as its only item; several in one function are numbered. */
export function readRaises(file: string): TaggedCode[] {
	if (!ROOMS.test(file) || LEFT_OUT.test(file) || isTestCode(file)) {
		return [];
	}
	const text = readFileSync(join(root, file), 'utf8');
	const source = ts.createSourceFile(file, text, ts.ScriptTarget.ES2023, true);
	const starts = source.getLineStarts();
	const found: TaggedCode[] = [];
	const visit = (node: ts.Node): void => {
		ts.forEachChild(node, visit);
		if (!ts.isPropertyAccessExpression(node) || node.expression.getText() !== 'Verdict') {
			return;
		}
		const counter = `Xfrm${node.name.text}`;
		if (!counterNames.includes(counter) || isAsked(node)) {
			return;
		}
		const base = `${nameOf(node.parent)} ${counter}`;
		const before = found.filter(({ name }) => name.startsWith(base)).length;
		found.push({
			file,
			name: before === 0 ? base : `${base} ${before + 1}`,
			items: [counter],
			line: source.getLineAndCharacterOfPosition(node.getStart()).line + 1,
			typeOnly: false,
			ran: (points) =>
				points.some(({ line, column, ran }) => {
					const offset = ran ? (starts[line] ?? -1) + column : -1;
					return node.getStart() <= offset && offset < node.end;
				}),
		});
	};
	visit(source);
	return found;
}
