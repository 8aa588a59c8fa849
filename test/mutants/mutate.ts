/**
 * Puts all mutants of a module into one text: where `a < b` stood, `(mutant(7) ? (a <= b) : (a < b))` stands, so
 * that one process loads it once and switches a mutant on by its number.
 *
 * Mutated are operators and constants inside of functions, and conditions are turned round. Left alone: what
 * a module computes when it is loaded; what stands behind `??` where the compiler only wants a value that is
 * never missing; strings; assignments' left sides.
 */
import ts from 'typescript';

export interface Mutant {
	/** From 0. */
	readonly number: number;
	/** Function, text, what it becomes: the same as long as the code is. */
	readonly id: string;
	/** From 1. */
	readonly line: number;
}

const { SyntaxKind: Kind } = ts;

/** What an operator is replaced by. */
const OPERATORS: ReadonlyMap<ts.SyntaxKind, readonly string[]> = new Map([
	[Kind.PlusToken, ['-']],
	[Kind.MinusToken, ['+']],
	[Kind.AsteriskToken, ['/']],
	[Kind.SlashToken, ['*']],
	[Kind.PercentToken, ['*']],
	[Kind.LessThanToken, ['<=', '>=']],
	[Kind.LessThanEqualsToken, ['<', '>']],
	[Kind.GreaterThanToken, ['>=', '<=']],
	[Kind.GreaterThanEqualsToken, ['>', '<']],
	[Kind.EqualsEqualsEqualsToken, ['!==']],
	[Kind.ExclamationEqualsEqualsToken, ['===']],
	[Kind.AmpersandAmpersandToken, ['||']],
	[Kind.BarBarToken, ['&&']],
	[Kind.AmpersandToken, ['|']],
	[Kind.BarToken, ['&']],
	[Kind.CaretToken, ['&']],
	[Kind.LessThanLessThanToken, ['>>']],
	[Kind.GreaterThanGreaterThanToken, ['<<']],
	[Kind.GreaterThanGreaterThanGreaterThanToken, ['<<']],
]);

/** What an assigning operator is replaced by. */
const ASSIGNMENTS: ReadonlyMap<ts.SyntaxKind, string> = new Map([
	[Kind.PlusEqualsToken, '-='],
	[Kind.MinusEqualsToken, '+='],
	[Kind.BarEqualsToken, '&='],
	[Kind.AmpersandEqualsToken, '|='],
]);

/** Constants by name: members of objects like `Verdict`, whose names begin large. */
function isNamedConstant(node: ts.Node): node is ts.PropertyAccessExpression {
	return (
		ts.isPropertyAccessExpression(node) &&
		ts.isIdentifier(node.expression) &&
		/^[A-Z][a-z]/.test(node.expression.text) &&
		/^[A-Z]/.test(node.name.text) &&
		!(ts.isCallExpression(node.parent) && node.parent.expression === node)
	);
}

class Mutation {
	readonly mutants: Mutant[] = [];
	readonly #source: ts.SourceFile;
	readonly #used: Map<string, number> = new Map();

	constructor(source: ts.SourceFile) {
		this.#source = source;
	}

	/** The module's text with its mutants in it. */
	text(): string {
		return this.#rewrite(this.#source, '', false);
	}

