/**
 * Octets that look random and are the same in every run: offline answers are to be repeatable, and nothing
 * that they make is ever sent.
 */
export function seededRandom(seed: number = 0x2545f491): (bytes: Uint8Array) => void {
	let state = seed;
	return (bytes) => {
		for (let i = 0; i < bytes.length; i++) {
			state ^= state << 13;
			state ^= state >>> 17;
			state ^= state << 5;
			bytes[i] = state >>> 8;
		}
	};
}
