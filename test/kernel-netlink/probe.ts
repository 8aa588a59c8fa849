/**
 * What the running kernel has built in, found by asking it: an algorithm that it lacks is ENOSYS before
 * the transform is looked for, a transform or mode that it lacks is EPROTONOSUPPORT.
 */
import type { Available, KernelProfile } from '@xfrm/engine';
import {
	completePolicy,
	completeState,
	encodeMessage,
	parseAck,
	policyRequestAttributes,
	policyRequestBody,
	type StateInput,
	splitMessages,
	stateRequestAttributes,
	stateRequestBody,
	type XfrmMessage,
} from '@xfrm/netlink';
import {
	anySelector,
	Direction,
	Errno,
	Family,
	IpProto,
	Mode,
	parseAddress,
} from '@xfrm/wire/xfrm';
import { type NetlinkEnd, PLAIN_SENDER } from './netlink-end.ts';

const NO_KEY: Uint8Array = new Uint8Array(0);
const coaddr: Uint8Array = parseAddress('2001:db8::1')?.address ?? new Uint8Array(16);

/** What each transform cannot be without. */
const NEEDS: Readonly<Record<number, Partial<StateInput>>> = {
	[IpProto.Esp]: { crypt: { name: 'ecb(cipher_null)', key: NO_KEY, keyBits: 0 } },
	[IpProto.Ah]: { auth: { name: 'digest_null', key: NO_KEY, keyBits: 0, truncBits: 0 } },
	[IpProto.Comp]: { comp: { name: 'deflate', key: NO_KEY, keyBits: 0 } },
	[IpProto.DestinationOptions]: { coaddr },
	[IpProto.Routing]: { coaddr },
};

/** Asks for an IPv6 state, which has every mode, and takes it away again. */
function tryState(
	end: NetlinkEnd,
	proto: number,
	rest: Partial<StateInput>,
): { errno: number; text: string } {
	const config = completeState({
		id: { daddr: coaddr, spi: 0x100, proto },
		saddr: coaddr,
		family: Family.Ipv6,
		...rest,
	});
	const header = { flags: 5, seq: 1, pid: 0 };
	const body = stateRequestBody(config);
	const attributes = stateRequestAttributes(config);
	const datagram = encodeMessage({ name: 'newsa', ...header, body, attributes });
	const answers = end.request({ ...PLAIN_SENDER, datagram });
	const flush = encodeMessage({ name: 'flushsa', ...header, body: { proto: 0 }, attributes: [] });
	end.request({ ...PLAIN_SENDER, datagram: flush });
	end.events();
	const [raw] = answers.flatMap(splitMessages);
	const ack = raw && parseAck(raw);
	if (ack === undefined) {
		throw new RangeError('the kernel does not answer a NEWSA');
	}
	return { errno: ack.errno, text: ack.extended.message ?? '' };
}

/** Probes algorithms when they are first asked for, the rest now. */
export function probeAvailable(end: NetlinkEnd): Available {
	const types = new Set<number>();
	for (const [proto, needs] of Object.entries(NEEDS)) {
		const mobile =
			Number(proto) === IpProto.DestinationOptions || Number(proto) === IpProto.Routing;
		const mode = mobile ? Mode.RouteOptimization : Mode.Transport;
		const { errno, text } = tryState(end, Number(proto), { ...needs, mode });
		if (errno === 0 || !/type not found/.test(text)) {
			types.add(Number(proto));
		}
	}
	const modes = new Set<number>();
	for (const mode of Object.values(Mode)) {
		const needs = { ...NEEDS[IpProto.Esp], mode, direction: 1 };
		if (!/mode not found|Unsupported mode/.test(tryState(end, IpProto.Esp, needs).text)) {
			modes.add(mode);
		}
	}
	const known = new Map<string, boolean>();
	return {
		types,
		modes,
		algorithm(kind, name, icvBits = 0) {
			const key = `${kind} ${name} ${icvBits}`;
			const found = known.get(key) ?? hasAlgorithm(end, kind, name, icvBits);
			known.set(key, found);
			return found;
		},
	};
}

function hasAlgorithm(
	end: NetlinkEnd,
	kind: Parameters<Available['algorithm']>[0],
	name: string,
	icvBits: number,
): boolean {
	const plain = { name, key: NO_KEY, keyBits: 0 };
	const algorithms: Readonly<Record<typeof kind, Partial<StateInput>>> = {
		aead: { aead: { ...plain, icvBits } },
		auth: { auth: { ...plain, truncBits: 0 } },
		crypt: { crypt: plain },
		comp: { comp: plain },
	};
	const proto = kind === 'comp' ? IpProto.Comp : IpProto.Esp;
	return tryState(end, proto, algorithms[kind]).errno !== Errno.ENOSYS;
}

/** The first sentence that the kernel answers to a request, '' for none. */
function sentenceOf(
	end: NetlinkEnd,
	message: Pick<XfrmMessage, 'name' | 'body'> & Partial<XfrmMessage>,
): string {
	const whole = { flags: 5, seq: 1, pid: 0, attributes: [], ...message } as XfrmMessage;
	const answers = end.request({ ...PLAIN_SENDER, datagram: encodeMessage(whole) });
	end.events();
	const [raw] = answers.flatMap(splitMessages);
	return (raw && parseAck(raw)?.extended.message) ?? '';
}

/**
 * The profile that follows this kernel, in what came into stable kernels at different times: asked for, not
 * told from the release.
 */
export function probeProfile(end: NetlinkEnd, base: KernelProfile): KernelProfile {
	const none = new Uint8Array(16);
	const id = { daddr: none, spi: 0, family: 0, proto: 0 };
	const mapping = { id, reqid: 0, oldSaddr: none, newSaddr: none, oldSport: 0, newSport: 0 };
	const template = { id: { daddr: none, spi: 0, proto: IpProto.Esp }, saddr: none, family: 2 };
	const policy = completePolicy({
		selector: anySelector(Family.Ipv4),
		direction: Direction.Out,
		templates: [{ ...template, mode: Mode.Iptfs, optional: 1 }],
	});
	const body = policyRequestBody(policy);
	const state = completeState({ id: template.id, saddr: none, family: Family.Ipv4 });
	const profile = {
		...base,
		mappingPayload: sentenceOf(end, { name: 'mapping', body: mapping }) === '',
		processorText:
			sentenceOf(end, {
				name: 'allocspi',
				body: { info: stateRequestBody(state), min: 1, max: 1 },
				attributes: [{ name: 'saPcpu', value: 0xffff_ffff }],
			}) !== '',
		iptfsOptionalOutward: !/optional/.test(
			sentenceOf(end, { name: 'newpolicy', body, attributes: policyRequestAttributes(policy) }),
		),
	};
	sentenceOf(end, { name: 'flushpolicy', body: {} });
	return profile;
}
