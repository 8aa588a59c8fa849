/** The netlink files, whole: every answer, event, dump and printed line. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { linux61, linux619 } from '@xfrm/engine';
import { decodeMessage, encodeMessage, splitMessages } from '@xfrm/netlink';
import { formatHex } from '@xfrm/wire';
import { formatDifference } from '../golden/difference.ts';
import { availableOf, goldenFolder, readLines, readProfiles } from '../golden/golden-files.ts';
import { type NetlinkCase, octets, type RawCase } from './netlink-case.ts';
import { runNetlinkCase, runRawCase } from './netlink-runner.ts';

const available = (name: string): ReturnType<typeof availableOf> => {
	const text = readProfiles().available[name];
	assert.ok(text);
	return availableOf(text);
};

function lines<T>(file: string): T[] {
	const all = readLines<T>(goldenFolder(), file);
	assert.ok(all, `${file} is absent`);
	return all;
}

// @spec C-1 C-2 C-3 C-4 C-5 C-6 C-7 C-8 C-9 C-11 N-10 N-13 N-15
test('kernel-netlink: requests, answers, text and dumps as ip 6.1 on Linux 6.1', () => {
	const devices = { lo: 1, lan: 2, wan: 3 };
	for (const netlinkCase of lines<NetlinkCase>('kernel-netlink')) {
		const difference = runNetlinkCase(netlinkCase, linux61, available('uml61'), '6.1', devices);
		const name = netlinkCase.commands[0]?.cmd;
		assert.equal(difference && `${name}: ${formatDifference(difference)}`, undefined);
	}
});

// @spec C-10 N-16 N-17 R-11 S-30 S-31 S-33 S-36
test('kernel-netlink-619: the same with ip 7.1 on Linux 6.19, its monitor too', () => {
	const devices = { lo: 1, lan: 3, wan: 4 };
	for (const netlinkCase of lines<NetlinkCase>('kernel-netlink-619')) {
		const difference = runNetlinkCase(netlinkCase, linux619, available('uml619'), '7.1', devices);
		assert.equal(difference && `${netlinkCase.id}: ${formatDifference(difference)}`, undefined);
	}
});

// @spec N-5 N-6 N-7 N-8 N-11 N-12 N-14 N-16b P-12 S-10 S-11 S-14 S-30 S-31 S-32 S-33 A-3
test('netlink-raw-619: answers, events and dumps of raw requests', () => {
	for (const rawCase of lines<RawCase>('netlink-raw-619')) {
		const difference = runRawCase(rawCase, linux619, available('uml619'));
		assert.equal(difference && `${rawCase.id}: ${formatDifference(difference)}`, undefined);
	}
});

// @spec N-2 N-3 N-4
test('every message of ip and the kernel is the same after decoding and encoding', () => {
	let count = 0;
	for (const file of ['kernel-netlink', 'kernel-netlink-619']) {
		for (const { commands } of lines<NetlinkCase>(file)) {
			for (const [, hex] of commands.flatMap((command) => command.messages)) {
				for (const raw of splitMessages(octets(hex)).filter(({ type }) => type >= 0x10)) {
					const message = decodeMessage(raw);
					assert.equal(message && formatHex(encodeMessage(message)), formatHex(raw.bytes));
					count++;
				}
			}
		}
	}
	assert.ok(count > 3000);
});
