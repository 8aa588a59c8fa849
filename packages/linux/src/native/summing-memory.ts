/**
 * Memory whose octets are summed sixteen at a time, for who has no compiler: Node compiles WebAssembly itself, and its
 * vectors take a fifth of the time that DataViews take. One function, over the memory that it is made with:
 *
 *     (func (export "sum") (param $at i32) (param $octets i32) (result i32)
 *       (local $end i32) (local $lanes v128)
 *       (local.set $end (i32.add (local.get $at) (local.get $octets)))
 *       (block (loop
 *         (br_if 1 (i32.ge_u (local.get $at) (local.get $end)))
 *         (local.set $lanes (i32x4.add (local.get $lanes)
 *           (i32x4.extadd_pairwise_i16x8_u (v128.load align=1 (local.get $at)))))
 *         (local.set $at (i32.add (local.get $at) (i32.const 16)))
 *         (br 0)))
 *       (the four lanes of $lanes, added))
 *
 * The words are little-endian, which an Internet checksum does not mind (RFC 1071 2): the sum's octets are swapped.
 *
 * @hotpath
 */
import { checksumAddView, checksumAddWord } from '@xfrm/wire';

/** What is used of it; TypeScript knows it of browsers only. */
declare const WebAssembly: {
	readonly Memory: new (pages: {
		readonly initial: number;
		readonly maximum: number;
	}) => { readonly buffer: ArrayBuffer };
	readonly Module: new (bytes: Uint8Array) => object;
	readonly Instance: new (
		module: object,
		imports: Readonly<Record<string, Readonly<Record<string, object>>>>,
	) => { readonly exports: { readonly sum: (at: number, octets: number) => number } };
};

const PAGE_OCTETS = 65_536;
const BLOCK_OCTETS = 16;
/** So many that no lane overflows, nor their sum. */
const CALL_OCTETS_MAX = 0x8000;

// biome-ignore format: a section or an instruction a line
const MODULE: Uint8Array = Uint8Array.of(
	0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
	1, 7, 1, 0x60, 2, 0x7f, 0x7f, 1, 0x7f, // types: (i32, i32) → i32
	2, 8, 1, 1, 0x6d, 1, 0x6d, 2, 0, 1, // imports: a memory, "m" of "m"
	3, 2, 1, 0, // functions
	7, 7, 1, 3, 0x73, 0x75, 0x6d, 0, 0, // exports: "sum"
	10, 75, 1, 73, // code
	2, 1, 0x7f, 1, 0x7b, // locals: an i32, a v128
	0x20, 0, 0x20, 1, 0x6a, 0x21, 2,
	0x02, 0x40, // block
	0x03, 0x40, // loop
	0x20, 0, 0x20, 2, 0x4f, 0x0d, 1, // br_if
	0x20, 3,
	0x20, 0, 0xfd, 0, 0, 0, // v128.load
	0xfd, 0x7f, // i32x4.extadd_pairwise_i16x8_u
	0xfd, 0xae, 1, 0x21, 3, // i32x4.add
	0x20, 0, 0x41, 16, 0x6a, 0x21, 0,
	0x0c, 0, 0x0b, 0x0b, // br, end of both
	0x20, 3, 0xfd, 0x1b, 0, // i32x4.extract_lane
	0x20, 3, 0xfd, 0x1b, 1, 0x6a,
	0x20, 3, 0xfd, 0x1b, 2, 0x6a,
	0x20, 3, 0xfd, 0x1b, 3, 0x6a,
	0x0b,
);

export class SummingMemory {
	readonly buffer: ArrayBuffer;
	readonly #view: DataView;
	readonly #sum: (at: number, octets: number) => number;

	/** @throws Error where Node has no WebAssembly, or the process no room for it among its addresses */
	constructor(octets: number) {
		const pages = Math.ceil(octets / PAGE_OCTETS);
		const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
		const { exports } = new WebAssembly.Instance(new WebAssembly.Module(MODULE), {
			m: { m: memory },
		});
		this.buffer = memory.buffer;
		this.#view = new DataView(this.buffer);
		this.#sum = exports.sum;
	}

	/** The sum over octets, as `checksumAddView`'s. */
	add(at: number, octets: number, sum: number): number {
		let total = sum;
		let from = at;
		for (let left = octets & -BLOCK_OCTETS; left > 0; ) {
			const some = Math.min(left, CALL_OCTETS_MAX);
			const words = this.#sum(from, some);
			const folded = checksumAddWord(words >>> 16, words & 0xffff);
			total = checksumAddWord(((folded & 0xff) << 8) | (folded >>> 8), total);
			from += some;
			left -= some;
		}
		return checksumAddView(this.#view, from, at + octets - from, total);
	}
}
