/** Broken invariants are errors of ours and loud; nothing that a packet or a request holds leads here. */

/** @throws RangeError unless the condition holds */
export function invariant(holds: boolean, message: string): asserts holds {
	if (!holds) {
		throw new RangeError(message);
	}
}
