/**
 * The file of a journal: lines behind each other, and now and then a new file in its place that says the same in as
 * few.
 */
import {
	closeSync,
	existsSync,
	fstatSync,
	openSync,
	readSync,
	renameSync,
	rmSync,
	writeSync,
} from 'node:fs';
import { JOURNAL_SLACK_OCTETS } from '../limits.ts';

/** A whole journal is written in pieces of about so many characters. */
const CHUNK_LENGTH = 0x1_0000;

/** Room for the lines of a few changes. */
const LINES_OCTETS = 0x4000;

const NEW_LINE = 10;

/** Where what is written is forgotten at once. */
export const NOWHERE = '/dev/null';

/** Where a line is, without its end. */
export interface LinePlace {
	readonly at: number;
	readonly octets: number;
}

/** Reads a journal in pieces: all of it may be some times as long as what it comes to. */
export class JournalReader {
	readonly #fd: number;
	#piece: Buffer = Buffer.alloc(CHUNK_LENGTH);

	constructor(path: string) {
		this.#fd = openSync(path, 'r');
	}

	/** All lines that have an end, each to be taken before the next. */
	*lines(): Generator<LinePlace & { readonly text: string }, void, undefined> {
		let from = 0;
		let filled = 0;
		for (;;) {
			const octets = this.#fill(filled, from + filled);
			if (octets === 0) {
				return;
			}
			filled += octets;
			let at = 0;
			for (let end = this.#endOf(at, filled); end >= 0; end = this.#endOf(at, filled)) {
				const text = this.#piece.toString('utf8', at, end);
				yield { at: from + at, octets: end - at, text };
				at = end + 1;
			}
			this.#piece.copy(this.#piece, 0, at, filled);
			from += at;
			filled -= at;
		}
	}

	/** The text of a line once more. */
	textOf({ at, octets }: LinePlace): string {
		this.#makeRoom(octets);
		return this.#piece.toString('utf8', 0, readSync(this.#fd, this.#piece, 0, octets, at));
	}

	close(): void {
		closeSync(this.#fd);
	}

	#fill(filled: number, position: number): number {
		this.#makeRoom(filled + 1);
		return readSync(this.#fd, this.#piece, filled, this.#piece.length - filled, position);
	}

	/** -1 when it is not in the piece. */
	#endOf(at: number, filled: number): number {
		const end = this.#piece.indexOf(NEW_LINE, at);
		return end < filled ? end : -1;
	}

	#makeRoom(octets: number): void {
		if (octets > this.#piece.length) {
			this.#piece = Buffer.concat([this.#piece], 2 * octets);
		}
	}
}

export class JournalFile {
	readonly #path: string;
	#fd: number = -1;
	/** Octets when it was last written anew, and now. */
	#octetsFirst: number = 0;
	#octets: number = 0;
	/** Of the lines that are written; those of a few changes fit. */
	readonly #bytes: Buffer = Buffer.alloc(LINES_OCTETS);

	/** @param path or `NOWHERE`; nothing is opened before it is written anew */
	constructor(path: string) {
		this.#path = path;
	}

	get path(): string {
		return this.#path;
	}

	get exists(): boolean {
		return this.#path !== NOWHERE && existsSync(this.#path);
	}

	/** Of a predecessor's. @throws Error of the file system */
	reader(): JournalReader {
		return new JournalReader(this.#path);
	}

	/** Is it long enough to be written anew? */
	get isLong(): boolean {
		return this.#octets > 2 * this.#octetsFirst + JOURNAL_SLACK_OCTETS;
	}

	/** @throws Error of the file system; then none of the lines counts */
	append(lines: string): void {
		const fits = 3 * lines.length <= this.#bytes.length;
		const bytes = fits ? this.#bytes : Buffer.from(lines);
		const octets = fits ? bytes.write(lines) : bytes.length;
		const written = writeSync(this.#fd, bytes, 0, octets, this.#octets);
		if (written < octets) {
			// The next one begins at the same place, and a reader sees no half line.
			throw new Error(`the journal took ${written} of ${octets} octets: no space left`);
		}
		this.#octets += octets;
	}

	/** Writes a file and puts it in the place of the one before. @throws Error of the file system; that one stays then */
	writeAnew(all: Iterable<string>): void {
		const draft = this.#path === NOWHERE ? NOWHERE : `${this.#path}.new`;
		const fd = openSync(draft, 'w', 0o600);
		const before = { fd: this.#fd, octets: this.#octets };
		this.#fd = fd;
		this.#octets = 0;
		try {
			let lines = '';
			for (const line of all) {
				lines += line;
				if (lines.length > CHUNK_LENGTH) {
					this.append(lines);
					lines = '';
				}
			}
			this.append(lines);
			if (draft !== this.#path) {
				renameSync(draft, this.#path);
			}
		} catch (error) {
			closeSync(fd);
			if (draft !== this.#path) {
				rmSync(draft, { force: true });
			}
			this.#fd = before.fd;
			this.#octets = before.octets;
			throw error;
		}
		if (before.fd >= 0) {
			closeSync(before.fd);
		}
		this.#octetsFirst = fstatSync(fd).size;
	}

	close(): void {
		closeSync(this.#fd);
	}
}
