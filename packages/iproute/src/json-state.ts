/** A state as JSON (schema/state.schema.json). */
import type { AttributeSource, UserSaInfo, XfrmAttribute } from '@xfrm/netlink';
import { formatHex } from '@xfrm/wire';
import type { Algorithm, Mark } from '@xfrm/wire/xfrm';
import { EXTRA_FLAG_WORDS, STATE_FLAG_WORDS } from './flag-words.ts';
import { isZeroSelector } from './format-selector.ts';
import {
	addressJson,
	currentJson,
	ENCAP_WORDS,
	familyJson,
	flagsJson,
	hex32Json,
	hexJson,
	type JsonObject,
	type JsonOptions,
	labelJson,
	lifetimeJson,
	MODE_WORDS,
	markJson,
	member,
	offloadJson,
	PROTOCOL_WORDS,
	plain,
	replayEsnJson,
	replayJson,
	STATE_DIRECTION_WORDS,
	selectorJson,
	unknownJson,
	wordJson,
} from './json-parts.ts';

function algorithmJson(
	algorithm: Algorithm,
	options: JsonOptions,
	more: JsonObject = {},
): JsonObject {
	const { name, key, keyBits } = algorithm;
	const shown = options.keys === undefined || key.length === 0;
	return {
		name,
		key: shown ? `0x${formatHex(key)}` : options.keys?.of(key),
		key_bits: keyBits,
		...more,
	};
}

function algorithmsJson(from: AttributeSource, options: JsonOptions): JsonObject {
	const auth = from.get('algAuth');
	const trunc = from.get('algAuthTrunc');
	const authentication =
		trunc === undefined
			? member('auth', auth, (one) => algorithmJson(one, options))
			: { auth: algorithmJson(trunc, options, { icv_bits: trunc.truncBits }) };
	return {
		...authentication,
		...member('aead', from.get('algAead'), (one) =>
			algorithmJson(one, options, { icv_bits: one.icvBits }),
		),
		...member('enc', from.get('algCrypt'), (one) => algorithmJson(one, options)),
		...member('comp', from.get('algComp'), ({ name }) => ({ name })),
	};
}

function outputMarkJson(from: AttributeSource): JsonObject {
	const v = from.get('setMark');
	const m = from.get('setMarkMask');
	if (v === undefined) {
		return {};
	}
	return { output_mark: m === undefined ? hexJson(v) : markJson({ v, m }) };
}

function iptfsJson(from: AttributeSource): JsonObject {
	const iptfs = {
		...member('drop_time', from.get('iptfsDropTime'), plain),
		...member('reorder_window', from.get('iptfsReorderWindow'), plain),
		...member('dont_frag', from.get('iptfsDontFrag'), plain),
		...member('init_delay', from.get('iptfsInitDelay'), plain),
		...member('max_queue_size', from.get('iptfsMaxQsize'), plain),
		...member('pkt_size', from.get('iptfsPktSize'), plain),
	};
	return Object.keys(iptfs).length === 0 ? {} : { iptfs };
}

/** What attributes say, in the order in which ip prints them, then what it does not print. */
function attributesJson(from: AttributeSource, family: number, options: JsonOptions): JsonObject {
	return {
		...member('extra_flags', from.get('saExtraFlags'), (flags) =>
			flagsJson(flags, EXTRA_FLAG_WORDS),
		),
		...member('mark', from.get('mark'), (mark: Mark) => markJson(mark)),
		...outputMarkJson(from),
		...algorithmsJson(from, options),
		...member('encap', from.get('encap'), ({ type, sport, dport, oa }) => ({
			type: wordJson(ENCAP_WORDS, type),
			sport,
			dport,
			addr: addressJson(oa, family),
		})),
		...member('coa', from.get('coaddr'), (address) => addressJson(address, family)),
		...member('lastused', from.get('lastused'), plain),
		...member('replay', from.get('replayVal'), replayJson),
		...member('replay_esn', from.get('replayEsnVal'), replayEsnJson),
		...member('replay_thresh', from.get('replayThresh'), plain),
		...member('etimer_thresh', from.get('etimerThresh'), plain),
		...member('mtimer_thresh', from.get('mtimerThresh'), plain),
		...member('offload', from.get('offloadDev'), (offload) => offloadJson(offload, options)),
		...member('if_id', from.get('ifId'), hexJson),
		...member('tfcpad', from.get('tfcpad'), plain),
		...member('dir', from.get('saDir'), (dir) => wordJson(STATE_DIRECTION_WORDS, dir)),
		...member('pcpu_num', from.get('saPcpu'), plain),
		...member('nat_keepalive', from.get('natKeepaliveInterval'), plain),
		...iptfsJson(from),
	};
}

/** A state and its attributes; `sel` is absent when nothing of it is set, as ip does not print it then. */
export function stateJson(
	state: UserSaInfo,
	attributes: readonly XfrmAttribute[],
	from: AttributeSource,
	options: JsonOptions,
): JsonObject {
	const { id, family, seq, selector, stats } = state;
	return {
		object: 'state',
		src: addressJson(state.saddr, family),
		dst: addressJson(id.daddr, family),
		...familyJson(family),
		proto: wordJson(PROTOCOL_WORDS, id.proto),
		spi: hex32Json(id.spi),
		reqid: state.reqid,
		mode: wordJson(MODE_WORDS, state.mode),
		replay_window: state.replayWindow,
		flags: flagsJson(state.flags, STATE_FLAG_WORDS),
		...(seq === 0 ? {} : { seq }),
		...attributesJson(from, family, options),
		...(isZeroSelector(selector) ? {} : { sel: selectorJson(selector, options, family) }),
		lifetime: lifetimeJson(state.lifetime),
		current: currentJson(state.lifetimeCurrent),
		stats: {
			replay_window: stats.replayWindow,
			replay: stats.replay,
			failed: stats.integrityFailed,
		},
		...labelJson(from),
		...unknownJson(attributes),
	};
}
