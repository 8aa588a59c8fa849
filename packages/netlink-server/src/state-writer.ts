/**
 * NEWSA as dumps, GETSA and ALLOCSPI show states, written from the engine's object straight into the message.
 * Says in bytes what `stateMessage` says by way of values, which takes thirty times as long; a test holds the
 * two together.
 */
import {
	Current,
	ReplayCounter,
	ReplayMode,
	type ReplayWindow,
	StateStat,
	type XfrmState,
} from '@xfrm/engine';
import {
	type AttributeName,
	attributeSpec,
	encapTemplate,
	lifetimeConfig,
	type MessageHeader,
	MessageType,
	MessageWriter,
	putOctets,
	replayState,
	replayStateEsn,
	userOffload,
	userSaInfo,
	writeAddress,
	writeName,
	writeU64,
	xfrmMark,
	xfrmSelector,
} from '@xfrm/netlink';
import {
	ADDRESS_OCTETS,
	type Algorithm,
	type IptfsConfig,
	type Mark,
	Mode,
	SaDirection,
} from '@xfrm/wire/xfrm';

const NAME_OCTETS = 64;

function numberOf(name: AttributeName): number {
	return attributeSpec(name).number;
}

const ALG_AUTH: number = numberOf('algAuth');
const ALG_CRYPT: number = numberOf('algCrypt');
const ALG_COMP: number = numberOf('algComp');
const ENCAP: number = numberOf('encap');
const REPLAY_VAL: number = numberOf('replayVal');
const COADDR: number = numberOf('coaddr');
const LASTUSED: number = numberOf('lastused');
const ALG_AEAD: number = numberOf('algAead');
const ALG_AUTH_TRUNC: number = numberOf('algAuthTrunc');
const MARK: number = numberOf('mark');
const TFCPAD: number = numberOf('tfcpad');
const REPLAY_ESN_VAL: number = numberOf('replayEsnVal');
const SA_EXTRA_FLAGS: number = numberOf('saExtraFlags');
const OFFLOAD_DEV: number = numberOf('offloadDev');
const SET_MARK: number = numberOf('setMark');
const SET_MARK_MASK: number = numberOf('setMarkMask');
const IF_ID: number = numberOf('ifId');
const MTIMER_THRESH: number = numberOf('mtimerThresh');
const SA_DIR: number = numberOf('saDir');
const NAT_KEEPALIVE_INTERVAL: number = numberOf('natKeepaliveInterval');
const SA_PCPU: number = numberOf('saPcpu');
const IPTFS_DROP_TIME: number = numberOf('iptfsDropTime');
const IPTFS_REORDER_WINDOW: number = numberOf('iptfsReorderWindow');
const IPTFS_DONT_FRAG: number = numberOf('iptfsDontFrag');
const IPTFS_INIT_DELAY: number = numberOf('iptfsInitDelay');
const IPTFS_MAX_QSIZE: number = numberOf('iptfsMaxQsize');
const IPTFS_PKT_SIZE: number = numberOf('iptfsPktSize');

/** The header's fields but type and length. */
export type StateHeader = Omit<MessageHeader, 'type'>;

/** The message, in memory of its own. */
export function stateAnswer(state: XfrmState, header: StateHeader): Uint8Array {
	const writer = new MessageWriter({ ...header, type: MessageType.NewSa });
	appendState(writer, state);
	return writer.finish();
}

/**
 * Appends payload and attributes to a message that has its header, in the kernel's order.
 *
 * @spec N-13 S-17 S-18; section 2.3 NEWSA
 */