	/** A node's text, its parts rewritten. */
	#rewrite(node: ts.Node, name: string, inside: boolean): string {
		const around = ts.isFunctionLike(node) ? `${name}.${nameOf(node)}` : name;
		const within = inside || ts.isFunctionLike(node);
		let text = '';
		let at = node.getFullStart();
		ts.forEachChild(node, (child) => {
			text += this.#source.text.slice(at, child.getFullStart());
			text += this.#child(child, around, within);
			at = child.end;
		});
		return text + this.#source.text.slice(at, node.end);
	}

	#child(node: ts.Node, name: string, inside: boolean): string {
		if (ts.isTypeNode(node) || (!inside && ts.isEnumDeclaration(node))) {
			return node.getFullText();
		}
		const rest = this.#rewrite(node, name, inside);
		const changes = inside && ts.isExpression(node) ? this.#changesOf(node) : [];
		const lead = rest.slice(0, node.getStart() - node.getFullStart());
		let result = rest.slice(lead.length);
		for (const changed of changes) {
			result = `(mutant(${this.#add(node, name, changed)}) ? (${changed}) : (${result}))`;
		}
		return lead + result;
	}

	#changesOf(node: ts.Expression): string[] {
		if (isLeftAlone(node)) {
			return [];
		}
		const text = node.getText();
		if (ts.isNumericLiteral(node)) {
			return [text === '1' ? '0' : `${text} + 1`];
		}
		if (node.kind === Kind.TrueKeyword || node.kind === Kind.FalseKeyword) {
			return [`!${text}`];
		}
		if (isNamedConstant(node)) {
			return [`otherThan(${text})`];
		}
		if (ts.isPrefixUnaryExpression(node)) {
			return this.#prefixChanges(node);
		}
		if (ts.isPostfixUnaryExpression(node)) {
			const operator = node.operator === Kind.PlusPlusToken ? '--' : '++';
			return [`${node.operand.getText()}${operator}`];
		}
		return ts.isBinaryExpression(node) ? this.#binaryChanges(node) : [];
	}

	#prefixChanges(node: ts.PrefixUnaryExpression): string[] {
		const operand = node.operand.getText();
		switch (node.operator) {
			case Kind.ExclamationToken:
			case Kind.TildeToken:
			case Kind.MinusToken:
				return [operand];
			case Kind.PlusPlusToken:
				return [`--${operand}`];
			case Kind.MinusMinusToken:
				return [`++${operand}`];
			default:
				return [];
		}
	}

	#binaryChanges({ left, operatorToken, right }: ts.BinaryExpression): string[] {
		const assigned = ASSIGNMENTS.get(operatorToken.kind);
		if (assigned !== undefined) {
			return [`${left.getText()} ${assigned} ${right.getText()}`];
		}
		return (OPERATORS.get(operatorToken.kind) ?? []).map(
			(operator) => `(${left.getText()}) ${operator} (${right.getText()})`,
		);
	}

	#add(node: ts.Node, name: string, changed: string): number {
		const id = `${name.slice(1)}: ${oneLine(node.getText())} → ${oneLine(changed)}`;
		const times = (this.#used.get(id) ?? 0) + 1;
		this.#used.set(id, times);
		const number = this.mutants.length;
		const line = this.#source.getLineAndCharacterOfPosition(node.getStart()).line + 1;
		this.mutants.push({ number, id: times === 1 ? id : `${id} (${times})`, line });
		return number;
	}
}

function oneLine(text: string): string {
	return text.replaceAll(/\s+/g, ' ');
}

function nameOf(node: ts.Node): string {
	const named = ts.isArrowFunction(node) ? node.parent : node;
	return 'name' in named && named.name !== undefined ? (named.name as ts.Node).getText() : '=>';
}

function isLeftAlone(node: ts.Expression): boolean {
	const { parent } = node;
	if (ts.isBinaryExpression(parent)) {
		const { kind } = parent.operatorToken;
		const assigns = kind >= Kind.FirstAssignment && kind <= Kind.LastAssignment;
		return kind === Kind.QuestionQuestionToken
			? parent.right === node
			: assigns && parent.left === node;
	}
	// A property's name, a part of a type.
	return ts.isPropertyAssignment(parent) && parent.name === node;
}

const HEAD = [
	"const { mutant, otherThan } = globalThis[Symbol.for('xfrm.mutants')];",
	'// One line, so that the lines below stay what they are.',
].join(' ');

/** JavaScript of a TypeScript module with all its mutants, and what they are. */
export function mutate(path: string, text: string): { code: string; mutants: readonly Mutant[] } {
	const source = ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true);
	const mutation = new Mutation(source);
	const mutated = mutation.text();
	const { outputText } = ts.transpileModule(mutated, {
		compilerOptions: {
			module: ts.ModuleKind.ESNext,
			target: ts.ScriptTarget.ES2023,
			verbatimModuleSyntax: true,
		},
	});
	return { code: `${HEAD}\n${outputText}`, mutants: mutation.mutants };
}
