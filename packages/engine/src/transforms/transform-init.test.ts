import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nullProvider } from '@xfrm/crypto/null';
import { Errno, type StateConfig } from '@xfrm/wire/xfrm';
import { address, makeNamespace, type StateOptions, stateConfig } from '../input-fixture.test.ts';
import { type KernelProfile, linux61, linux619 } from '../kernel-profile.ts';
import { addOut, makeEngine } from '../output-fixture.test.ts';
import { XfrmState } from '../state.ts';
import { initTransform } from './transform-init.ts';

const KEY16 = new Uint8Array(16);
const CBC = { crypt: { name: 'cbc(aes)', key: KEY16, keyBits: 128 } };
const SHA1 = { auth: { name: 'hmac(sha1)', key: new Uint8Array(20), keyBits: 160, truncBits: 96 } };
const IPV6_ENDS = { src: '2001:db8::1', dst: '2001:db8::2' };
const ENCAP = (type: number) => ({ encap: { type, sport: 1, dport: 2, oa: address('0.0.0.0') } });

function init(
	options: StateOptions,
	profile: KernelProfile = linux619,
	absent: (keyof StateConfig)[] = [],
) {
	const config: StateConfig = { ...stateConfig(options) };
	for (const key of absent) {
		delete (config as Partial<Record<keyof StateConfig, unknown>>)[key];
	}
	const state = new XfrmState(config);
	return { state, refusal: initTransform(makeNamespace(profile, nullProvider()), state) };
}

// @spec U-2 T-2 T-8 T-20 M-11
test('octets that a state takes in front and behind', () => {
	const rows: [string, StateOptions, number, number, number, number][] = [
		// name, options, header, transform, trailer, ICV
		['GCM tunnel', {}, 36, 16, 21, 16],
		['GCM transport', { mode: 0 }, 16, 16, 21, 16],
		['CBC tunnel without ICV', CBC, 44, 24, 17, 0],
		['CBC and SHA-1, IPv6 tunnel', { ...CBC, ...SHA1, ...IPV6_ENDS }, 64, 24, 29, 12],
		['BEET over IPv4', { mode: 4 }, 24, 16, 21, 16],
		['BEET over IPv6, inner IPv6', { mode: 4, ...IPV6_ENDS }, 16, 16, 21, 16],
		[
			'BEET over IPv6, inner IPv4',
			{ mode: 4, ...IPV6_ENDS, selector: stateConfig().selector },
			44,
			16,
			21,
			16,
		],
		['ESP in UDP', { mode: 0, ...ENCAP(2) }, 24, 24, 21, 16],
		['AH tunnel', { proto: 51 }, 44, 24, 0, 12],
		[
			'AH, 16 octets of ICV',
			{ proto: 51, mode: 0, auth: { ...SHA1.auth, truncBits: 128 } },
			32,
			32,
			0,
			16,
		],
		[
			'AH, ALIGN4',
			{ proto: 51, mode: 0, flags: 64, auth: { ...SHA1.auth, truncBits: 128 } },
			28,
			28,
			0,
			16,
		],
		[
			'AH, default length',
			{ proto: 51, mode: 0, auth: { ...SHA1.auth, truncBits: 0 } },
			24,
			24,
			0,
			12,
		],
		['IPComp tunnel', { proto: 108, spi: 0x100 }, 20, 0, 0, 0],
		['IPComp transport', { proto: 108, spi: 0x100, mode: 0 }, 0, 0, 0, 0],
		['home address', { proto: 60, spi: 0, mode: 2, ...IPV6_ENDS }, 24, 24, 0, 0],
		['routing header', { proto: 43, spi: 0, mode: 2, ...IPV6_ENDS }, 24, 24, 0, 0],
		['IP in IP', { proto: 4 }, 20, 0, 0, 0],
		['IP in IPv6', { proto: 41, ...IPV6_ENDS }, 40, 0, 0, 0],
	];
	for (const [name, options, header, transform, trailer, icv] of rows) {
		const { state, refusal } = init(options);
		assert.equal(refusal, undefined, name);
		assert.deepEqual(
			[state.headerOctets, state.transformOctets, state.trailerOctets, state.icvOctets],
			[header, transform, trailer, icv],
			name,
		);
	}
	assert.equal(init({ mode: 0, ...ENCAP(1) }, linux61).state.headerOctets, 32);
});

