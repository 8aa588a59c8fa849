import assert from 'node:assert/strict';
import { test } from 'node:test';
import { linux61, linux619 } from '@xfrm/engine';
import {
	attribute,
	MessageWriter,
	splitMessages,
	type UserSaInfo,
	writeAttributes,
	XFRM_ATTRIBUTES,
	type XfrmAttribute,
} from '@xfrm/netlink';
import { anyAddress, anySelector, UNLIMITED, UNUSED } from '@xfrm/wire/xfrm';
import { RequestAttributes } from './request.ts';
import { verifyState } from './state-verify.ts';
import { XfrmError } from './xfrm-error.ts';

function attributesOf(list: readonly XfrmAttribute[]): RequestAttributes {
	const writer = new MessageWriter({ type: 0x10, flags: 1, seq: 0, pid: 0 });
	writeAttributes(writer, list);
	const [raw] = splitMessages(writer.finish());
	assert.ok(raw);
	return new RequestAttributes(raw, 0, XFRM_ATTRIBUTES, 41);
}

const ESP: UserSaInfo = {
	selector: anySelector(0),
	id: { daddr: anyAddress(), spi: 0x100, proto: 50 },
	saddr: anyAddress(),
	lifetime: UNLIMITED,
	lifetimeCurrent: UNUSED,
	stats: { replayWindow: 0, replay: 0, integrityFailed: 0 },
	seq: 0,
	reqid: 0,
	family: 2,
	mode: 1,
	replayWindow: 0,
	flags: 0,
};
const KEY = { name: 'x', key: new Uint8Array(16), keyBits: 128 };
const AEAD = attribute('algAead', { ...KEY, icvBits: 128 });
const AUTH = attribute('algAuth', KEY);
const TRUNC = attribute('algAuthTrunc', { ...KEY, truncBits: 96 });
const CRYPT = attribute('algCrypt', KEY);
const COMP = attribute('algComp', { ...KEY, key: new Uint8Array(0), keyBits: 0 });
const COA = attribute('coaddr', anyAddress());
const TFC = attribute('tfcpad', 100);
const OUT = attribute('saDir', 2);
const IN = attribute('saDir', 1);
const ENCAP = attribute('encap', { type: 2, sport: 1, dport: 2, oa: anyAddress() });

function esn(fields: Readonly<Record<string, number>>): XfrmAttribute {
	const zero = { bmpLen: 0, oseq: 0, seq: 0, oseqHi: 0, seqHi: 0, replayWindow: 0 };
	const value = { ...zero, ...fields };
	return attribute('replayEsnVal', { ...value, bmp: new Uint32Array(Math.min(value.bmpLen, 128)) });
}

function proto(number: number, fields: Partial<UserSaInfo> = {}): UserSaInfo {
	return { ...ESP, ...fields, id: { ...ESP.id, proto: number } };
}

/** The sentence of the first fault, undefined when there is none. */
function fault(
	body: UserSaInfo,
	list: readonly XfrmAttribute[],
	profile: typeof linux619 = linux619,
): string | undefined {
	try {
		verifyState(body, attributesOf(list), profile);
		return undefined;
	} catch (error) {
		assert.ok(error instanceof XfrmError);
		assert.equal(error.errno, 22);
		return error.message;
	}
}

type Row = [body: UserSaInfo, list: readonly XfrmAttribute[], sentence: string | undefined];

function check(rows: readonly Row[]): void {
	for (const [body, list, sentence] of rows) {
		assert.equal(fault(body, list), sentence);
	}
}

// @spec S-14
test('families and selectors', () => {
	const selector = (family: number, prefixlenD: number): Partial<UserSaInfo> => ({
		selector: { ...anySelector(family), prefixlenD },
	});
	check([
		[{ ...ESP, family: 0 }, [AEAD], 'Invalid address family'],
		[{ ...ESP, family: 11 }, [AEAD], 'Invalid address family'],
		[
			{ ...ESP, ...selector(2, 33) },
			[AEAD],
			'Invalid prefix length in selector (must be <= 32 for IPv4)',
		],
		[
			{ ...ESP, ...selector(0, 33) },
			[AEAD],
			'Invalid prefix length in selector (must be <= 32 for IPv4)',
		],
		[{ ...ESP, ...selector(0, 33), flags: 32 }, [AEAD], undefined],
		[
			{ ...ESP, ...selector(10, 129) },
			[AEAD],
			'Invalid prefix length in selector (must be <= 128 for IPv6)',
		],
		[{ ...ESP, ...selector(3, 0) }, [AEAD], 'Invalid address family in selector'],
	]);
});

