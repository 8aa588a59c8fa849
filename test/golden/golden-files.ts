/**
 * The files with captured cases: where they are, by which kernel profile each is judged and what that
 * kernel had built in (golden/profiles.json), and which cases are complete (golden/complete.json).
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import type { Available, KernelProfile } from '@xfrm/engine';

const own = fileURLToPath(new URL('../../golden/', import.meta.url));

/** How the lines of a file are judged; `later` has no runner yet. */
export type Kind = 'cases' | 'policies' | 'explain' | 'netlink' | 'netlink-raw' | 'later';

export interface AvailableText {
	readonly types: readonly number[];
	readonly modes: readonly number[];
	/** Names of algorithms that the kernel lacked; all others of the table it had. */
	readonly algorithmsMissing: readonly string[];
}

/** One line of golden/profiles.json: a file judged under a profile. */
export interface Entry {
	readonly file: string;
	readonly profile: KernelProfile['name'];
	readonly kind: Kind;
	/** Name of an entry of `available`. */
	readonly available: string;
	/** Printed only: does not decide the exit status. */
	readonly informative?: boolean;
	/** Cases tagged or named so are not judged, each with its reason. */
	readonly unjudged?: Readonly<Record<string, string>>;
}

interface Profiles {
	readonly entries: readonly Entry[];
	readonly available: Readonly<Record<string, AvailableText>>;
}

/** golden/profiles.json. */
export function readProfiles(): Profiles {
	return JSON.parse(readFileSync(join(own, 'profiles.json'), 'utf8')) as Profiles;
}

/** Ids of complete cases by `FILE (PROFILE)`, or "all". */
export function readComplete(): Readonly<Record<string, 'all' | readonly string[]>> {
	return JSON.parse(readFileSync(join(own, 'complete.json'), 'utf8')) as Record<
		string,
		'all' | readonly string[]
	>;
}

/** Writes golden/complete.json anew. */
export function writeComplete(complete: Readonly<Record<string, 'all' | readonly string[]>>): void {
	writeFileSync(join(own, 'complete.json'), `${JSON.stringify(complete, undefined, '\t')}\n`);
}

/** What the engine is told about the kernel that made a file. */
export function availableOf(text: AvailableText): Available {
	const missing = new Set(text.algorithmsMissing);
	return {
		types: new Set(text.types),
		modes: new Set(text.modes),
		algorithm: (_kind, name) => !missing.has(name),
	};
}

/** The lines of a file in the folder, undefined when it is absent. `.jsonl` wins over `.jsonl.gz`. */
export function readLines<T>(folder: string, file: string): T[] | undefined {
	const plain = join(folder, `${file}.jsonl`);
	const packed = `${plain}.gz`;
	let text: string;
	if (existsSync(plain)) {
		text = readFileSync(plain, 'utf8');
	} else if (existsSync(packed)) {
		text = gunzipSync(readFileSync(packed)).toString('utf8');
	} else {
		return undefined;
	}
	return text
		.split('\n')
		.filter((line) => line.trim() !== '')
		.map((line) => JSON.parse(line) as T);
}

/** The folder that GOLDEN_DIR names, or the project's own copy. */
export function goldenFolder(): string {
	const named = process.env['GOLDEN_DIR'];
	return named === undefined || named === '' ? own : named;
}
