/**
 * What a transform's input leaves behind for the removal of the mode's header, or why it could not take
 * the packet. One `Opened` is reused for all packets.
 */
import { CryptoStatus } from '@xfrm/crypto/provider';

// V8 compiles these in; an imported constant is read each time (CONTRIBUTING.md, Style).
const { Ok } = CryptoStatus;

export class Opened {
	/** Offset of the first octet behind the transform's header (and IV). */
	payloadAt: number = 0;
	/** Protocol of the payload, as the transform's header or trailer names it. */
	nextHeader: number = 0;
}

/** Why a transform refused a packet. For the kernel all of them are XfrmInStateProtoError. */
export const OpenFault = {
	None: 0,
	/** No room for IV and ICV, or nothing behind them. */
	Short: 1,
	/** ICV differs: the only one that counts as an integrity failure of the state. */
	Icv: 2,
	/** The provider cannot do the state's algorithm. */
	Algorithm: 3,
	/** The text is no whole number of blocks. */
	Blocks: 4,
	/** Pad length leaves no payload. */
	Padding: 5,
	/** Next header 59. */
	Dummy: 6,
	/** AH's length fits neither ICV length. */
	AhLength: 7,
	/** Options or extension headers in front of an AH are damaged. */
	AhOptions: 8,
	/** Compressed data are damaged, too long when inflated, or had not been worth compressing. */
	Inflate: 9,
} as const;
export type OpenFault = (typeof OpenFault)[keyof typeof OpenFault];

/** Reason codes by fault (docs/reasons.md). */
export const OPEN_FAULT_CODES: readonly string[] = [
	'',
	'in.esp.short',
	'in.icv',
	'in.algorithm.missing',
	'in.esp.blocks',
	'in.esp.padding',
	'in.esp.dummy',
	'in.ah.length',
	'in.ah.options',
	'in.comp.inflate',
];

/** What a provider's status means for a packet; `malformed` is the fault of one it could not digest. */
export function faultOf(status: number, malformed: OpenFault): OpenFault {
	switch (status) {
		case Ok:
			return OpenFault.None;
		case CryptoStatus.BadIcv:
			return OpenFault.Icv;
		case CryptoStatus.NotSupported:
			return OpenFault.Algorithm;
		default:
			return malformed;
	}
}