test('each protocol has attributes that it needs and that it forbids', () => {
	const ahForbids = 'Invalid attributes for AH: AEAD, CRYPT, COMP, TFCPAD';
	const compForbids = 'Invalid attributes for COMP: AEAD, AUTH, AUTH_TRUNC, CRYPT, TFCPAD';
	const mobilityForbids = 'Invalid attributes for DSTOPTS/ROUTING';
	const espExcludes =
		"Invalid attribute combination for ESP: AEAD can't be used with AUTH, AUTH_TRUNC, CRYPT";
	check([
		[proto(51), [], 'Missing required attribute for AH: AUTH_TRUNC or AUTH'],
		[proto(51), [AUTH], undefined],
		[proto(51), [TRUNC, CRYPT], ahForbids],
		[proto(51), [TRUNC, TFC], ahForbids],
		[ESP, [], 'Missing required attribute for ESP: at least one of AUTH, AUTH_TRUNC, CRYPT, AEAD'],
		[ESP, [COMP, AEAD], 'Invalid attribute for ESP: COMP'],
		[ESP, [AEAD, TRUNC], espExcludes],
		[ESP, [AEAD, CRYPT], espExcludes],
		[ESP, [AEAD, TFC], undefined],
		[{ ...ESP, mode: 0 }, [AEAD, TFC], 'TFC padding can only be used in tunnel mode'],
		[proto(108), [], 'Missing required attribute for COMP: COMP'],
		[proto(108), [COMP, AUTH], compForbids],
		[proto(108), [COMP], undefined],
		[
			{ ...proto(108), id: { ...ESP.id, proto: 108, spi: 0x10000 } },
			[COMP],
			'SPI is too large for COMP (must be < 0x10000)',
		],
		[proto(60), [COA, ENCAP], mobilityForbids],
		[proto(43), [], 'Missing required COADDR attribute for DSTOPTS/ROUTING'],
		[proto(43, { mode: 2 }), [COA], undefined],
		[proto(4), [AEAD], 'Unsupported protocol'],
		[proto(255), [AEAD], 'Unsupported protocol'],
	]);
});

test('a key has to be as long as its attribute says', () => {
	const short = { ...KEY, keyBits: 136 };
	check([
		[ESP, [attribute('algAead', { ...short, icvBits: 64 })], 'Invalid AEAD attribute length'],
		[
			ESP,
			[attribute('algAuthTrunc', { ...short, truncBits: 96 }), attribute('algCrypt', short)],
			'Invalid AUTH_TRUNC attribute length',
		],
		[ESP, [attribute('algCrypt', short)], 'Invalid AUTH/CRYPT/COMP attribute length'],
		[ESP, [attribute('algCrypt', { ...KEY, keyBits: 121 })], undefined],
	]);
});

