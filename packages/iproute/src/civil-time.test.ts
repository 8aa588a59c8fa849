import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatCivil, parseCivil } from './civil-time.ts';

test('civil times are those of the calendar, both ways', () => {
	fc.assert(
		fc.property(fc.integer({ min: 0, max: 253_402_300_799 }), (seconds) => {
			const text = formatCivil(seconds);
			const iso = new Date(seconds * 1000).toISOString();
			assert.equal(text, iso.slice(0, 19).replace('T', ' '));
			const [date = '', clock = ''] = text.split(' ');
			assert.equal(parseCivil(date, clock), seconds);
		}),
	);
});

test('what is no date or no time of day is refused', () => {
	const rows = [
		['2026-02-30', '00:00:00'],
		['2026-13-01', '00:00:00'],
		['2026-01-01', '24:00:00'],
		['2026-01-01', '1:00:00'],
		['26-01-01', '01:00:00'],
		['-', ''],
	] as const;
	for (const [date, clock] of rows) {
		assert.equal(parseCivil(date, clock), undefined, date);
	}
});
