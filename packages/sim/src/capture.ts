/** What was on the links, as a pcapng file: an interface a link, in the order of first use. */
import {
	captureTimeFromUs,
	LinkType,
	pcapngInterface,
	pcapngPacket,
	pcapngSection,
} from '@xfrm/wire';

export class Capture {
	readonly #blocks: Uint8Array[] = [pcapngSection()];
	readonly #links: string[] = [];

	/** Names of the links, by number of interface. */
	get links(): readonly string[] {
		return this.#links;
	}

	add(link: string, packet: Uint8Array, timeUs: number): void {
		let number = this.#links.indexOf(link);
		if (number < 0) {
			number = this.#links.push(link) - 1;
			this.#blocks.push(pcapngInterface(LinkType.Raw));
		}
		this.#blocks.push(pcapngPacket(number, packet, captureTimeFromUs(timeUs)));
	}

	/** The whole file. */
	file(): Uint8Array {
		const octets = this.#blocks.reduce((sum, block) => sum + block.length, 0);
		const file = new Uint8Array(octets);
		let at = 0;
		for (const block of this.#blocks) {
			file.set(block, at);
			at += block.length;
		}
		return file;
	}
}
