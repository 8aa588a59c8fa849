/**
 * What a run of all kinds has to reach, and what it cannot, with the reason. A row is a name of
 * coverage.ts; one at zero fails the run.
 */

const protocols = [
	'esp transport',
	'esp tunnel',
	'esp beet',
	'ah transport',
	'ah tunnel',
	'comp transport',
	'comp tunnel',
];
const algorithms = [
	'cbc(aes)',
	'rfc3686(ctr(aes))',
	'cbc(des3_ede)',
	'cbc(camellia)',
	'ecb(cipher_null)',
	'rfc4106(gcm(aes))',
	'rfc4309(ccm(aes))',
	'rfc4543(gcm(aes))',
	'rfc7539esp(chacha20,poly1305)',
	'hmac(md5)',
	'hmac(sha1)',
	'hmac(sha256)',
	'hmac(sha384)',
	'hmac(sha512)',
	'hmac(rmd160)',
	'xcbc(aes)',
	'cmac(aes)',
	'deflate',
];

/** Transforms: each way, mode, family and algorithm. */
const TRANSFORMS: readonly string[] = [
	...(['seal', 'open'] as const).flatMap((way) => [
		...protocols.flatMap((protocol) => [`${way} ${protocol} v4`, `${way} ${protocol} v6`]),
		...algorithms.map((name) => `${way} ${name}`),
		`${way} esn`,
		`${way} esp in udp v4`,
		`${way} esp in udp v6`,
	]),
	'mode cross family',
	'seal hao ro v6',
	'seal route2 ro v6',
	'lookup hao: found',
	'lookup route2: found',
	// What IPComp left as it was comes by states that the kernel makes itself.
	'open ipip tunnel v4',
	'open ip6ip6 tunnel v6',
];

/** Branches of the policy check, inward and on the way through. */
const CHECKS: readonly string[] = [
	...['in', 'fwd'].flatMap((direction) => [
		...['sub', 'main'].flatMap((type) =>
			['none', 'allow', 'block', 'templates'].map(
				(found) => `policy ${direction} ${type}: ${found}`,
			),
		),
		`policy ${direction} default: accept`,
		`policy ${direction} default: block`,
	]),
	...['none', 'allow', 'block', 'templates'].map((found) => `policy in socket: ${found}`),
	...['selector', 'policy.none', 'default', 'block', 'depth', 'template', 'extra'].map(
		(code) => `reason check.${code}`,
	),
	'template required: found',
	'template required: missed',
	'template optional: found',
	'template optional: passes by',
	...['level', 'proto', 'spi', 'reqid', 'mode', 'src'].map((field) => `template loser: ${field}`),
];

/** Choice of policies and states on the way out. */
const LOOKUPS: readonly string[] = [
	...['socket', 'sub', 'main'].flatMap((type) =>
		['none', 'allow', 'block', 'templates'].map((found) => `policy out ${type}: ${found}`),
	),
	'policy out main: templates embedded',
	'policy out default: accept',
	'policy out default: block',
	...['found', 'acquire', 'larval', 'found optional', 'acquire optional'].map(
		(outcome) => `select: ${outcome}`,
	),
	...['dst', 'mark', 'mode', 'order', 'proto', 'reqid', 'sel', 'spi', 'state'].map(
		(field) => `select loser: ${field}`,
	),
];

const COUNTERS: readonly string[] = [
	...['BufferError', 'HdrError', 'NoStates', 'StateProtoError', 'StateModeError'].map(
		(name) => `counter XfrmIn${name}`,
	),
	...['StateSeqError', 'StateExpired', 'StateMismatch', 'TmplMismatch', 'NoPols', 'PolBlock'].map(
		(name) => `counter XfrmIn${name}`,
	),
	...['BundleGenError', 'NoStates', 'StateProtoError', 'StateModeError', 'StateSeqError'].map(
		(name) => `counter XfrmOut${name}`,
	),
	...['StateExpired', 'PolBlock', 'PolError'].map((name) => `counter XfrmOut${name}`),
	'counter XfrmAcquireError',
];

const OTHERS: readonly string[] = [
	...['ACQUIRE', 'EXPIRE', 'POLEXPIRE', 'REPORT', 'MAPPING'].map((name) => `event ${name}`),
	...['EPERM', 'EMSGSIZE', 'ENETUNREACH', 'EHOSTUNREACH', 'EACCES', 'EINVAL', 'ENOBUFS'].map(
		(name) => `errno ${name}`,
	),
	'errno EAGAIN',
	'errno EOVERFLOW',
];

/** By heading. */
export const REQUIRED_ROWS: Readonly<Record<string, readonly string[]>> = {
	transforms: TRANSFORMS,
	'policy check': CHECKS,
	'lookups outward': LOOKUPS,
	counters: COUNTERS,
	'notifications and errors': OTHERS,
};

/** What no packet can do here. */
export const UNREACHABLE_ROWS: Readonly<Record<string, string>> = {
	'counter XfrmInError': 'allocation fails',
	'counter XfrmInPolError': 'a security module (LSM) refuses',
	'counter XfrmInStateInvalid': 'race: the state dies between lookup and use',
	'counter XfrmOutError': 'allocation fails',
	'counter XfrmOutBundleCheckError': 'never raised by Linux 6.1',
	'counter XfrmOutPolDead': 'race: the policy dies between lookup and use',
	'counter XfrmFwdHdrError': 'what is forwarded has been looked through before',
	'counter XfrmOutStateInvalid': 'race: the state dies between lookup and use',
	'counter XfrmOutStateDirError': 'newer kernel (6.10)',
	'counter XfrmInStateDirError': 'newer kernel (6.10)',
	'counter XfrmInIptfsError': 'newer kernel (6.14)',
	'counter XfrmOutNoQueueSpace': 'newer kernel (6.14)',
	'reason check.flow': 'what reaches the check has been looked through before',
	'template loser: auth': 'masks of algorithms: `ip` cannot say them',
	'template loser: if_id': 'no XFRM interface in this kernel',
};
