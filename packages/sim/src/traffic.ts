/**
 * What users of the world send: UDP datagrams, each with a marker that nobody but the sender and the
 * receiver may see, and a number that no other has. Forged ones carry another marker and may reach nobody.
 */

const MARKER_OCTETS = 16;
/** Octets that are rare at the beginning, so that looking for them is quick. */
export const SECRET_MARKER: Uint8Array = marker(0xa7, 'xfrm-sim-secret');
export const FORGED_MARKER: Uint8Array = marker(0xb9, 'xfrm-sim-forged');
/** Marker and number. */
export const PAYLOAD_OCTETS_MIN: number = MARKER_OCTETS + 4;

/** The UDP ports that everybody listens on; sent is from the first. */
export const USER_PORT = 7;
export const OTHER_PORT = 9;

function marker(first: number, text: string): Uint8Array {
	const bytes = new Uint8Array(MARKER_OCTETS);
	bytes[0] = first;
	for (let i = 0; i < text.length; i++) {
		bytes[i + 1] = text.charCodeAt(i);
	}
	return bytes;
}

/** Do these octets hold the marker? */
export function holdsMarker(bytes: Uint8Array, mark: Uint8Array): boolean {
	const first = mark[0] ?? 0;
	for (let at = bytes.indexOf(first); at >= 0; at = bytes.indexOf(first, at + 1)) {
		let same = 1;
		while (same < mark.length && bytes[at + same] === mark[same]) {
			same++;
		}
		if (same === mark.length) {
			return true;
		}
	}
	return false;
}

/** What was sent and what arrived. */
export class Traffic {
	sent: number = 0;
	delivered: number = 0;
	/** Numbers that arrived. */
	readonly #arrived: Set<number> = new Set();

	/** A datagram's payload of at least `PAYLOAD_OCTETS_MIN` octets; its number is the last one's plus one. */
	payload(octets: number): { readonly number: number; readonly payload: Uint8Array } {
		const number = ++this.sent;
		const payload = new Uint8Array(Math.max(octets, PAYLOAD_OCTETS_MIN));
		payload.set(SECRET_MARKER);
		new DataView(payload.buffer).setUint32(MARKER_OCTETS, number);
		return { number, payload };
	}

	hasArrived(number: number): boolean {
		return this.#arrived.has(number);
	}

	/** Takes in what a socket got; a sentence when it must not have got it. */
	deliver(payload: Uint8Array): string | undefined {
		if (holdsMarker(payload, FORGED_MARKER)) {
			return 'a forged datagram was delivered';
		}
		if (
			payload.length < PAYLOAD_OCTETS_MIN ||
			!holdsMarker(payload.subarray(0, MARKER_OCTETS), SECRET_MARKER)
		) {
			return undefined;
		}
		const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
		const number = view.getUint32(MARKER_OCTETS);
		if (this.#arrived.has(number)) {
			return `datagram ${number} was delivered twice`;
		}
		this.#arrived.add(number);
		this.delivered++;
		return undefined;
	}
}
