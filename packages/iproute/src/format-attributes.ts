/**
 * Attributes of states and policies as `ip xfrm` prints them, in its order whatever the message's (spec 5.2;
 * iproute2's ip/ipxfrm.c: xfrm_xfrma_print).
 */
import { type AttributeSource, keyOctets } from '@xfrm/netlink';
import type { Algorithm, Mark, Offload, ReplayEsn, Template } from '@xfrm/wire/xfrm';
import { addressText } from './format-selector.ts';
import { encapName, modeName } from './identity-grammar.ts';
import { hex8, hexAlternate, type Layout } from './layout.ts';
import { xfrmProtocolName } from './protocol-names.ts';

const SHARES = ['any', 'session', 'user', 'unique'];

/** The name of a `share` value. */
export function shareName(share: number): string {
	return SHARES[share] ?? String(share);
}

/** What names a state: two lines, the second behind `prefix`. `forceSpi` prints a zero SPI too. */
export function identityLines(
	state: {
		readonly id: { readonly daddr: Uint8Array; readonly spi: number; readonly proto: number };
		readonly saddr: Uint8Array;
		readonly mode: number;
		readonly reqid: number;
		readonly family: number;
	},
	forceSpi: boolean,
	prefix: string,
	layout: Layout,
): string {
	const { id, family } = state;
	const stats = layout.stats > 0;
	const spi =
		stats || forceSpi || id.spi !== 0 ? `spi 0x${hex8(id.spi)}${stats ? `(${id.spi})` : ''} ` : '';
	const reqid = `reqid ${state.reqid}${stats ? `(0x${hex8(state.reqid)})` : ''} `;
	return (
		`src ${addressText(state.saddr, family)} dst ${addressText(id.daddr, family)}${layout.end}` +
		`${prefix}\tproto ${xfrmProtocolName(id.proto)} ${spi}${reqid}mode ${modeName(state.mode)}${layout.end}`
	);
}

/** `NAME 0xKEY[ (N bits)]`; whole octets only. */
function algorithmText(kind: string, algorithm: Algorithm, layout: Layout): string {
	const head = `${kind} ${algorithm.name} `;
	if (algorithm.key.length < keyOctets(algorithm.keyBits - (algorithm.keyBits % 8))) {
		return `${head}(ERROR truncated)`;
	}
	if (layout.nokeys) {
		return `${head}<<Keys hidden>>`;
	}
	const octets = Math.floor(algorithm.keyBits / 8);
	if (octets === 0) {
		return head;
	}
	const bits = layout.stats > 0 ? ` (${algorithm.keyBits} bits)` : '';
	if (layout.keys !== undefined) {
		// Its length is no secret, and a reader of the dump needs it.
		return `${head}<<${layout.keys.of(algorithm.key)} hidden>>${bits}`;
	}
	let digits = '';
	for (const octet of algorithm.key.subarray(0, octets)) {
		digits += octet.toString(16).padStart(2, '0');
	}
	return `${head}0x${digits}${bits}`;
}

function algorithmLines(from: AttributeSource, layout: Layout): string[] {
	const auth = from.get('algAuth');
	const trunc = from.get('algAuthTrunc');
	const aead = from.get('algAead');
	const crypt = from.get('algCrypt');
	const comp = from.get('algComp');
	const lines: string[] = [];
	if (trunc !== undefined) {
		// As printf's %d: a length above 2^31 is negative.
		lines.push(`${algorithmText('auth-trunc', trunc, layout)} ${trunc.truncBits | 0}`);
	} else if (auth !== undefined) {
		lines.push(algorithmText('auth', auth, layout));
	}
	if (aead !== undefined) {
		lines.push(`${algorithmText('aead', aead, layout)} ${aead.icvBits | 0}`);
	}
	if (crypt !== undefined) {
		lines.push(algorithmText('enc', crypt, layout));
	}
	if (comp !== undefined) {
		lines.push(algorithmText('comp', comp, layout));
	}
	return lines;
}

function markLine(
	mark: Mark | undefined,
	output: number | undefined,
	outputMask: number | undefined,
): string[] {
	const mask = outputMask === undefined ? '' : `/0x${outputMask.toString(16)}`;
	const out = output === undefined ? '' : `output-mark 0x${output.toString(16)}${mask}`;
	if (mark !== undefined) {
		return [`mark ${hexAlternate(mark.v)}/${hexAlternate(mark.m)} ${out}`];
	}
	return out === '' ? [] : [out];
}

/** Masks of algorithms that a key manager may choose. */
export function maskText(masks: {
	readonly aalgos: number;
	readonly ealgos: number;
	readonly calgos: number;
}): string {
	const { ealgos, aalgos, calgos } = masks;
	return `enc-mask ${hex8(ealgos)} auth-mask ${hex8(aalgos)} comp-mask ${hex8(calgos)}`;
}

/** One template: two lines, and a third and fourth when there is more to say. */
function templateLines(template: Template, prefix: string, layout: Layout): string {
	const stats = layout.stats > 0;
	const head = `${prefix}tmpl ${identityLines(template, false, prefix, layout)}`;
	let level = '';
	if (stats || template.optional !== 0) {
		const names = ['required', 'use'];
		const name = names[template.optional] ?? String(template.optional);
		const share = stats ? `share ${shareName(template.share)} ` : '';
		level = `${prefix}\tlevel ${name} ${share}${layout.end}`;
	}
	const masks = stats ? `${prefix}\t${maskText(template)}${layout.end}` : '';
	return head + level + masks;
}

