/**
 * ESP (RFC 4303): what a state needs to be one, and the sizes it takes on the wire. Counterpart of
 * esp_init_state in net/ipv4/esp4.c and net/ipv6/esp6.c; the family is data here.
 *
 * Output is in esp-output.ts, input in esp-input.ts.
 */
import { type AeadInfo, findAead, findAuth, findCrypt, keyFits } from '@xfrm/crypto/algorithms';
import { IPTFS_HEADER_OCTETS } from '@xfrm/wire';
import { EncapType, Errno, Family, Mode, type Refusal, StateFlag } from '@xfrm/wire/xfrm';
import type { Namespace } from '../namespace.ts';
import type { XfrmState } from '../state.ts';

const ESP_FIXED_OCTETS = 8;
/** What BEET keeps in reserve for IPv4 options: the pseudo header, and IPv6's larger header (U-2). */
const BEET_RESERVE_IPV4 = 8;
const BEET_RESERVE_IPV6 = 28;

const CRYPTO_REFUSED: Refusal = {
	errno: Errno.EINVAL,
	message: 'Kernel was unable to initialize cryptographic operations',
};
/** A cipher's or a MAC's own key is refused without a sentence (spec section 4.2). */
const KEY_REFUSED: Refusal = { errno: Errno.EINVAL };
const CRYPTO_ABSENT: Refusal = {
	errno: Errno.ENOSYS,
	message: 'Kernel was unable to initialize cryptographic operations',
};

/**
 * Makes a VOID state an ESP state: algorithms, key, sizes. An algorithm that is available but that the
 * provider lacks leaves `key` undefined.
 *
 * @returns why Linux would refuse, or undefined
 * @spec T-2 T-7 T-8 T-11 U-2; RFC 4303 §2
 */
export function espInit(net: Namespace, state: XfrmState): Refusal | undefined {
	const { aead, crypt } = state.config;
	let refusal: Refusal | undefined;
	if (aead !== undefined) {
		refusal = initCombined(net, state, findAead(aead.name, aead.icvBits));
	} else if (crypt !== undefined) {
		refusal = initSeparate(net, state);
	} else {
		refusal = { errno: Errno.EINVAL, message: 'ESP: AEAD or CRYPT must be provided' };
	}
	return refusal ?? setEspSizes(net, state);
}

function initCombined(
	net: Namespace,
	state: XfrmState,
	info: AeadInfo | undefined,
): Refusal | undefined {
	const key = state.config.aead?.key ?? new Uint8Array(0);
	if (info === undefined || !net.available.algorithm('aead', info.name, info.icvBits)) {
		return CRYPTO_ABSENT;
	}
	if (!keyFits(info, key.length)) {
		return CRYPTO_REFUSED;
	}
	state.aead = info;
	state.ivOctets = info.ivOctets;
	state.icvOctets = info.icvBits >> 3;
	state.blockOctets = 4;
	fillSalt(net, state);
	state.key = net.provider.espKey({
		aead: { name: info.name, key, icvOctets: state.icvOctets },
		esn: (state.flags & StateFlag.Esn) !== 0,
	});
	return undefined;
}

/** Draws the mask of the IV's counter (T-6). */
function fillSalt(net: Namespace, state: XfrmState): void {
	const octets = new Uint8Array(8);
	net.options.random(octets);
	const view = new DataView(octets.buffer);
	state.ivSaltHigh = view.getInt32(0, true);
	state.ivSaltLow = view.getInt32(4, true);
}

/** Cipher, with or without a MAC; a MAC without a cipher is refused (T-7). */
function initSeparate(net: Namespace, state: XfrmState): Refusal | undefined {
	const { crypt, auth } = state.config;
	const cryptInfo = crypt === undefined ? undefined : findCrypt(crypt.name);
	if (
		crypt === undefined ||
		cryptInfo === undefined ||
		!net.available.algorithm('crypt', cryptInfo.name)
	) {
		return CRYPTO_ABSENT;
	}
	const authInfo = auth === undefined ? undefined : findAuth(auth.name);
	if (auth !== undefined) {
		if (authInfo === undefined || !net.available.algorithm('auth', authInfo.name)) {
			return CRYPTO_ABSENT;
		}
		if (!keyFits(authInfo, auth.key.length) || auth.truncBits > authInfo.icvFullBits) {
			return KEY_REFUSED;
		}
		state.icvOctets = (auth.truncBits || authInfo.icvDefaultBits) >> 3;
	}
	if (!keyFits(cryptInfo, crypt.key.length)) {
		return KEY_REFUSED;
	}
	state.crypt = cryptInfo;
	state.auth = authInfo;
	state.ivOctets = cryptInfo.ivOctets;
	state.blockOctets = (cryptInfo.blockOctets + 3) & ~3;
	if (cryptInfo.ivCounter) {
		fillSalt(net, state);
	}
	const cipher = { name: cryptInfo.name, key: crypt.key };
	const esn = (state.flags & StateFlag.Esn) !== 0;
	state.key = net.provider.espKey(
		auth === undefined || authInfo === undefined
			? { crypt: cipher, esn }
			: {
					crypt: cipher,
					auth: { name: authInfo.name, key: auth.key, icvOctets: state.icvOctets },
					esn,
				},
	);
	return undefined;
}

/** @spec U-2 T-11 NT-1 NT-5 M-11 */
function setEspSizes(net: Namespace, state: XfrmState): Refusal | undefined {
	let octets = ESP_FIXED_OCTETS + state.ivOctets;
	if (state.encap !== undefined) {
		const encapOctets = encapHeaderOctets(net, state.encap.type);
		if (encapOctets === 0) {
			return { errno: Errno.EINVAL, message: 'Unsupported encapsulation type for ESP' };
		}
		octets += encapOctets;
	}
	state.transformOctets = octets;
	const ipv4 = state.family === Family.Ipv4;
	if (state.mode === Mode.Tunnel) {
		octets += ipv4 ? 20 : 40;
	} else if (state.mode === Mode.Iptfs) {
		octets += (ipv4 ? 20 : 40) + IPTFS_HEADER_OCTETS;
	} else if (state.mode === Mode.Beet && state.selector.family !== Family.Ipv6) {
		octets += ipv4 ? BEET_RESERVE_IPV4 : BEET_RESERVE_IPV6;
	}
	state.headerOctets = octets;
	state.trailerOctets = state.blockOctets + 1 + state.icvOctets;
	return undefined;
}

/** Octets of UDP header and non-IKE marker; 0 for a type that this kernel refuses. */
function encapHeaderOctets(net: Namespace, type: number): number {
	if (type === EncapType.EspInUdp) {
		return 8;
	}
	if (type === EncapType.EspInTcp) {
		// The length field; the rest is the socket's.
		return net.profile.espInTcp ? 2 : 0;
	}
	return type === EncapType.EspInUdpNonIke && net.profile.nonIkeEncap ? 16 : 0;
}
