import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DumpedObject, formatMessage, parseDump } from '@xfrm/iproute';
import type { XfrmMessage } from '@xfrm/netlink';
import { type PrintMode, type Told, toldPolicy, toldState } from './dump-told.ts';
import { dumpedMessages } from './dumped-messages.ts';

const MODES: readonly (PrintMode & { readonly oneline: boolean })[] = [false, true].flatMap(
	(stats) =>
		[false, true].flatMap((nokeys) =>
			[false, true].flatMap((oneline) =>
				(['6.1', '7.1'] as const).map((release) => ({ stats, nokeys, oneline, release })),
			),
		),
);

function told(message: XfrmMessage, mode: PrintMode): Told<unknown> {
	if (message.name === 'newsa') {
		return toldState(message, mode);
	}
	assert.equal(message.name, 'newpolicy');
	return message.name === 'newpolicy' ? toldPolicy(message, mode) : assert.fail();
}

/** Damage that leaves the words whole: all of it has to be read as if it were not there. */
const PASTES: readonly (readonly [name: string, damage: (text: string) => string])[] = [
	['as printed', (text) => text],
	['with Windows line ends', (text) => text.replaceAll('\n', '\r\n')],
	['without indentation', (text) => text.replace(/^[\t ]+/gm, '')],
	[
		'with blanks for tabs',
		(text) => `root@moon:~# ip xfrm state\n${text.replaceAll('\t', '        ')}$ `,
	],
	['quoted', (text) => text.replace(/^/gm, '> ')],
	['wrapped at 40 columns', (text) => text.replace(/(?=.{41})(.{1,40}) /g, '$1\n')],
	['in one line', (text) => text.replaceAll('\n', ' ')],
];

// @spec section 5.2
test('what is printed is read back, in every print mode', () => {
	let count = 0;
	for (const { raw, message } of dumpedMessages()) {
		for (const mode of MODES) {
			const { stats, nokeys, oneline, release } = mode;
			const print = { stats: stats ? 1 : 0, oneline, nokeys, timestamp: false, family: 0 };
			const text = formatMessage(raw, { print, release });
			if (/\(ERROR truncated\)|invalid-time|hmac\(\w+\) ( |$)/m.test(text)) {
				// A key shorter than it says it is; a year that no calendar has; a key of nothing, as if cut out.
				continue;
			}
			const [, damage = (whole: string) => whole] = PASTES[count % PASTES.length] ?? [];
			const pasted = damage(text);
			const { pieces, problem } = parseDump(pasted);
			assert.equal(problem, undefined, pasted);
			const objects = pieces?.filter((piece) => 'message' in piece) ?? [];
			assert.equal(objects.length, 1, pasted);
			const read = (objects[0] as DumpedObject).message;
			assert.deepEqual(told(read, mode), told(message, mode), pasted);
			count++;
		}
	}
	assert.ok(count > 30_000, `${count}`);
});
