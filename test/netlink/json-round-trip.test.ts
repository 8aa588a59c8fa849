import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
	answerJson,
	eventJson,
	KeyNames,
	objectJson,
	parseRulesFile,
	SCHEMAS,
	SchemaChecker,
} from '@xfrm/iproute';
import { decodeMessage, encodeMessage, splitMessages, type XfrmMessage } from '@xfrm/netlink';
import { goldenFolder, readLines } from '../golden/golden-files.ts';
import { type Told, toldPolicy, toldState } from './dump-told.ts';
import { dumpedMessages } from './dumped-messages.ts';
import { octets } from './netlink-case.ts';

const checker = new SchemaChecker(SCHEMAS);
const EVERYTHING = { stats: true, nokeys: false, release: '7.1', json: true } as const;

function told(message: XfrmMessage): Told<unknown> {
	if (message.name === 'newsa') {
		return toldState(message, EVERYTHING);
	}
	assert.equal(message.name, 'newpolicy');
	return message.name === 'newpolicy' ? toldPolicy(message, EVERYTHING) : assert.fail();
}

test('every object of the dumps has its JSON, which fits the schema and is read back', () => {
	let count = 0;
	for (const { message } of dumpedMessages()) {
		const json = objectJson(message);
		assert.ok(json);
		assert.deepEqual(checker.check(json, `${String(json['object'])}.schema.json`), []);
		const { steps, problem } = parseRulesFile(JSON.stringify(json));
		if (problem?.message.includes('key: a value that cannot be') === true) {
			continue; // a key shorter than it says it is
		}
		assert.equal(problem, undefined, JSON.stringify(json));
		const [step] = steps ?? [];
		assert.ok(step !== undefined && step.kind !== 'command');
		assert.deepEqual(told(step.message), told(message));
		count++;
	}
	assert.ok(count > 2000, `${count}`);
});

test('hidden keys are named, equal ones alike, and are read as unknown keys of their length', () => {
	const keys = new KeyNames();
	for (const { message } of dumpedMessages()) {
		const json = objectJson(message, { keys });
		const text = JSON.stringify(json);
		if (!text.includes('"key#')) {
			continue;
		}
		assert.doesNotMatch(text, /"key":"0x[0-9a-f]/);
		const { steps } = parseRulesFile(text);
		const [step] = steps ?? [];
		assert.ok(step !== undefined && step.kind !== 'command');
		assert.ok(step.untold.hiddenKeys.length > 0);
		const shown = objectJson(step.message, { keys: new KeyNames() });
		assert.deepEqual(lengths(shown), lengths(json));
	}
});

function lengths(json: unknown): unknown[] {
	return [...JSON.stringify(json).matchAll(/"key_bits":([0-9]+)/g)].map(([, bits]) => bits);
}

interface Case {
	readonly commands: readonly { readonly messages: readonly (readonly [string, string])[] }[];
}

test('every answer and every event has its JSON, which fits the schema', () => {
	const seen = new Set<string>();
	for (const file of ['kernel-netlink', 'kernel-netlink-619']) {
		const lines = readLines<Case>(goldenFolder(), file);
		assert.ok(lines, `${file} is absent`);
		for (const [way, hex] of lines.flatMap(({ commands }) => commands.flatMap((c) => c.messages))) {
			for (const raw of way === 'from' ? splitMessages(octets(hex)) : []) {
				const message = raw.type < 0x10 ? undefined : decodeMessage(raw);
				if (message === undefined) {
					continue;
				}
				const event = eventJson(raw);
				assert.deepEqual(checker.check(event, 'event.schema.json'), [], JSON.stringify(event));
				const answer = answerJson(message);
				const kind = String(answer?.['object'] ?? '');
				const info = kind.endsWith('-info') ? 'info' : kind;
				const faults = answer === undefined ? [] : checker.check(answer, `${info}.schema.json`);
				assert.deepEqual(faults, [], JSON.stringify(answer));
				seen.add(message.name).add(kind);
			}
		}
	}
	for (const name of ['acquire', 'expire', 'policy-info', 'state-info', 'default-policies']) {
		assert.ok(seen.has(name), name);
	}
});

test('the published schemas are those that are checked', () => {
	const folder = new URL('../../packages/iproute/schema/', import.meta.url);
	for (const [name, schema] of SCHEMAS) {
		const published: unknown = JSON.parse(readFileSync(new URL(name, folder), 'utf8'));
		assert.deepEqual(published, JSON.parse(JSON.stringify(schema)), `npm run schemas: ${name}`);
	}
});

test('a message that is not known is told by its octets', () => {
	const bytes = encodeMessage({
		name: 'flushsa',
		flags: 0,
		seq: 0,
		pid: 0,
		body: { proto: 50 },
		attributes: [],
	});
	new DataView(bytes.buffer, bytes.byteOffset).setUint16(4, 0x2f, true);
	const [raw] = splitMessages(bytes);
	assert.ok(raw);
	const json = eventJson(raw);
	assert.deepEqual(
		[json['event'], json['type'], typeof json['netlink']],
		['unknown', 0x2f, 'string'],
	);
});
