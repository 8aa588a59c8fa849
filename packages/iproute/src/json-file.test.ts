import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatProblem } from './problem.ts';
import { newestTime, parseRulesFile } from './rules-file.ts';

const STATE = {
	object: 'state',
	src: '192.0.2.1',
	dst: '192.0.2.2',
	proto: 'esp',
	spi: '0xc0de0001',
	reqid: 1,
	mode: 'tunnel',
	replay_window: 32,
	flags: [],
	aead: { name: 'rfc4106(gcm(aes))', key: 'key#1', key_bits: 160, icv_bits: 128 },
	current: { bytes: 5, packets: 1, add: 1_700_000_000, use: 0 },
};
const POLICY = {
	object: 'policy',
	sel: { src: '10.0.0.0/8', dst: '10.1.0.0/16' },
	dir: 'out',
	action: 'allow',
	priority: 7,
};
const SNAPSHOT = {
	schema: 1,
	object: 'snapshot',
	states: [{ ...STATE, spi: '0xc0de0002' }, STATE],
	policies: [POLICY],
	default_policies: { object: 'default-policies', in: 'block', fwd: 'accept', out: 'unspec' },
};

test('a snapshot: oldest first, hidden keys unknown, default policies as a command', () => {
	const { steps, form, assumed } = parseRulesFile(JSON.stringify(SNAPSHOT, undefined, '\t'));
	assert.equal(form, 'json');
	assert.deepEqual(
		steps?.map((step) =>
			step.kind === 'state'
				? [step.kind, step.line, step.message.body.id.spi, step.untold]
				: [step.kind, step.line],
		),
		[
			['state', 28, 0xc0de0001, { hiddenKeys: ['aead rfc4106(gcm(aes))'], statistics: true }],
			['state', 5, 0xc0de0002, { hiddenKeys: ['aead rfc4106(gcm(aes))'], statistics: true }],
			['policy', 53],
			['command', 64],
		],
	);
	const [, , , last] = steps ?? [];
	assert.equal(last?.kind === 'command' && last.text, 'policy setdefault in block fwd accept');
	assert.equal(newestTime(steps ?? []), 1_700_000_000);
	assert.match(assumed?.join('\n') ?? '', /keys of 2 states are hidden/);
});

test('lines, as xfrm --json state list prints them', () => {
	const { steps } = parseRulesFile(`${JSON.stringify(STATE)}\r\n${JSON.stringify(POLICY)}\n`);
	assert.deepEqual(
		steps?.map(({ kind, line }) => [kind, line]),
		[
			['state', 1],
			['policy', 2],
		],
	);
});

test('what is wrong is told with line, column, path and the rule', () => {
	const rows: readonly (readonly [text: string, problem: RegExp])[] = [
		[
			'{"object": "tunnel"}',
			/^f:1:12: object: not an object of rules; found ""tunnel"", expected snap/,
		],
		['{"x": 1}', /^f:1:1: object: .*; found "nothing", expected snapshot, state/],
		[
			JSON.stringify({ ...STATE, spi: 5 }, undefined, 1),
			/^f:6:9: spi: breaks state\.schema\.json#\/properties\/spi\/type; found "5", expected string$/,
		],
		[
			JSON.stringify({ ...SNAPSHOT, policies: [{ ...POLICY, dir: 'up' }] }),
			/: policies\[0\]\.dir: breaks policy\.schema\.json#\/properties\/dir\/pattern; found ""up"", /,
		],
		[
			JSON.stringify({ ...POLICY, prioriti: 1 }),
			/: prioriti: breaks policy\.schema\.json#\/additionalProperties; found ""prioriti"", expected /,
		],
		[
			JSON.stringify({ object: 'policy' }),
			/: sel: breaks policy\.schema\.json#\/required; found "nothing", expected "sel"$/,
		],
		[
			JSON.stringify({ ...STATE, dst: '2001:db8::1' }),
			/: dst: a value that cannot be; found ""2001:db8::1"", expected an address of the same family/,
		],
		[
			JSON.stringify({ ...STATE, enc: { name: 'cbc(aes)', key: '0x00', key_bits: 128 } }),
			/: enc\.key: a value that cannot be; found ""0x00"", expected a key of 128 bits$/,
		],
		['{"object": "state",\n "src" }', /^f:2:8: Not JSON; found "}", expected a colon$/],
		['{"object": "sta\nte"}', /^f:1:12: Not JSON; .* a string that ends in its line$/],
		['[{"a": 2', /^f:1:9: Not JSON; found the end of the line, expected a comma or \}$/],
		[`{"a": ${'['.repeat(100)}`, /at most 32 levels$/],
		['{"__proto__": {"object": "state"}}', /not an object of rules/],
	];
	for (const [text, want] of rows) {
		const { problem, steps } = parseRulesFile(text);
		assert.equal(steps, undefined);
		assert.ok(problem, text);
		assert.match(formatProblem(problem, 'f'), want);
	}
});
