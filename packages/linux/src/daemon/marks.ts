/**
 * Numbers that the daemon puts on packets, rules and tables of the kernel: they name it, so that it finds
 * its own again after a restart and leaves what is another's.
 *
 * Marks have none of the bits that kube-proxy looks for on a node, 0x4000 and 0x8000: it would give a packet
 * another source, or drop it.
 */

/** Port id of the daemon's netlink socket, and what the preload shim sends to: "XFRD". */
export const DAEMON_PORT = 0x5846_5244;

/** Mark of packets that no policy may touch: the IKE daemon's (set by the shim) and the daemon's own. */
export const BYPASS_MARK = 0x5846_1201;

/** Mark of packets that are captured, plus the number of their lane. */
export const CAPTURE_MARK = 0x5846_1300;

/** Routing table of the first lane; the others follow. */
export const CAPTURE_TABLE = 0x5846_1300;

/** Preference of the rules that send captured packets to a lane's table: in front of any but the one of `local`. */
export const CAPTURE_PREFERENCE = 1;

/** Metrics of the default routes in a lane's table: the device, and what is left when it is gone. */
export const DEVICE_METRIC = 1;
export const GUARD_METRIC = 0x7fff_fff0;

/** Most lanes: devices for different policy marks. */
export const LANES_MAX = 64;

/** Name of a lane's device. */
export function laneDevice(lane: number): string {
	return `xfrmd${lane}`;
}
