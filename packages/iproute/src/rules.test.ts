import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatProblem } from './problem.ts';
import { parseRules } from './rules.ts';

const POLICY = 'policy add src 10.0.0.0/24 dst 10.1.0.0/24 dir out';

test('a file of commands: comments, empty lines, line ends of any kind', () => {
	const text = `# a comment\r\n\r\nip xfrm ${POLICY}\n  xfrm ${POLICY} priority 5 # why\n${POLICY}`;
	const { items } = parseRules(text);
	assert.deepEqual(
		items?.map(({ line, command }) => [line, command.object, command.action]),
		[
			[3, 'policy', 'add'],
			[4, 'policy', 'add'],
			[5, 'policy', 'add'],
		],
	);
	assert.equal(items?.[1]?.text, `xfrm ${POLICY} priority 5 # why`);
});

test('the first bad line is told with its place, and nothing comes of the rest', () => {
	const { problem, items } = parseRules(`${POLICY}\n\n  policy add dir sideways\nnonsense`);
	assert.equal(items, undefined);
	assert.ok(problem);
	assert.equal(
		formatProblem(problem, 'rules.txt'),
		'rules.txt:3:18: Error: argument "sideways" is wrong: DIR value is invalid; ' +
			'found "sideways", expected in, out, fwd',
	);
	const cut = parseRules('state add src').problem;
	assert.ok(cut);
	assert.match(
		formatProblem(cut, '-'),
		/^-:1:15: .*; found the end of the line, expected an address$/,
	);
});
