import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
	type KernelProfile,
	linux61,
	linux72,
	linux619,
	packPolicy,
	unpackTemplates,
} from '@xfrm/engine';
import { anyAddress, anySelector, type Template } from '@xfrm/wire/xfrm';
import type { PolicyInfo } from './policy-reader.ts';
import { verifyPolicyInfo, verifyTemplateCount, verifyTemplates } from './policy-verify.ts';
import { XfrmError } from './xfrm-error.ts';

function fault(run: () => unknown): string | undefined {
	try {
		run();
		return undefined;
	} catch (error) {
		assert.ok(error instanceof XfrmError);
		assert.equal(error.errno, 22);
		return error.message;
	}
}

const INFO: PolicyInfo = {
	words: [...packPolicy(anySelector(2), [])],
	priority: 0,
	index: 0,
	direction: 1,
	action: 0,
	flags: 0,
	share: 0,
};

test('a policy’s fields are checked in the kernel’s order', () => {
	const rows: [fields: Partial<PolicyInfo>, sentence: string | undefined][] = [
		[{}, undefined],
		[{ share: 3 }, undefined],
		[{ share: 4, action: 2 }, 'Invalid policy share'],
		[{ action: 2, direction: 3 }, 'Invalid policy action'],
		[{ words: [...packPolicy(anySelector(0), [])], direction: 3 }, 'Invalid selector family'],
		[
			{ words: [...packPolicy({ ...anySelector(2), prefixlenS: 33 }, [])] },
			'Invalid prefix length in selector (must be <= 32 for IPv4)',
		],
		[{ direction: 3, index: 8 }, 'Invalid policy direction'],
		[{ index: 8 }, "Policy index doesn't match direction"],
		[{ index: 9 }, undefined],
	];
	for (const [fields, sentence] of rows) {
		assert.equal(
			fault(() => verifyPolicyInfo({ ...INFO, ...fields })),
			sentence,
		);
	}
});

const TEMPLATE: Template = {
	id: { daddr: anyAddress(), spi: 0, proto: 50 },
	saddr: anyAddress(),
	family: 0,
	reqid: 0,
	mode: 0,
	share: 0,
	optional: 0,
	aalgos: 0,
	ealgos: 0,
	calgos: 0,
};

/** The templates of a policy of this family, as they are left behind. */
function verified(
	templates: readonly Template[],
	family: number,
	direction: number,
	profile: KernelProfile,
): readonly Template[] {
	const words = [...packPolicy(anySelector(family), templates)];
	verifyTemplateCount(templates.length);
	verifyTemplates(words, direction, profile, () => {});
	return unpackTemplates(words);
}

// @spec P-12
test('templates: families go on from one to the next, and only tunnels change them', () => {
	const family = "Mode in template doesn't support a family change";
	const optional = 'Mode in optional template not allowed in outbound policy';
	type Row = [
		name: string,
		list: Partial<Template>[],
		direction: number,
		sentence: string | undefined,
	];
	const rows: Row[] = [
		['none', [], 1, undefined],
		['six', new Array<Partial<Template>>(6).fill({}), 1, undefined],
		[
			'seven',
			new Array<Partial<Template>>(7).fill({}),
			1,
			'Template count must be <= XFRM_MAX_DEPTH (6)',
		],
		['transport of another family', [{ family: 10 }], 1, family],
		['tunnel of another family', [{ family: 10, mode: 1 }], 1, undefined],
		['back behind a tunnel', [{ family: 10, mode: 1 }, { family: 2 }], 1, family],
		['behind a tunnel', [{ family: 10, mode: 1 }, { family: 10 }], 1, undefined],
		['optional tunnel outward', [{ mode: 1, optional: 1 }], 1, optional],
		['optional BEET outward', [{ mode: 4, optional: 1 }], 1, optional],
		['optional IPTFS outward', [{ mode: 5, optional: 1 }], 1, undefined],
		['optional transport outward', [{ optional: 1 }], 1, undefined],
		['optional tunnel inward', [{ mode: 1, optional: 1 }], 0, undefined],
		['no such mode', [{ mode: 6 }], 1, 'Mode in template must be < XFRM_MODE_MAX (6)'],
		['no such family', [{ family: 3, mode: 1 }], 1, 'Invalid family in template'],
		[
			'no such protocol',
			[{ id: { ...TEMPLATE.id, proto: 255 } }],
			1,
			'Invalid XFRM protocol in template',
		],
	];
	for (const [name, list, direction, sentence] of rows) {
		const templates = list.map((fields) => ({ ...TEMPLATE, ...fields }));
		const run = (): unknown => verified(templates, 2, direction, linux619);
		assert.equal(fault(run), sentence, name);
	}
	const iptfs = [{ ...TEMPLATE, mode: 5 }];
	assert.equal(
		fault(() => verified(iptfs, 2, 1, linux61)),
		'Mode in template must be < XFRM_MODE_MAX (5)',
	);
	const optionalIptfs = [{ ...TEMPLATE, mode: 5, optional: 1 }];
	assert.equal(
		fault(() => verified(optionalIptfs, 2, 1, linux72)),
		optional,
	);
	assert.deepEqual(verified([TEMPLATE], 10, 1, linux61), [{ ...TEMPLATE, family: 10 }]);
});
