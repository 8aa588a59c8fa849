/**
 * docs/netlink/xfrm.yaml against the codec of @xfrm/netlink and, where there is a C compiler, against the
 * kernel's own header: numbers, sizes, places, byte order, names.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
	attributeSpec,
	MESSAGES,
	SAD_ATTRIBUTES,
	SPD_ATTRIBUTES,
	XFRM_ATTRIBUTES,
} from '@xfrm/netlink';
import { Group } from '@xfrm/wire/xfrm';
import { parse } from 'yaml';

interface Member {
	readonly name: string;
	readonly type: string;
	readonly len?: number;
	readonly struct?: string;
	readonly 'byte-order'?: string;
}
interface Definition {
	readonly name: string;
	readonly type: string;
	readonly members?: readonly Member[];
}
interface Attribute {
	readonly name: string;
	readonly value: number;
	readonly type: string;
	readonly struct?: string;
	readonly checks?: { readonly 'min-len'?: number };
}
interface Part {
	readonly value?: number;
	readonly attributes?: readonly string[];
}
interface Operation {
	readonly name: string;
	readonly value?: number;
	readonly mcgrp?: string;
	readonly 'attribute-set': string;
	readonly 'fixed-header'?: string;
	readonly do?: { readonly request?: Part; readonly reply?: Part };
	readonly dump?: { readonly request?: Part; readonly reply?: Part };
	readonly event?: Part;
}
interface Specification {
	readonly definitions: readonly Definition[];
	readonly 'attribute-sets': readonly {
		readonly name: string;
		readonly attributes: readonly Attribute[];
	}[];
	readonly operations: { readonly list: readonly Operation[] };
	readonly 'mcast-groups': { readonly list: readonly { name: string; value: number }[] };
}

const file = new URL('../../docs/netlink/xfrm.yaml', import.meta.url);
const specification = parse(readFileSync(file, 'utf8')) as Specification;
const structs = new Map(
	specification.definitions
		.filter(({ type }) => type === 'struct')
		.map(({ name, members = [] }) => [name, members]),
);
const sets = new Map(specification['attribute-sets'].map((one) => [one.name, one.attributes]));

const SCALARS: Readonly<Record<string, number>> = { u8: 1, u16: 2, u32: 4, u64: 8, s32: 4 };

function sizeOf(member: Member): number {
	return member.struct === undefined
		? (SCALARS[member.type] ?? member.len ?? Number.NaN)
		: octetsOf(member.struct);
}

function octetsOf(struct: string): number {
	return (structs.get(struct) ?? []).reduce((sum, member) => sum + sizeOf(member), 0);
}

/** What a member is, in the words of our codec. */
function kindOf(member: Member): string {
	if (member.struct !== undefined) {
		return member.struct.replaceAll('-', '_');
	}
	if (member.type === 'binary') {
		return 'xfrm_address_t';
	}
	return member['byte-order'] === 'big-endian' ? member.type.replace('u', 'be') : member.type;
}

/** Members but padding: what, where. */
function layoutOf(struct: string): string[] {
	let at = 0;
	const layout: string[] = [];
	for (const member of structs.get(struct) ?? []) {
		if (member.type !== 'pad') {
			layout.push(`${at} ${kindOf(member)}`);
		}
		at += sizeOf(member);
	}
	return layout;
}

/** A struct of our codec, and those in it. */
interface CodecStruct {
	readonly name: string;
	readonly octets: number;
	readonly fields: ReadonlyMap<string, { readonly at: number; readonly codec: object }>;
}

function compareStruct(codec: CodecStruct): void {
	const name = codec.name === 'u32' ? 'info-flags' : codec.name.replaceAll('_', '-');
	assert.equal(octetsOf(name), codec.octets, name);
	const fields = [...codec.fields.values()].map(
		({ at, codec: of }) => `${at} ${(of as { name: string }).name}`,
	);
	assert.deepEqual(layoutOf(name).sort(), fields.sort(), name);
	for (const { codec: inner } of codec.fields.values()) {
		if ('fields' in inner) {
			compareStruct(inner as CodecStruct);
		}
	}
}

/** Numbers of an operation's messages, those that go to the kernel and those that come from it. */
function numbersOf(operation: Operation): readonly (number | undefined)[] {
	const parts = [operation.do, operation.dump].filter((one) => one !== undefined);
	return [operation.value, ...parts.flatMap((one) => [one.request?.value])].filter(
		(one) => one !== undefined,
	);
}

const kebab = (name: string): string => name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);

