/** Judges the engine by a kernel's answers, with and without a tracer. */
import { type Available, type KernelProfile, linux61 } from '@xfrm/engine';
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

/** A kernel that cases are put to, and what the engine has to know to follow it. */
export interface JudgedKernel {
	readonly profile: KernelProfile;
	readonly available: Available;
}

/** Debian's user-mode Linux. */
export const GUEST_KERNEL: JudgedKernel = { profile: linux61, available };

/**
 * Undefined when everything agrees.
 *
 * @param seen takes what the engine was seen to do; without it the case runs without a tracer, as live
 *   traffic does
 */
export function judge(answer: VectorCase, kernel: JudgedKernel, seen?: Seen): CaseResult {
	try {
		const tracer = seen === undefined ? {} : { tracer: seen.tracer };
		const options = { sameKernel: true, ...tracer };
		return runVectorCase(answer, kernel.profile, kernel.available, false, options);
	} catch (error) {
		const have = error instanceof Error ? (error.stack ?? error.message) : String(error);
		return { field: 'exception', want: 'none', have };
	}
}
