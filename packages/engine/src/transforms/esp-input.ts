/**
 * ESP, input half (RFC 4303 §3.4): one job for the crypto provider, then the trailer.
 *
 *     transportAt        textAt                     textEnd      end
 *     | SPI | seq | IV    | payload | padding | n | nh | ICV       |
 *
 * Nothing of the plaintext is looked at before the ICV was found right. Counterpart: net/ipv4/esp4.c,
 * net/ipv6/esp6.c. Replay and lifetimes are input.ts, a changed peer address is udp-encap.ts.
 *
 * @hotpath
 */
import type { CryptoBatch } from '@xfrm/crypto/provider';
import {
	ESP_HEADER_OCTETS,
	ESP_TRAILER_OCTETS,
	espNextHeader,
	espPadLength,
	type PacketBuffer,
} from '@xfrm/wire';
import { IpProto } from '@xfrm/wire/xfrm';
import type { XfrmState } from '../state.ts';
import { type Opened, OpenFault } from './opened.ts';

// V8 compiles these in; an imported constant is read each time (CONTRIBUTING.md, Style).
const { None } = OpenFault;
const { NoNext } = IpProto;

/**
 * Adds the job that verifies and decrypts the packet.
 *
 * @returns Short when the packet cannot hold IV and ICV
 * @spec T-4 T-5 T-9
 */
export function planEspInput(
	jobs: CryptoBatch,
	packet: PacketBuffer,
	state: XfrmState,
	seqHi: number,
): OpenFault {
	const textAt = packet.transportAt + ESP_HEADER_OCTETS + state.ivOctets;
	const textEnd = packet.end - state.icvOctets;
	if (packet.end <= textAt || textEnd < textAt) {
		return OpenFault.Short;
	}
	const job = jobs.count++;
	jobs.keys[job] = state.key;
	jobs.bytes[job] = packet.bytes;
	jobs.aadAt[job] = packet.transportAt;
	jobs.ivAt[job] = packet.transportAt + ESP_HEADER_OCTETS;
	jobs.textAt[job] = textAt;
	jobs.textEnd[job] = textEnd;
	jobs.out[job] = packet.bytes;
	jobs.outAt[job] = textEnd;
	jobs.outEnd[job] = packet.end;
	jobs.seqHi[job] = seqHi;
	return None;
}

/**
 * Takes off header and trailer of an opened packet.
 *
 * @returns Padding for a pad length that leaves nothing, so for a payload of no octets too; Dummy for a
 *   packet that only hides how much is said (RFC 4303 §2.6), its header and trailer gone all the same
 * @spec T-9
 */
export function finishEspInput(packet: PacketBuffer, state: XfrmState, opened: Opened): OpenFault {
	const textAt = packet.transportAt + ESP_HEADER_OCTETS + state.ivOctets;
	const textEnd = packet.end - state.icvOctets;
	const trailerOctets = espPadLength(packet.view, textEnd) + ESP_TRAILER_OCTETS;
	if (trailerOctets >= textEnd - textAt) {
		return OpenFault.Padding;
	}
	opened.payloadAt = textAt;
	opened.nextHeader = espNextHeader(packet.view, textEnd);
	packet.end = textEnd - trailerOctets;
	return opened.nextHeader === NoNext ? OpenFault.Dummy : None;
}