/** Eight words a line, the highest first. */
function esnLines(replay: ReplayEsn, prefix: string, layout: Layout): string {
	const { seqHi, seq, oseqHi, oseq, replayWindow, bmpLen, bmp } = replay;
	const hex = (value: number): string => `0x${value.toString(16)}`;
	let text =
		`${prefix}anti-replay esn context:${layout.end}` +
		`${prefix} seq-hi ${hex(seqHi)}, seq ${hex(seq)}, oseq-hi ${hex(oseqHi)}, oseq ${hex(oseq)}${layout.end}` +
		`${prefix} replay_window ${replayWindow}, bitmap-length ${bmpLen}`;
	for (let i = bmpLen - 1, printed = 0; i >= 0; i--, printed++) {
		if (printed % 8 === 0) {
			text += `${layout.end}${prefix} `;
		}
		text += `${hex8(bmp[i] ?? 0)} `;
	}
	return text + layout.end;
}

function offloadLine(offload: Offload, withDirection: boolean, layout: Layout): string {
	const direction = (offload.flags & 2) !== 0 ? 'in' : 'out';
	const device = `crypto offload parameters: dev ${layout.deviceName(offload.ifindex)} `;
	if (layout.release === '6.1') {
		return `${device}dir ${direction}`;
	}
	const mode = (offload.flags & 4) !== 0 ? 'packet' : 'crypto';
	return `${device}${withDirection ? `dir ${direction} ` : ''}mode ${mode}`;
}

const DIRECTIONS: Readonly<Record<number, string>> = { 1: 'in', 2: 'out' };

/**
 * All attributes that `ip` prints, each line behind `prefix` (mark and direction behind a tab, whatever the
 * prefix).
 *
 * @param family of encapsulation and care-of addresses
 * @param isState policies do not show a direction of offload
 */
export function attributeLines(
	from: AttributeSource,
	family: number,
	prefix: string,
	isState: boolean,
	layout: Layout,
): string {
	const { end } = layout;
	const line = (text: string): string => `${prefix}${text}${end}`;
	const mark = markLine(from.get('mark'), from.get('setMark'), from.get('setMarkMask'));
	const parts = mark.map((text) => `\t${text}${end}`);
	parts.push(...algorithmLines(from, layout).map(line));
	const encap = from.get('encap');
	if (encap !== undefined) {
		const { sport, dport, oa } = encap;
		parts.push(
			line(
				`encap type ${encapName(encap.type)} sport ${sport} dport ${dport} addr ${addressText(oa, family)}`,
			),
		);
	}
	for (const template of from.get('tmpl') ?? []) {
		parts.push(templateLines(template, prefix, layout));
	}
	const coa = from.get('coaddr');
	if (coa !== undefined) {
		parts.push(line(`coa ${addressText(coa, family)}`));
	}
	const lastused = from.get('lastused');
	if (lastused !== undefined) {
		parts.push(line(`lastused ${layout.time(lastused)}`));
	}
	const replay = from.get('replayVal');
	if (replay !== undefined) {
		const { seq, oseq, bitmap } = replay;
		parts.push(
			line(
				`anti-replay context: seq 0x${seq.toString(16)}, oseq 0x${oseq.toString(16)}, bitmap 0x${hex8(bitmap)}`,
			),
		);
	}
	const esn = from.get('replayEsnVal');
	if (esn !== undefined) {
		parts.push(esnLines(esn, prefix, layout));
	}
	const offload = from.get('offloadDev');
	if (offload !== undefined) {
		parts.push(line(offloadLine(offload, isState, layout)));
	}
	return parts.join('') + numberLines(from, prefix, layout);
}

/** if_id, tfcpad, and what 6.1 does not print: direction and processor. */
function numberLines(from: AttributeSource, prefix: string, layout: Layout): string {
	const ifId = from.get('ifId');
	const tfcpad = from.get('tfcpad');
	const direction = layout.release === '6.1' ? undefined : from.get('saDir');
	const processor = layout.release === '6.1' ? undefined : from.get('saPcpu');
	const { end } = layout;
	return [
		ifId === undefined ? '' : `${prefix}if_id ${hexAlternate(ifId)}${end}`,
		tfcpad === undefined ? '' : `${prefix}tfcpad ${tfcpad}${end}`,
		direction === undefined ? '' : `\tdir ${DIRECTIONS[direction] ?? `other (${direction})`}${end}`,
		processor === undefined ? '' : `\tpcpu-num ${processor}${end}`,
	].join('');
}

/** The line of a security label. */
export function labelLine(from: AttributeSource, layout: Layout): string {
	const context = from.get('secCtx');
	if (context === undefined) {
		return '';
	}
	let text = '';
	for (const octet of context.context.subarray(0, context.ctxLen)) {
		if (octet === 0) {
			break;
		}
		text += String.fromCharCode(octet);
	}
	return `\tsecurity context ${text} ${layout.end}`;
}
