import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Timer, TimerKind, TimerTable } from './timer-table.ts';

// @spec L-4
test('random settings and stops come out as a sorted list would give them', () => {
	const command = fc.record({
		timer: fc.nat(9),
		action: fc.constantFrom('set', 'stop', 'take'),
		at: fc.nat(20),
	});
	fc.assert(
		fc.property(fc.array(command, { maxLength: 200 }), (commands) => {
			const table = new TimerTable();
			const timers = Array.from({ length: 10 }, (_, i) => new Timer(TimerKind.HoldQueue, { i }));
			const model: { timer: Timer; at: number; order: number }[] = [];
			let order = 0;
			for (const { timer: number, action, at } of commands) {
				const timer = timers[number];
				assert.ok(timer !== undefined);
				const place = model.findIndex((entry) => entry.timer === timer);
				if (action === 'set') {
					assert.equal(table.set(timer, at), place >= 0);
					if (place >= 0) {
						model.splice(place, 1);
					}
					model.push({ timer, at, order: order++ });
					model.sort((a, b) => a.at - b.at || a.order - b.order);
				} else if (action === 'stop') {
					assert.equal(table.stop(timer), place >= 0);
					if (place >= 0) {
						model.splice(place, 1);
					}
				} else {
					const first = model[0];
					const due = first !== undefined && first.at <= at ? model.shift()?.timer : undefined;
					assert.equal(table.takeDue(at), due);
				}
				assert.equal(table.next(), model[0]?.at ?? Number.POSITIVE_INFINITY);
				assert.equal(table.count, model.length);
			}
		}),
	);
});

test('a timer that is not set has no deadline', () => {
	const table = new TimerTable();
	const timer = new Timer(TimerKind.StateReplay, {});
	assert.equal(timer.isSet, false);
	table.set(timer, 5);
	assert.equal(timer.deadlineUs, 5);
	table.stop(timer);
	assert.deepEqual([timer.isSet, timer.deadlineUs], [false, Number.POSITIVE_INFINITY]);
});