// @spec S-30 S-31
test('replay values by direction', () => {
	const esnOut = { ...ESP, flags: 128 };
	const all = 0xffff_ffff;
	check([
		[{ ...ESP, flags: 128 }, [AEAD], 'Missing required attribute for ESN'],
		[ESP, [AEAD, esn({ bmpLen: 129 })], 'ESN bitmap length must be <= 128'],
		[proto(108), [COMP, esn({})], 'ESN only supported for ESP and AH'],
		[{ ...ESP, replayWindow: 1 }, [AEAD, esn({})], 'ESN not compatible with legacy replay_window'],
		[
			ESP,
			[AEAD, OUT, esn({ replayWindow: 1, bmpLen: 1 })],
			'Replay window should be 0 for output SA',
		],
		[ESP, [AEAD, OUT, esn({ seqHi: 1 })], 'Replay seq and seq_hi should be 0 for output SA'],
		[ESP, [AEAD, OUT, esn({ bmpLen: 1 })], 'Replay bmp_len should 0 for output SA'],
		[
			ESP,
			[AEAD, OUT, esn({ oseqHi: 1 })],
			'Replay oseq_hi should be 0 in non-ESN mode for output SA',
		],
		[
			ESP,
			[AEAD, OUT, esn({ oseq: all })],
			'Replay oseq should be less than 0xFFFFFFFF in non-ESN mode for output SA',
		],
		[
			esnOut,
			[AEAD, OUT, esn({ oseq: all, oseqHi: all })],
			'Replay oseq and oseq_hi should be less than 0xFFFFFFFF for output SA',
		],
		[esnOut, [AEAD, OUT, esn({ oseq: all })], undefined],
		[ESP, [AEAD, IN, esn({ oseq: 1 })], 'Replay oseq and oseq_hi should be 0 for input SA'],
		[ESP, [AEAD, IN, esn({ seqHi: 1 })], 'Replay seq_hi should be 0 in non-ESN mode for input SA'],
		[
			ESP,
			[AEAD, OUT, attribute('replayVal', { oseq: 0, seq: 1, bitmap: 0 })],
			'Replay seq and bitmap should be 0 for output SA',
		],
		[ESP, [AEAD, IN, attribute('replayVal', { oseq: 1, seq: 1, bitmap: 0 })], undefined],
	]);
});

// @spec S-30 S-31 S-33
test('flags by direction', () => {
	const extra = (flags: number): XfrmAttribute => attribute('saExtraFlags', flags);
	const threshold = attribute('mtimerThresh', 5);
	check([
		[{ ...ESP, flags: 2 }, [AEAD, OUT], 'Flag DECAP_DSCP should not be set for output SA'],
		[{ ...ESP, flags: 16 }, [AEAD, OUT], 'Flag ICMP should not be set for output SA'],
		[{ ...ESP, flags: 8 }, [AEAD, OUT], 'Flag WILDRECV should not be set for output SA'],
		[{ ...ESP, replayWindow: 1 }, [AEAD, OUT], 'Replay window should be 0 for output SA'],
		[{ ...ESP, flags: 4 }, [AEAD, IN], 'Flag NOPMTUDISC should not be set for input SA'],
		[ESP, [AEAD, IN, extra(1)], 'Flag DONT_ENCAP_DSCP should not be set for input SA'],
		[ESP, [AEAD, IN, extra(2)], 'Flag OSEQ_MAY_WRAP should not be set for input SA'],
		[{ ...ESP, flags: 33 }, [AEAD, IN], undefined],
		[ESP, [AEAD, threshold], 'MTIMER_THRESH attribute can only be set on ENCAP states'],
		[ESP, [AEAD, threshold, ENCAP, OUT], 'MTIMER_THRESH attribute should not be set on output SA'],
		[ESP, [AEAD, attribute('saPcpu', 0)], 'SA_PCPU only supported with SA_DIR'],
		[ESP, [AEAD, attribute('saPcpu', 0), IN], undefined],
	]);
});

// @spec S-32
test('IPTFS is a mode of new kernels, for ESP with a direction', () => {
	const delay = attribute('iptfsInitDelay', 1);
	const iptfs = { ...ESP, mode: 5 };
	check([
		[{ ...ESP, mode: 3 }, [AEAD], 'Unsupported mode'],
		[{ ...ESP, mode: 6 }, [AEAD], 'Unsupported mode'],
		[iptfs, [AEAD], 'IP-TFS mode requires in or out direction attribute'],
		[proto(51, { mode: 5 }), [AUTH, OUT], 'IP-TFS mode only supported with ESP'],
		[iptfs, [AEAD, OUT, delay], undefined],
		[ESP, [AEAD, OUT, delay], 'IP-TFS options can only be used in IP-TFS mode'],
		[iptfs, [AEAD, IN, delay], 'IP-TFS initial delay should not be set for input SA'],
		[
			iptfs,
			[AEAD, OUT, attribute('iptfsDropTime', 1)],
			'IP-TFS drop time should not be set for output SA',
		],
	]);
	assert.equal(fault(iptfs, [AEAD, OUT], linux61), 'Unsupported mode');
});
