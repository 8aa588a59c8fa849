/** How a packet comes in or goes out, as far as it was told. */

/** Absent parts are guessed. */
export interface PacketOptions {
	readonly direction?: 'in' | 'out' | 'fwd';
	/** The socket's mark for `out`, the mark on arrival otherwise. */
	readonly mark?: number;
	readonly ifId?: number;
	/** The output device for `out`, else the arrival device. */
	readonly device?: string;
	/** `udp`: a UDP socket sends the payload, and the host makes the headers. */
	readonly sender?: 'socket' | 'hdrincl' | 'udp';
	/** Processor that it is dealt with on, from 0: states may be bound to one. */
	readonly processor?: number;
	/** Values that are otherwise random or counted (outbound). */
	readonly iv?: Uint8Array;
	readonly seq?: number;
	readonly ipId?: number;
	readonly padding?: Uint8Array;
}

/** The sender in a sentence. */
export function senderText(sender: PacketOptions['sender']): string {
	switch (sender) {
		case 'hdrincl':
			return '(a raw socket that writes its header: the flow has no ports)';
		case 'udp':
			return '(a UDP socket, the host makes the headers)';
		default:
			return '(a socket)';
	}
}
