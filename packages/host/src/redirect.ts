/**
 * ICMP redirects (RFC 1812 §5.2.7.2): a packet that goes on by the device it came from might have gone
 * there at once, and its sender is told so. IPv6 has none here: they need neighbours.
 */
import { IcmpType, ipv4Source } from '@xfrm/wire';
import { Family } from '@xfrm/wire/xfrm';
import { destinationOf, sourceOf } from './address-words.ts';
import { sendIcmpError } from './icmp-send.ts';
import type { Reception } from './reception.ts';
import { isOnLink } from './route-lookup.ts';
import type { Stack } from './stack.ts';

const REDIRECT_HOST = 1;

/** Tells the sender of a packet that is being forwarded of the better way, when there is one. */
export function sendRedirect(stack: Stack, reception: Reception): void {
	const { packet, device } = reception;
	const { route } = packet;
	const allowed = device.conf4.send_redirects | stack.sysctls.all4.send_redirects;
	if (route?.ifindex !== device.ifindex || allowed === 0 || packet.pathCount > 0) {
		return;
	}
	if (!isOnLink(stack, Family.Ipv4, sourceOf(packet), device)) {
		return;
	}
	const { view, start } = packet;
	if (stack.peers.admitRedirect(ipv4Source(view, start), stack.nowUs)) {
		const [a = 0, b = 0, c = 0, d = 0] = route.gateway ?? destinationOf(packet);
		const rest = (a << 24) | (b << 16) | (c << 8) | d;
		sendIcmpError(stack, reception, IcmpType.Redirect, REDIRECT_HOST, rest);
	}
}
