import assert from 'node:assert/strict';
import { test } from 'node:test';
import { splitWords } from './lexer.ts';
import { Unreadable } from './problem.ts';

test('words are split as a shell would', () => {
	const rows: [line: string, words: string[]][] = [
		['', []],
		['  \t ', []],
		['# all comment', []],
		['ip xfrm # rest', ['ip', 'xfrm']],
		['a#b #c', ['a#b']],
		["enc 'cbc(aes)' 0x11", ['enc', 'cbc(aes)', '0x11']],
		['"a b"c\'d e\'', ['a bc' + 'd e']],
		["key ''", ['key', '']],
		['a\\ b "q\\"q" \'s\\s\'', ['a b', 'q"q', 's\\s']],
		['"\\n"', ['\\n']],
	];
	for (const [line, words] of rows) {
		assert.deepEqual(
			splitWords(line).map(({ text }) => text),
			words,
			line,
		);
	}
});

test('places are those of the first character, from 1', () => {
	assert.deepEqual(splitWords("  a 'b'", 7), [
		{ text: 'a', line: 7, column: 3 },
		{ text: 'b', line: 7, column: 5 },
	]);
});

test('a quote that does not end is a problem at its place', () => {
	assert.throws(
		() => splitWords("add 'x", 3),
		(error: unknown) => {
			assert.ok(error instanceof Unreadable);
			assert.deepEqual(error.problem, {
				line: 3,
				column: 5,
				found: "'x",
				expected: "a closing '",
				message: 'Error: unterminated quoted string',
				status: 1,
			});
			return true;
		},
	);
});
