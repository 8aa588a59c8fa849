/** What the policy check keeps between packets: places that are refilled, and the last report. */
import { Flow, type PacketBuffer } from '@xfrm/wire';
import { MAX_DEPTH, type Template } from '@xfrm/wire/xfrm';
import type { XfrmPolicy } from './policy.ts';

export class PolicyCheckRun {
	/** Flow of a packet that an ICMP error quotes, reversed. */
	readonly embedded: Flow = new Flow();
	/** Flow of a check that is not of the packet itself (reverse check). */
	readonly reversed: Flow = new Flow();
	/** Templates in the order of the walk, innermost first, and the policy each is of. */
	readonly templates: (Template | null)[] = new Array<Template | null>(MAX_DEPTH).fill(null);
	readonly owners: (XfrmPolicy | null)[] = new Array<XfrmPolicy | null>(MAX_DEPTH).fill(null);
	templateCount: number = 0;

	/**
	 * The packet that the last REPORT was about, and when: a second check of the same packet tells nothing
	 * new (T-60). Compared by identity only, never read.
	 */
	reportedPacket: PacketBuffer | null = null;
	readonly reportedAt: Float64Array = new Float64Array(1);

	clear(): void {
		for (let i = 0; i < this.templateCount; i++) {
			this.templates[i] = null;
			this.owners[i] = null;
		}
		this.templateCount = 0;
	}
}
