/**
 * What IPComp in tunnel mode sends when there was nothing to compress: a plain packet in a packet, protocol 4
 * or 41, behind the ESP that was taken off. The engine takes it if it has the helper state that goes with
 * IPComp's; without one it is some tunnel device's of the kernel (`ip link add type ipip`), to whom it goes.
 */
import type { Engine } from '@xfrm/engine';
import type { PacketBuffer } from '@xfrm/wire';
import { addressFrom, Family, IpProto } from '@xfrm/wire/xfrm';

/** Is it a packet in a packet, between addresses that IPComp has a helper state for? @spec T-32 T-40 */
export function hasHelperState(engine: Engine, packet: PacketBuffer): boolean {
	const { proto, family, bytes, start, view } = packet;
	if (proto !== IpProto.Ipip && proto !== IpProto.Ipv6) {
		return false;
	}
	if (family === Family.Ipv4) {
		const daddr = addressFrom(bytes, start + 16, 4);
		const spi = view.getUint32(start + 12);
		return engine.knowsQuoted(family, daddr, spi, IpProto.Ipip, packet.mark);
	}
	const saddr = Int32Array.from([8, 12, 16, 20], (at) => view.getInt32(start + at));
	const spi = engine.net.helperSpis.spiOf(saddr);
	const daddr = addressFrom(bytes, start + 24, 16);
	return spi !== 0 && engine.knowsQuoted(family, daddr, spi, IpProto.Ipv6, packet.mark);
}