// @spec T-7 T-8 T-11 T-25 T-35 T-40 T-50 NT-1 NT-6
test('what Linux refuses, with its errno and sentence', () => {
	const crypto = 'Kernel was unable to initialize cryptographic operations';
	const rows: [string, ReturnType<typeof init>, number, string | undefined][] = [
		[
			'ESP without cipher',
			init({ ...SHA1 }, linux619, ['aead']),
			Errno.EINVAL,
			'ESP: AEAD or CRYPT must be provided',
		],
		[
			'key of a wrong length',
			init({ crypt: { ...CBC.crypt, key: new Uint8Array(15) } }),
			Errno.EINVAL,
			undefined,
		],
		[
			'AEAD key without salt',
			init({ aead: { name: 'rfc4106(gcm(aes))', key: KEY16, keyBits: 128, icvBits: 128 } }),
			Errno.EINVAL,
			crypto,
		],
		[
			'encapsulation type 1 in new kernels',
			init(ENCAP(1)),
			Errno.EINVAL,
			'Unsupported encapsulation type for ESP',
		],
		[
			'unknown encapsulation',
			init(ENCAP(3), linux61),
			Errno.EINVAL,
			'Unsupported encapsulation type for ESP',
		],
		[
			'AH without MAC',
			init({ proto: 51 }, linux619, ['auth']),
			Errno.EINVAL,
			'AH requires a state with an AUTH algorithm',
		],
		[
			'AH in UDP',
			init({ proto: 51, ...ENCAP(2) }),
			Errno.EINVAL,
			'AH is not compatible with encapsulation',
		],
		[
			'AH, XCBC with a key of 20 octets',
			init({ proto: 51, auth: { ...SHA1.auth, name: 'xcbc(aes)' } }),
			Errno.EINVAL,
			crypto,
		],
		[
			'AH in a mode of its own on IPv6',
			init({ proto: 51, mode: 2, ...IPV6_ENDS }),
			Errno.EINVAL,
			'Invalid mode requested for AH, must be one of TRANSPORT, TUNNEL, BEET',
		],
		[
			'IPComp in BEET',
			init({ proto: 108, mode: 4 }),
			Errno.EINVAL,
			'Unsupported XFRM mode for IPcomp',
		],
		[
			'IPComp without algorithm',
			init({ proto: 108 }, linux619, ['comp']),
			Errno.EINVAL,
			'Missing required compression algorithm',
		],
		[
			'IPComp in UDP',
			init({ proto: 108, ...ENCAP(2) }),
			Errno.EINVAL,
			'IPComp is not compatible with encapsulation',
		],
		[
			'IP in IP in transport mode',
			init({ proto: 4, mode: 0 }),
			Errno.EINVAL,
			'IPv4 tunnel can only be used with tunnel mode',
		],
		[
			'IP in IPv6 in UDP',
			init({ proto: 41, ...IPV6_ENDS, ...ENCAP(2) }),
			Errno.EINVAL,
			'IPv6 tunnel is not compatible with encapsulation',
		],
		[
			'home address with an SPI',
			init({ proto: 60, mode: 2, ...IPV6_ENDS }),
			Errno.EINVAL,
			'SPI must be 0',
		],
		[
			'routing header in transport mode',
			init({ proto: 43, spi: 0, mode: 0, ...IPV6_ENDS }),
			Errno.EINVAL,
			'XFRM mode must be XFRM_MODE_ROUTEOPTIMIZATION',
		],
		[
			'home address of IPv4',
			init({ proto: 60, spi: 0, mode: 2 }),
			Errno.EPROTONOSUPPORT,
			'Requested type not found',
		],
		['no such protocol', init({ proto: 99 }), Errno.EPROTONOSUPPORT, 'Requested type not found'],
	];
	for (const [name, { refusal }, errno, message] of rows) {
		assert.deepEqual(refusal, message === undefined ? { errno } : { errno, message }, name);
	}
});

test('each state gets a mask of its own for its IVs', () => {
	const { engine } = makeEngine();
	const masks = [1, 2].map((spi) => {
		const { ivSaltHigh, ivSaltLow } = addOut(engine, { spi });
		return `${ivSaltHigh},${ivSaltLow}`;
	});
	assert.notEqual(masks[0], masks[1]);
});
