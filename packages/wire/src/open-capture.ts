/** The one door to captures of any format: it looks how the file begins. */
import type { CaptureReader } from './capture.ts';
import { PcapReader } from './pcap.ts';
import { PcapngReader } from './pcapng.ts';

/** Does the file begin like a capture of a kind that `openCapture` reads? */
export function looksLikeCapture(file: Uint8Array): boolean {
	return PcapReader.recognizes(file) || PcapngReader.recognizes(file);
}

/** A reader for the format the file begins with; for any other file one that has nothing but an error. */
export function openCapture(file: Uint8Array): CaptureReader {
	return PcapngReader.recognizes(file) ? new PcapngReader(file) : new PcapReader(file);
}