export function appendState(writer: MessageWriter, state: XfrmState): void {
	const { config } = state;
	appendInfo(writer, state);
	appendNonZero(writer, SA_EXTRA_FLAGS, config.extraFlags);
	if (config.coaddr !== undefined) {
		const at = writer.appendAttribute(COADDR, ADDRESS_OCTETS);
		writeAddress(writer.view, at, config.coaddr);
	}
	const lastUsed = state.lifetime[Current.LastUsed] ?? 0;
	if (lastUsed !== 0) {
		const at = writer.appendAttribute(LASTUSED, 8);
		writeU64(writer.view, at, lastUsed);
	}
	appendAlgorithms(writer, state);
	if (config.encap !== undefined) {
		const at = writer.appendAttribute(ENCAP, encapTemplate.octets);
		encapTemplate.write(writer.view, at, config.encap);
	}
	appendNonZero(writer, TFCPAD, config.tfcpad);
	appendMarks(writer, config.mark, config.outputMark);
	appendReplay(writer, state.replay);
	if (config.offload !== undefined) {
		const at = writer.appendAttribute(OFFLOAD_DEV, userOffload.octets);
		userOffload.write(writer.view, at, config.offload);
	}
	appendNonZero(writer, IF_ID, config.ifId);
	if (state.mode === Mode.Iptfs) {
		appendIptfs(writer, state.direction, config.iptfs ?? {});
	}
	appendNonZero(writer, MTIMER_THRESH, state.mappingThresholdSeconds);
	appendWord(writer, SA_PCPU, config.pcpu);
	if (state.direction !== SaDirection.Unset) {
		const at = writer.appendAttribute(SA_DIR, 1);
		writer.view.setUint8(at, state.direction);
	}
	appendNonZero(writer, NAT_KEEPALIVE_INTERVAL, config.natKeepaliveSeconds);
}

/** `struct xfrm_usersa_info`. */
function appendInfo(writer: MessageWriter, state: XfrmState): void {
	const at = writer.append(userSaInfo.octets);
	const { view } = writer;
	const { config, lifetime, replay } = state;
	const isLegacy = replay.mode === ReplayMode.Legacy;
	xfrmSelector.write(view, at, config.selector);
	writeAddress(view, at + 56, config.id.daddr);
	view.setInt32(at + 72, state.spi);
	view.setUint8(at + 76, state.proto);
	writeAddress(view, at + 80, config.saddr);
	lifetimeConfig.write(view, at + 96, config.lifetime);
	writeU64(view, at + 160, lifetime[Current.Bytes] ?? 0);
	writeU64(view, at + 168, lifetime[Current.Packets] ?? 0);
	writeU64(view, at + 176, lifetime[Current.AddTime] ?? 0);
	writeU64(view, at + 184, lifetime[Current.UseTime] ?? 0);
	view.setUint32(at + 192, state.statOf(StateStat.ReplayWindow), true);
	view.setUint32(at + 196, state.statOf(StateStat.Replay), true);
	view.setUint32(at + 200, state.statOf(StateStat.IntegrityFailed), true);
	view.setInt32(at + 204, state.seq, true);
	view.setInt32(at + 208, state.reqid, true);
	view.setUint16(at + 212, state.family, true);
	view.setUint8(at + 214, state.mode);
	view.setUint8(at + 215, isLegacy ? replay.windowPackets : config.replayWindow);
	view.setUint8(at + 216, state.flags);
}

/** Names and keys; both forms of authentication always (spec 2.3), no key of compression. */
function appendAlgorithms(writer: MessageWriter, state: XfrmState): void {
	const { aead, auth, crypt, comp } = state.config;
	if (aead !== undefined) {
		appendAlgorithm(writer, ALG_AEAD, aead, aead.icvBits);
	}
	if (auth !== undefined) {
		appendAlgorithm(writer, ALG_AUTH, auth);
		appendAlgorithm(writer, ALG_AUTH_TRUNC, auth, auth.truncBits);
	}
	if (crypt !== undefined) {
		appendAlgorithm(writer, ALG_CRYPT, crypt);
	}
	if (comp !== undefined) {
		const at = writer.appendAttribute(ALG_COMP, NAME_OCTETS + 4);
		writeName(writer.view, at, NAME_OCTETS, comp.name);
	}
}

