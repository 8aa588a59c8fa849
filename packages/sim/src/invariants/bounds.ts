/**
 * Nothing stays behind after a call, and nothing grows: buffers, jobs, events, timers, states.
 */
import type { Machine } from '../machine.ts';
import type { Invariant } from './invariant.ts';

/** Larval and valid ones; the largest scenario stays below half of it. */
const STATES_MAX = 400;
/** Of a state at most two, of a policy two. */
const TIMERS_PER_OBJECT = 2;
/** Taken events may stay in the queue for a while (the engine tidies up now and then). */
const EVENTS_MAX = 2048;

/** Does the engine hold a packet that it was lent? */
function heldBuffer(machine: Machine): string | undefined {
	const { jobs, outputRun, inputPlan } = machine.engine.net;
	if (jobs.count !== 0 || inputPlan.jobs.count !== 0 || inputPlan.count !== 0) {
		return 'jobs of the crypto provider are left behind';
	}
	if (outputRun.releasedCount !== 0 || inputPlan.datagrams.packets.length !== 0) {
		return 'packets are left behind';
	}
	const held = (packet: object | null): boolean => packet !== null;
	return outputRun.packets.some(held) || inputPlan.waiting.some(({ packet }) => held(packet))
		? 'the engine still holds a buffer that was lent to it'
		: undefined;
}

export const buffersReturned: Invariant = {
	name: 'every buffer is back in its pool',
	check: heldBuffer,
};

function grown(machine: Machine): string | undefined {
	const { engine, host } = machine;
	const { net } = engine;
	const states = net.sad.count;
	const policies = net.spd.counts.reduce((sum, count) => sum + count, 0);
	if (states > STATES_MAX) {
		return `${states} states`;
	}
	if (net.timers.count > TIMERS_PER_OBJECT * (states + policies)) {
		return `${net.timers.count} timers for ${states} states and ${policies} policies`;
	}
	if (net.eventsLost > 0 || host.effectsLost > 0 || net.events.length > EVENTS_MAX) {
		return 'events or effects were lost or are left behind';
	}
	return undefined;
}

export const memoryBounded: Invariant = { name: 'memory is bounded', check: grown };
