/** Module hooks of a process that tries mutants: the target is loaded mutated, `node:test` is the recorder. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { mutate } from './mutate.ts';

let target = '';

export function initialize(data: { readonly target: string }): void {
	target = data.target;
}

interface Resolved {
	readonly url: string;
	readonly shortCircuit?: boolean;
}

type Next<T> = (specifier: string, context: unknown) => Promise<T>;

export async function resolve(
	specifier: string,
	context: unknown,
	next: Next<Resolved>,
): Promise<Resolved> {
	return specifier === 'node:test'
		? { url: new URL('./recorded-tests.ts', import.meta.url).href, shortCircuit: true }
		: next(specifier, context);
}

export async function load(url: string, context: unknown, next: Next<unknown>): Promise<unknown> {
	if (url.split('?')[0] !== target) {
		return next(url, context);
	}
	const path = fileURLToPath(target);
	const { code } = mutate(path, readFileSync(path, 'utf8'));
	return { format: 'module', source: code, shortCircuit: true };
}