/** `struct xfrm_algo`, or with a second length one of those that have it. */
function appendAlgorithm(
	writer: MessageWriter,
	number: number,
	{ name, key, keyBits }: Algorithm,
	secondBits?: number,
): void {
	const keyAt = NAME_OCTETS + (secondBits === undefined ? 4 : 8);
	const at = writer.appendAttribute(number, keyAt + key.length);
	const { view } = writer;
	writeName(view, at, NAME_OCTETS, name);
	view.setUint32(at + NAME_OCTETS, keyBits, true);
	if (secondBits !== undefined) {
		view.setUint32(at + NAME_OCTETS + 4, secondBits, true);
	}
	putOctets(view, at + keyAt, key);
}

function appendMarks(
	writer: MessageWriter,
	mark: Mark | undefined,
	outputMark: Mark | undefined,
): void {
	if (mark !== undefined && (mark.v !== 0 || mark.m !== 0)) {
		const at = writer.appendAttribute(MARK, xfrmMark.octets);
		writer.view.setUint32(at, mark.v, true);
		writer.view.setUint32(at + 4, mark.m, true);
	}
	if (outputMark !== undefined && (outputMark.v !== 0 || outputMark.m !== 0)) {
		appendWord(writer, SET_MARK, outputMark.v);
		appendWord(writer, SET_MARK_MASK, outputMark.m);
	}
}

/** `struct xfrm_replay_state` of a legacy window, `struct xfrm_replay_state_esn` of a circular one. */
function appendReplay(writer: MessageWriter, replay: ReplayWindow): void {
	const { counters, bitmap } = replay;
	const oseq = counters[ReplayCounter.Oseq] ?? 0;
	const seq = counters[ReplayCounter.Seq] ?? 0;
	if (replay.mode === ReplayMode.Legacy) {
		const at = writer.appendAttribute(REPLAY_VAL, replayState.octets);
		writer.view.setInt32(at, oseq, true);
		writer.view.setInt32(at + 4, seq, true);
		writer.view.setUint32(at + 8, bitmap[0] ?? 0, true);
		return;
	}
	const headerOctets = replayStateEsn.octetsMin;
	const at = writer.appendAttribute(REPLAY_ESN_VAL, headerOctets + 4 * bitmap.length);
	const { view } = writer;
	view.setUint32(at, bitmap.length, true);
	view.setInt32(at + 4, oseq, true);
	view.setInt32(at + 8, seq, true);
	view.setInt32(at + 12, counters[ReplayCounter.OseqHi] ?? 0, true);
	view.setInt32(at + 16, counters[ReplayCounter.SeqHi] ?? 0, true);
	view.setUint32(at + 20, replay.windowPackets, true);
	for (let i = 0; i < bitmap.length; i++) {
		view.setUint32(at + headerOctets + 4 * i, bitmap[i] ?? 0, true);
	}
}

/** IPTFS shows the settings of its direction only. */
function appendIptfs(writer: MessageWriter, direction: number, iptfs: IptfsConfig): void {
	if (direction === SaDirection.In) {
		appendWord(writer, IPTFS_DROP_TIME, iptfs.dropTimeUs);
		if (iptfs.reorderWindow !== undefined) {
			const at = writer.appendAttribute(IPTFS_REORDER_WINDOW, 2);
			writer.view.setUint16(at, iptfs.reorderWindow, true);
		}
		return;
	}
	if (iptfs.dontFragment === true) {
		writer.appendAttribute(IPTFS_DONT_FRAG, 0);
	}
	appendWord(writer, IPTFS_INIT_DELAY, iptfs.initDelayUs);
	appendWord(writer, IPTFS_MAX_QSIZE, iptfs.maxQueueOctets);
	appendWord(writer, IPTFS_PKT_SIZE, iptfs.packetOctets);
}

/** A u32, if there is a value. */
function appendWord(writer: MessageWriter, number: number, value: number | undefined): void {
	if (value !== undefined) {
		const at = writer.appendAttribute(number, 4);
		writer.view.setUint32(at, value, true);
	}
}

function appendNonZero(writer: MessageWriter, number: number, value: number | undefined): void {
	if (value !== undefined && value !== 0) {
		appendWord(writer, number, value);
	}
}