describe('the YNL specification', () => {
	it('has every message, with its number, payload and attributes', () => {
		const own = MESSAGES.filter(({ dump }) => !dump);
		for (const { name, type, body, attributes } of own) {
			const operation = specification.operations.list.find((one) => one.name === name);
			assert.ok(operation, name);
			assert.deepEqual([...new Set(numbersOf(operation))], [type], name);
			assert.equal(operation['attribute-set'], `${attributes.name}-attrs`, name);
			if (body.octets > 0) {
				const header = body.name === 'u32' ? 'info_flags' : body.name;
				assert.equal(operation['fixed-header'], header.replaceAll('_', '-'), name);
				compareStruct(body);
			} else {
				assert.equal(operation['fixed-header'], undefined, name);
			}
		}
		const names = specification.operations.list.map(({ name }) => name);
		assert.deepEqual(
			names.filter((name) => !name.endsWith('-ntf')).sort(),
			own.map(({ name }) => name).sort(),
		);
	});

	it('has every notification, in its group', () => {
		const groups = new Map<string, number>(
			Object.entries(Group).map(([name, value]) => [name.toLowerCase(), value]),
		);
		assert.deepEqual(
			new Map(specification['mcast-groups'].list.map(({ name, value }) => [name, value])),
			groups,
		);
		const told = specification.operations.list.flatMap(({ name, value, mcgrp }) =>
			mcgrp === undefined ? [] : [`${name.replace('-ntf', '')} ${value} ${groups.get(mcgrp)}`],
		);
		const own = MESSAGES.filter(({ group, name }) => group !== 0 && name !== 'migratestate').map(
			({ name, type, group }) => `${name} ${type} ${group}`,
		);
		assert.deepEqual(told.sort(), own.sort());
	});

	for (const [set, space] of [
		['xfrm-attrs', XFRM_ATTRIBUTES],
		['sad-attrs', SAD_ATTRIBUTES],
		['spd-attrs', SPD_ATTRIBUTES],
	] as const) {
		it(`has every attribute of ${set}`, () => {
			const told = sets.get(set) ?? [];
			for (const attribute of told) {
				const row = space.byNumber(attribute.value);
				if (attribute.type === 'pad') {
					assert.equal(row, undefined);
					continue;
				}
				assert.ok(row, attribute.name);
				assert.equal(kebab(row.name), attribute.name);
				const { name, octetsMin } = attributeSpec(row.name).codec;
				const { struct } = attribute;
				const kind = struct === undefined ? attribute.type : struct.replaceAll('-', '_');
				const isAddress = name === 'xfrm_address_t';
				assert.equal(kind, isAddress ? 'binary' : name.replace('[]', ''), attribute.name);
				const octets = isAddress ? attribute.checks?.['min-len'] : undefined;
				const size = struct === undefined ? (SCALARS[kind] ?? octets ?? 0) : octetsOf(struct);
				assert.equal(size, octetsMin, attribute.name);
			}
			assert.equal(Math.max(...told.map(({ value }) => value)), space.max);
		});
	}

	it('names only what it defines', () => {
		for (const operation of specification.operations.list) {
			const names = new Set((sets.get(operation['attribute-set']) ?? []).map(({ name }) => name));
			const parts = [operation.do, operation.dump].flatMap((one) => [one?.request, one?.reply]);
			for (const name of [operation.event, ...parts].flatMap((part) => part?.attributes ?? [])) {
				assert.ok(names.has(name), `${operation.name}: ${name}`);
			}
		}
	});
});

const compiler = spawnSync('cc', ['-E', '-include', 'linux/xfrm.h', '-x', 'c', '/dev/null']);
const skip = compiler.status === 0 ? false : 'needs cc and linux/xfrm.h';

it('names and places are those of linux/xfrm.h', { skip }, () => {
	const newer = new Set(['xfrm-user-migrate-state', 'info-flags']);
	const lines: string[] = [];
	for (const [struct, members] of structs) {
		if (newer.has(struct)) {
			continue;
		}
		const c = `struct ${struct.replaceAll('-', '_')}`;
		let at = 0;
		for (const member of members) {
			if (member.type !== 'pad') {
				const name = member.name.replaceAll('-', '_');
				const place = `__builtin_offsetof(${c}, ${name}) == ${at}`;
				const size = `sizeof(((${c} *)0)->${name}) == ${sizeOf(member)}`;
				lines.push(`_Static_assert(${place} && ${size}, "${struct} ${member.name}");`);
			}
			at += sizeOf(member);
		}
		lines.push(`_Static_assert(sizeof(${c}) == ${at}, "${struct}");`);
	}
	const folder = mkdtempSync(join(tmpdir(), 'xfrm-ynl-'));
	try {
		const source = join(folder, 'places.c');
		writeFileSync(source, `#include <linux/xfrm.h>\n${lines.join('\n')}\n`);
		const { stderr, status } = spawnSync('cc', ['-fsyntax-only', source], { encoding: 'utf8' });
		assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
	} finally {
		rmSync(folder, { recursive: true });
	}
});
