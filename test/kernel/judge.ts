/** Judges the engine by a kernel's answers, with and without a tracer. */
import { type Available, linux61 } from '@xfrm/engine';
import { type AvailableText, availableOf, readProfiles } from '../golden/golden-files.ts';
import type { VectorCase } from '../golden/vector-case.ts';
import { type CaseResult, runVectorCase } from '../golden/vector-runner.ts';
import type { Seen } from './coverage.ts';

const available: Available = availableOf(availableText());

function availableText(): AvailableText {
	const text = readProfiles().available['uml61'];
	if (text === undefined) {
		throw new RangeError('golden/profiles.json says nothing of uml61');
	}
	return text;
}

/**
 * Undefined when everything agrees.
 *
 * @param seen takes what the engine was seen to do; without it the case runs without a tracer, as live
 *   traffic does
 */
export function judge(answer: VectorCase, seen?: Seen): CaseResult {
	try {
		return runVectorCase(answer, linux61, available, false, seen?.tracer);
	} catch (error) {
		const have = error instanceof Error ? (error.stack ?? error.message) : String(error);
		return { field: 'exception', want: 'none', have };
	}
}
