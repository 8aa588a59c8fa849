/**
 * The two ports that UDP, UDP-Lite, TCP, SCTP and DCCP all begin with (DCCP: RFC 4340 §5.1, of which
 * nothing else is needed here).
 *
 *     +-------------------------------+-------------------------------+
 *     |          Source Port          |       Destination Port        |
 *     +-------------------------------+-------------------------------+
 *
 * @hotpath
 */
import { IpProto } from './xfrm/constants.ts';

/** Does this protocol begin with two ports? */
export function hasPorts(proto: number): boolean {
	return (
		proto === IpProto.Udp ||
		proto === IpProto.Tcp ||
		proto === IpProto.Sctp ||
		proto === IpProto.Dccp ||
		proto === IpProto.UdpLite
	);
}

/** Are both ports there? */
export function fitsPorts(_view: DataView, at: number, end: number): boolean {
	return at + 4 <= end;
}

export function sourcePort(view: DataView, at: number): number {
	return view.getUint16(at);
}
export function destinationPort(view: DataView, at: number): number {
	return view.getUint16(at + 2);
}
