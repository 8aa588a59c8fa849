/**
 * docs/counters.md: each counter of /proc/net/xfrm_stat, what it tells a person (the table of
 * packages/explain/src/counters.ts), the places of our code where it goes up, and a packet of the golden files that
 * a kernel raised it for.
 */
import { basename } from 'node:path';
import { COUNTERS } from '@xfrm/explain';
import { goldenFolder, readLines, readProfiles } from '../test/golden/golden-files.ts';
import type { VectorCase, VectorStep } from '../test/golden/vector-case.ts';
import { type ConformanceRecord, placeName } from './conformance-runs.ts';
import { counterNames } from './counter-raises.ts';
import type { TaggedCode } from './spec-tags.ts';

/** Counters of Linux that nothing here can raise, each with the reason. */
const NEVER: Readonly<Record<string, string>> = {
	XfrmInError:
		'Linux counts it when memory for the sec path is short; ours is part of the packet buffer.',
	XfrmInPolError:
		'Linux counts it when a security module refuses, or memory is short: there is neither here.',
	XfrmOutBundleCheckError:
		'Linux counts it when a route changes between lookup and output; here both are one call.',
	XfrmOutPolDead: 'No kernel counts it: it has been there, without use, since 2.6.',
};

/** Octets of a packet that are printed at most. */
const PACKET_OCTETS_MAX = 100;

interface Example {
	readonly file: string;
	readonly id: string;
	/** From 1. */
	readonly step: number;
	readonly at: string;
	readonly packet: string;
}

/** The packet of a step that raised exactly this counter, and nothing else. */
function exampleOf(step: VectorStep, counter: string): { at: string; packet: string } | undefined {
	const { packet, at, expect } = step;
	const raised = Object.keys(expect.stat ?? {});
	return packet === undefined || raised.length !== 1 || raised[0] !== counter
		? undefined
		: { at: at ?? 'wan', packet };
}

/** For each counter the shortest packet of the golden files that raised it alone. */
function examples(): Map<string, Example> {
	const found = new Map<string, Example>();
	const files = new Set(
		readProfiles()
			.entries.filter(({ kind }) => kind === 'cases')
			.map(({ file }) => file),
	);
	for (const file of files) {
		for (const { id, steps } of readLines<VectorCase>(goldenFolder(), file) ?? []) {
			for (const [i, step] of steps.entries()) {
				for (const counter of Object.keys(step.expect.stat ?? {})) {
					const example = exampleOf(step, counter);
					const known = found.get(counter);
					if (example !== undefined && example.packet.length < (known?.packet.length ?? Infinity)) {
						found.set(counter, { file, id, step: i + 1, ...example });
					}
				}
			}
		}
	}
	return found;
}

/** Who reached a place: kernels' suites, else a test. */
function reachedBy(place: TaggedCode, record: ConformanceRecord): string {
	const name = placeName(place);
	const suites = Object.keys(record.suites).filter((suite) => record.suites[suite]?.includes(name));
	if (suites.length > 0) {
		return suites.join(', ');
	}
	const test = Object.keys(record.raises).find((file) => record.raises[file]?.includes(name));
	return test === undefined ? 'no test' : `[${basename(test)}](../${test})`;
}

function exampleLines(example: Example | undefined): string[] {
	if (example === undefined) {
		return [];
	}
	const { file, id, step, at, packet } = example;
	const octets = packet.length / 2;
	const shown =
		octets > PACKET_OCTETS_MAX
			? `${packet.slice(0, 2 * PACKET_OCTETS_MAX)}… (${octets} octets)`
			: packet;
	const how = at === 'local' ? 'sent by the host itself' : `arriving at ${at}`;
	return [`A packet: step ${step} of \`${id}\` (golden/${file}), ${how}:`, '', `    ${shown}`, ''];
}

function section(
	counter: string,
	places: readonly TaggedCode[],
	record: ConformanceRecord,
	example: Example | undefined,
): string[] {
	const meaning = COUNTERS[counter];
	const lines = [`## ${counter}`, ''];
	if (meaning !== undefined) {
		const { means, cause, next } = meaning;
		lines.push(`${means[0]?.toUpperCase()}${means.slice(1)}. Usually: ${cause}. ${next}`, '');
	}
	const never = NEVER[counter];
	if (never !== undefined) {
		lines.push(`Never raised here. ${never}`, '');
	}
	if (places.length > 0) {
		lines.push('| raised in | function | reached by |', '| --- | --- | --- |');
		for (const place of places) {
			const link = `[${basename(place.file)}](../${place.file}#L${place.line})`;
			const [name = ''] = place.name.split(' ');
			lines.push(`| ${link} | \`${name}\` | ${reachedBy(place, record)} |`);
		}
		lines.push('');
	}
	return [...lines, ...exampleLines(example)];
}

/** The page; counters that have neither code nor a reason; places that nothing has reached. */
export function renderCounters(
	raises: readonly TaggedCode[],
	record: ConformanceRecord,
): { page: string; problems: string[]; unreached: string[] } {
	const packets = examples();
	const problems: string[] = [];
	const unreached: string[] = [];
	const lines = [
		'# Counters',
		'',
		'The counters of /proc/net/xfrm_stat: what they tell, where our code raises them, and a packet that a kernel',
		'raised them for. Generated by `npm run conformance`; "reached by" is what ran a place: the golden files of',
		'kernels, a live kernel beside, or else a test.',
		'',
	];
	for (const counter of counterNames) {
		const places = raises.filter(({ items }) => items.includes(counter));
		lines.push(...section(counter, places, record, packets.get(counter)));
		if (places.length === 0 && NEVER[counter] === undefined) {
			problems.push(`${counter}: no code raises it, and tools/counters-page.ts does not say why`);
		}
		for (const place of places.filter((one) => reachedBy(one, record) === 'no test')) {
			unreached.push(`${placeName(place)}: no test and no golden case reaches it`);
		}
	}
	return { page: `${lines.join('\n').trimEnd()}\n`, problems, unreached };
}
