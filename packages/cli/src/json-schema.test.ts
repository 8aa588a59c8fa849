/** Everything that `xfrm explain --json` prints is as the published schema says. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const bin = fileURLToPath(new URL('../bin/xfrm.js', import.meta.url));

interface Schema {
	readonly $ref?: string;
	readonly type?: string | readonly string[];
	readonly const?: unknown;
	readonly enum?: readonly unknown[];
	readonly pattern?: string;
	readonly minimum?: number;
	readonly required?: readonly string[];
	readonly properties?: Readonly<Record<string, Schema>>;
	readonly additionalProperties?: boolean | Schema;
	readonly items?: Schema;
	readonly $defs?: Readonly<Record<string, Schema>>;
}

const schema = JSON.parse(
	readFileSync(new URL('../schema/explain.schema.json', import.meta.url), 'utf8'),
) as Schema;

function typeOf(value: unknown): string {
	if (value === null) {
		return 'null';
	}
	if (Array.isArray(value)) {
		return 'array';
	}
	return Number.isInteger(value) ? 'integer' : typeof value;
}

/** What of the value is not as the schema says: the part of JSON Schema that ours uses. */
function faults(value: unknown, asked: Schema, path: string): string[] {
	const rule =
		asked.$ref === undefined
			? asked
			: (schema.$defs?.[asked.$ref.replace('#/$defs/', '')] ?? asked);
	const found: string[] = [];
	const types = rule.type === undefined ? [] : [rule.type].flat();
	if (types.length > 0 && !types.includes(typeOf(value))) {
		found.push(`${path}: ${typeOf(value)}, not ${types.join(' or ')}`);
	}
	if (rule.const !== undefined && value !== rule.const) {
		found.push(`${path}: ${String(value)}, not ${String(rule.const)}`);
	}
	if (rule.enum !== undefined && !rule.enum.includes(value)) {
		found.push(`${path}: ${String(value)} is none of ${rule.enum.join(' ')}`);
	}
	if (rule.pattern !== undefined && typeof value === 'string') {
		if (!new RegExp(rule.pattern).test(value)) {
			found.push(`${path}: ${value} does not match ${rule.pattern}`);
		}
	}
	if (rule.minimum !== undefined && typeof value === 'number' && value < rule.minimum) {
		found.push(`${path}: ${value} is below ${rule.minimum}`);
	}
	if (Array.isArray(value) && rule.items !== undefined) {
		const { items } = rule;
		found.push(...value.flatMap((one, i) => faults(one, items, `${path}[${i}]`)));
	}
	if (typeOf(value) === 'object') {
		found.push(...objectFaults(value as Record<string, unknown>, rule, path));
	}
	return found;
}

function objectFaults(value: Record<string, unknown>, rule: Schema, path: string): string[] {
	const found = (rule.required ?? [])
		.filter((name) => !(name in value))
		.map((name) => `${path}.${name} is missing`);
	for (const [name, part] of Object.entries(value)) {
		const known = rule.properties?.[name];
		const other = rule.additionalProperties;
		if (known !== undefined) {
			found.push(...faults(part, known, `${path}.${name}`));
		} else if (other === false) {
			found.push(`${path}.${name} is not in the schema`);
		} else if (typeof other === 'object') {
			found.push(...faults(part, other, `${path}.${name}`));
		}
	}
	return found;
}

describe('xfrm explain --json', () => {
	it('prints exactly one line a packet, each as the schema says', () => {
		const args = [
			['explain', '--json', '--rules', 'examples/site-a.xfrm', '--host', 'examples/site-a.host'],
			['--dir', 'fwd', '--dev', 'lan'],
			['src 10.1.0.5 dst 10.2.0.9 proto udp dport 53'],
			['src 10.1.0.5 dst 10.3.0.9 proto tcp dport 443'],
			['src 10.1.0.5 dst 10.3.0.9 proto tcp dport 443'],
			['wait:31', 'do:xfrm policy add src 10.1.0.0/16 dst 10.9.0.0/16 dir out action block'],
			['src 10.1.0.5 dst 10.9.0.9 proto icmp', 'src 10.1.0.5 dst 10.4.0.9 proto icmp'],
		].flat();
		const run = spawnSync(process.execPath, [bin, ...args], { cwd: root, encoding: 'utf8' });
		const lines = run.stdout.trimEnd().split('\n');
		const answers = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
		assert.deepEqual(
			answers.flatMap((answer, i) => faults(answer, schema, `line ${i}`)),
			[],
		);
		assert.deepEqual(
			answers.map(({ outcome, counter, code }) => [outcome, counter, code]),
			[
				['transform', null, 'fwd.transformed'],
				['acquire', 'XfrmOutNoStates', 'out.acquire'],
				['drop', 'XfrmOutNoStates', 'out.state.missing'],
				['drop', 'XfrmOutPolBlock', 'out.policy.block'],
				['pass', null, 'fwd.policy.none'],
			],
		);
		const events = answers.map(({ events: list }) =>
			(list as { event: string }[]).map(({ event }) => event),
		);
		assert.deepEqual(events, [[], ['acquire'], [], ['expire'], []], 'the wait belongs to the next');
		assert.equal(run.status, 1);
	});
});
