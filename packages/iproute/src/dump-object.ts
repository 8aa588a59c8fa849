/** An object read from a dump, or from JSON: the message that a dump of the kernel would have had. */
import type { NamedMessage } from '@xfrm/netlink';

/** What the text did not say, so that readers may know what is exact and what is not. */
export interface Untold {
	/** Algorithms whose keys are hidden: keyword and name; the key is zeros of the length told or usual. */
	readonly hiddenKeys: readonly string[];
	/** Lifetimes, counters, statistics, index: told with -s only. */
	readonly statistics: boolean;
}

interface Placed {
	/** Lines of the text, from 1. */
	readonly line: number;
	readonly lastLine: number;
	readonly untold: Untold;
}

export interface DumpedState extends Placed {
	readonly kind: 'state';
	readonly message: NamedMessage<'newsa'>;
}

export interface DumpedPolicy extends Placed {
	readonly kind: 'policy';
	readonly message: NamedMessage<'newpolicy'>;
}

export type DumpedObject = DumpedState | DumpedPolicy;
