import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newestTime, parseRulesFile } from './rules-file.ts';

const POLICY = `src 10.0.0.0/8 dst 10.1.0.0/16 uid 0
	dir out action allow index 9 priority 7 share any flag  (0x00000000)
	lifetime config:
	  limit: soft (INF)(bytes), hard (INF)(bytes)
	  limit: soft (INF)(packets), hard (INF)(packets)
	  expire add: soft 0(sec), hard 0(sec)
	  expire use: soft 0(sec), hard 0(sec)
	lifetime current:
	  0(bytes), 0(packets)
	  add 2026-11-25 12:00:00 use -
`;
const NOON = Date.UTC(2026, 10, 25, 12) / 1000;

test('in which time zone the times of a dump were read is told, where it tells any', () => {
	const context = { utcOffsetSeconds: () => 3600, timeZone: 'Europe/Berlin' };
	const { steps = [], assumed } = parseRulesFile(POLICY, context);
	assert.equal(newestTime(steps), NOON - 3600);
	assert.match(
		assumed?.join('\n') ?? '',
		/^times of the dump: read in the time zone Europe\/Berlin \(TZ/,
	);
	assert.match(parseRulesFile(POLICY).assumed?.join('\n') ?? '', /time zone UTC \(/);
	const short = parseRulesFile(POLICY.split('\n').slice(0, 2).join('\n'), context);
	assert.doesNotMatch(short.assumed?.join('\n') ?? 'no', /time zone/);
});
