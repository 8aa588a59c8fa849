import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SkippedHeaders, skipHeaders } from './header-skip.ts';
import { hex } from './host-fixture.test.ts';

const rows: [
	name: string,
	proto: number,
	octets: string,
	want: { found: boolean; at: number; proto: number; fragmentOffset?: number },
][] = [
	['no extension header', 17, '', { found: true, at: 0, proto: 17 }],
	['options', 60, '11 00 0104 00000000', { found: true, at: 8, proto: 17 }],
	['AH counts words', 51, '11 04 0000', { found: true, at: 24, proto: 17 }],
	['a length beyond the end is believed', 0, '3a 09', { found: true, at: 80, proto: 58 }],
	['first fragment', 44, '11 ff 0001 00000000', { found: true, at: 8, proto: 17 }],
	[
		'later fragment',
		44,
		'11 00 0009 00000000',
		{ found: true, at: 0, proto: 44, fragmentOffset: 8 },
	],
	['header cut', 43, '11', { found: false, at: 0, proto: 43 }],
	['fragment header cut', 44, '1100 00', { found: false, at: 0, proto: 44 }],
	['no next header', 60, '3b 00 0104 00000000', { found: false, at: 8, proto: 59 }],
];

for (const [name, proto, octets, want] of rows) {
	test(`skipping headers: ${name}`, () => {
		const bytes = octets === '' ? new Uint8Array(0) : hex(octets);
		const skipped = new SkippedHeaders();
		const found = skipHeaders(skipped, new DataView(bytes.buffer), 0, bytes.length, proto);
		const have = { found, at: skipped.at, proto: skipped.proto };
		assert.deepEqual(
			{ ...have, fragmentOffset: skipped.fragmentOffset },
			{ fragmentOffset: 0, ...want },
		);
	});
}
