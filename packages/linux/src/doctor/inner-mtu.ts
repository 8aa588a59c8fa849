/** How long a packet may be inside a state, from the MTU outside. */
import { findAead, findAuth, findCrypt } from '@xfrm/crypto/algorithms';
import { attributeValue, type NamedMessage } from '@xfrm/netlink';
import { Family, IpProto, Mode } from '@xfrm/wire/xfrm';

const ESP_HEADER = 8;
const UDP_HEADER = 8;
/** Pad length and next header. */
const ESP_TRAILER = 2;

interface Sizes {
	readonly iv: number;
	readonly icv: number;
	readonly block: number;
}

function sizesOf({ attributes }: NamedMessage<'newsa'>): Sizes {
	const aead = attributeValue(attributes, 'algAead');
	const info = aead && findAead(aead.name, aead.icvBits);
	if (aead !== undefined && info !== undefined) {
		return { iv: info.ivOctets, icv: aead.icvBits >> 3, block: info.blockOctets };
	}
	const crypt = findCrypt(attributeValue(attributes, 'algCrypt')?.name ?? '');
	const auth = attributeValue(attributes, 'algAuthTrunc');
	const icvBits =
		auth?.truncBits ??
		findAuth(attributeValue(attributes, 'algAuth')?.name ?? '')?.icvDefaultBits ??
		0;
	return { iv: crypt?.ivOctets ?? 0, icv: icvBits >> 3, block: crypt?.blockOctets ?? 1 };
}

/**
 * Octets of the longest inner packet of an ESP tunnel that fits into `mtu` octets outside; undefined for
 * other states (xfrm_state.c:xfrm_state_mtu).
 */
export function innerMtu(state: NamedMessage<'newsa'>, mtu: number): number | undefined {
	const { id, family, mode } = state.body;
	if (id.proto !== IpProto.Esp || mode !== Mode.Tunnel) {
		return undefined;
	}
	const { iv, icv, block } = sizesOf(state);
	const outer = family === Family.Ipv4 ? 20 : 40;
	const encap = attributeValue(state.attributes, 'encap') === undefined ? 0 : UDP_HEADER;
	const room = mtu - outer - encap - ESP_HEADER - iv - icv;
	const align = Math.max(4, block);
	return room - (room % align) - ESP_TRAILER;
}
