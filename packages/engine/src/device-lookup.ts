/**
 * The OUT lookup that a virtual device makes for a packet which was routed into it: by the flow of the
 * packet's bytes, under the device's if_id (XFRM interface) or mark (VTI). No socket is asked, nothing is
 * held (net/xfrm/xfrm_interface_core.c: xfrmi_xmit2; net/ipv4/ip_vti.c: vti_xmit).
 *
 * @hotpath
 */
import { decodeFlow, type PacketBuffer } from '@xfrm/wire';
import { Errno } from '@xfrm/wire/xfrm';
import { routeGeneration } from './bundle.ts';
import { found, lookupFlow, Outcome, Want } from './flow-lookup.ts';
import type { Namespace } from './namespace.ts';
import { applyRefusal, settle } from './output-lookup.ts';
import { PacketAction, Verdict } from './verdict.ts';

/**
 * Looks a packet up by its bytes: see `EngineDoor.lookupByDevice`.
 *
 * @spec X-3 X-10 X-12 X-20
 */
export function lookupByDevice(
	net: Namespace,
	packet: PacketBuffer,
	oif: number,
	mark: number,
): void {
	packet.bundle = null;
	packet.verdict = Verdict.Pass;
	packet.error = 0;
	net.outputRun.seconds = net.nowSeconds();
	net.outputRun.routeGeneration = routeGeneration(net);
	const { flow, route } = packet;
	decodeFlow(flow, packet, false, net.profile.genericDissector);
	flow.oif = oif;
	flow.mark = mark;
	if (route === null) {
		packet.error = Errno.EHOSTUNREACH;
		packet.action = PacketAction.Drop;
		return;
	}
	const outcome = lookupFlow(net, flow, packet.ifId, 0, route, Want.Nothing, false);
	if (outcome === Outcome.Refused) {
		applyRefusal(packet);
		return;
	}
	settle(packet, outcome === Outcome.Bundle ? found.bundle : null, route);
}
