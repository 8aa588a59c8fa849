/** For each finding rules that have it, rules mended, and a flow that shows the difference on the engine. */

export interface LintCase {
	readonly bad: readonly string[];
	readonly good: readonly string[];
	/** Of a lookup: outcome and counter under the bad rules and under the good ones. */
	readonly flows?: readonly {
		readonly flow: string;
		readonly bad: string;
		readonly good: string;
	}[];
	readonly waitSeconds?: number;
	/** Packets that arrive by wan before the bad rules are looked over, in hex. */
	readonly arriving?: readonly string[];
	readonly nat?: string;
	readonly natGood?: string;
}

const ME = '192.0.2.1';
const PEER = '198.51.100.2';

function key(octets: number, seed: number): string {
	const byte = (i: number): string =>
		((seed * 7 + (seed >> 8) * 13 + i * 31) & 0xff).toString(16).padStart(2, '0');
	return `0x${Array.from({ length: octets }, (_, i) => byte(i + 1)).join('')}`;
}

/** A state with a key of its own. */
function esp(src: string, dst: string, spi: string, more: string, tail = ''): string {
	const aead = `aead 'rfc4106(gcm(aes))' ${key(20, Number(spi))} 128`;
	return `xfrm state add src ${src} dst ${dst} proto esp spi ${spi} ${more} ${aead} ${tail}`;
}

function withAlgorithms(algorithms: string): string {
	return `xfrm state add src ${ME} dst ${PEER} proto esp spi 0x100 reqid 1 mode tunnel ${algorithms}`;
}

const O_MORE = 'reqid 1 mode tunnel replay-window 32 flag esn';
const I_MORE = 'reqid 1 mode tunnel replay-window 128 flag esn';
const O = esp(ME, PEER, '0x100', O_MORE);
const I = esp(PEER, ME, '0x200', I_MORE);
const OUT_FLOWS = 'src 10.1.0.0/16 dst 10.2.0.0/16';
const BACK = 'src 10.2.0.0/16 dst 10.1.0.0/16';
const TO = `tmpl src ${ME} dst ${PEER} proto esp reqid 1 mode tunnel`;
const FROM = `tmpl src ${PEER} dst ${ME} proto esp reqid 1 mode tunnel`;
const P_OUT = `xfrm policy add ${OUT_FLOWS} dir out ${TO}`;
const P_IN = `xfrm policy add ${BACK} dir in ${FROM}`;
const P_FWD = `xfrm policy add ${BACK} dir fwd ${FROM}`;
const POLICIES = [P_OUT, P_IN, P_FWD];
const SITE = [O, I, ...POLICIES];
const COMP_IN = `xfrm state add src ${PEER} dst ${ME} proto comp spi 0x2000 mode tunnel comp deflate`;

const SENT = 'src 10.1.0.5 dst 10.2.0.9 proto udp dport 53 dir out';
const MISSING = [{ flow: SENT, bad: 'acquire XfrmOutNoStates', good: 'transform' }];

/** The site with another outward state. */
function outward(state: string): Pick<LintCase, 'bad' | 'good' | 'flows'> {
	return { bad: [state, I, ...POLICIES], good: SITE, flows: MISSING };
}

/** The site with another state, as good as the right one for lookups. */
function odd(state: string): Pick<LintCase, 'bad' | 'good'> {
	return { bad: [state, I, ...POLICIES], good: SITE };
}

const TRANSPORT = `xfrm policy add src ${ME}/32 dst ${PEER}/32 dir out`;
const AT_PEER = `xfrm policy add src ${PEER}/32 dst ${ME}/32 dir in`;
const X0 = [`link add x0 type xfrm dev wan if_id 7`, 'link set x0 up'];
const IF_ID_SITE = [
	esp(ME, PEER, '0x100', 'reqid 1 mode tunnel if_id 7'),
	`xfrm policy add ${OUT_FLOWS} dir out if_id 7 ${TO}`,
];
const HAO = 'xfrm state add src 2001:db8::1 dst 2001:db8::2 proto hao mode ro coa 2001:db8:f::1';
const RH2 = 'xfrm state add src 2001:db8::2 dst 2001:db8::1 proto route2 mode ro coa 2001:db8:f::1';

/** ESP for 0x200 with sequence number 1 and an ICV that cannot be right. */
const FORGED = `4500004c0000400040324e49c6336402c00002010000020000000001${'5a'.repeat(48)}`;

export const CASES: Readonly<Record<string, LintCase>> = {
	'template-reqid': outward(esp(ME, PEER, '0x100', O_MORE.replace('reqid 1', 'reqid 2'))),
	'template-mark': outward(esp(ME, PEER, '0x100', `${O_MORE} mark 5 mask 0xff`)),
	'template-if-id': outward(esp(ME, PEER, '0x100', `${O_MORE} if_id 5`)),
	'template-spi': {
		bad: [O, I, P_OUT.replace('proto esp', 'proto esp spi 0x150'), P_IN, P_FWD],
		good: SITE,
		flows: MISSING,
	},
	'template-endpoints': outward(esp(ME, '198.51.100.9', '0x100', O_MORE)),
	'template-mode': outward(esp(ME, PEER, '0x100', O_MORE.replace('tunnel', 'transport'))),
	'template-proto': outward(
		`xfrm state add src ${ME} dst ${PEER} proto ah spi 0x100 reqid 1 mode tunnel auth-trunc 'hmac(sha256)' ${key(32, 1)} 128`,
	),
	'template-selector': outward(
		esp(ME, PEER, '0x100', O_MORE, 'sel src 10.9.0.0/16 dst 10.8.0.0/16'),
	),
	'template-selector-partial': {
		bad: [esp(ME, PEER, '0x100', O_MORE, 'sel src 10.1.1.0/24 dst 10.2.0.0/16'), I, ...POLICIES],
		good: SITE,
		flows: [
			...MISSING,
			{ flow: SENT.replace('10.1.0.5', '10.1.1.5'), bad: 'transform', good: 'transform' },
		],
	},
	'template-no-state': { bad: POLICIES, good: SITE, flows: MISSING },
	'template-in-trigger': {
		bad: [
			'xfrm policy add src 2001:db8:1::/48 dst 2001:db8:2::/48 dir out tmpl proto route2 mode in_trigger',
		],
		good: [
			'xfrm policy add src 2001:db8:1::/48 dst 2001:db8:2::/48 dir out tmpl proto route2 mode in_trigger level use',
		],
		flows: [
			{
				flow: 'src 2001:db8:1::1 dst 2001:db8:2::1 dir out',
				bad: 'acquire XfrmOutNoStates',
				good: 'pass',
			},
		],
	},
	'template-transport-address': {
		bad: [`${TRANSPORT} tmpl src ${ME} dst ${PEER} proto esp mode transport`],
		good: [`${TRANSPORT} tmpl proto esp mode transport`],
	},
	'template-local-address': {
		bad: [P_OUT.replace(`src ${ME} dst`, 'src 192.0.2.77 dst')],
		good: SITE,
	},
	'templates-six': {
		bad: [`xfrm policy add ${OUT_FLOWS} dir out ${'tmpl proto esp mode transport '.repeat(6)}`],
		good: SITE,
		flows: [{ flow: SENT, bad: 'drop XfrmOutPolError', good: 'transform' }],
	},
	'state-direction': {
		bad: [...SITE, esp(ME, PEER, '0x101', 'reqid 1 mode tunnel dir in')],
		good: SITE,
		flows: [{ flow: SENT, bad: 'drop XfrmOutStateDirError', good: 'transform' }],
	},

	'state-unused': {
		bad: [...SITE, esp(ME, '198.51.100.3', '0x300', 'reqid 9 mode tunnel')],
		good: SITE,
	},
	'state-larval': {
		bad: [
			...POLICIES,
			`xfrm state allocspi src ${ME} dst ${PEER} proto esp reqid 1 mode tunnel min 0x500 max 0x600`,
		],
		good: SITE,
		flows: [{ flow: SENT, bad: 'drop XfrmOutNoStates', good: 'transform' }],
	},
	'state-source-any': odd(esp('0.0.0.0', PEER, '0x100', O_MORE)),
	'state-spi-zero': odd(esp(ME, PEER, '0x0', O_MORE)),
	'state-wildrecv': outward(esp(ME, PEER, '0x100', 'reqid 1 mode tunnel flag wildrecv')),
	'state-not-local': {
		bad: [...SITE, esp('198.51.100.7', '198.51.100.8', '0x300', 'reqid 9 mode tunnel')],
		good: SITE,
	},
	'spi-twice': {
		bad: [
			O,
			esp(PEER, ME, '0x200', `${I_MORE} mark 5 mask 0xff`),
			esp(PEER, ME, '0x200', `${I_MORE} mark 6 mask 0xff`),
			...POLICIES,
		],
		good: SITE,
	},
	'spi-mirrored': odd(esp(ME, PEER, '0x200', O_MORE)),
	'key-twice': odd(O.replace(key(20, 0x100), key(20, 0x200))),
	'algorithm-weak': odd(
		withAlgorithms(`enc 'cbc(des3_ede)' ${key(24, 3)} auth-trunc 'hmac(sha1)' ${key(20, 4)} 96`),
	),
	'algorithm-null': odd(
		withAlgorithms(`enc 'ecb(cipher_null)' '' auth-trunc 'hmac(sha256)' ${key(32, 4)} 128`),
	),
	'algorithm-no-integrity': odd(withAlgorithms(`enc 'cbc(aes)' ${key(16, 3)}`)),
	'algorithm-sha256-96': {
		bad: [withAlgorithms(`enc 'cbc(aes)' ${key(16, 3)} auth 'hmac(sha256)' ${key(32, 4)}`), P_OUT],
		good: [
			withAlgorithms(`enc 'cbc(aes)' ${key(16, 3)} auth-trunc 'hmac(sha256)' ${key(32, 4)} 128`),
			P_OUT,
		],
	},
	'algorithms-one-sided': odd(O.replace(' 128', ' 64')),
	'integrity-failures': { bad: [...SITE], good: SITE, arriving: [FORGED] },

	'window-zero': {
		bad: [O, esp(PEER, ME, '0x200', 'reqid 1 mode tunnel'), ...POLICIES],
		good: SITE,
	},
	'window-small': {
		bad: [O, esp(PEER, ME, '0x200', 'reqid 1 mode tunnel replay-window 32'), ...POLICIES],
		good: SITE,
	},
	'esn-one-sided': odd(esp(ME, PEER, '0x100', 'reqid 1 mode tunnel')),
	'sequence-near-end': odd(esp(ME, PEER, '0x100', 'reqid 1 mode tunnel replay-oseq 0xfffffff0')),
	'lifetime-near': {
		bad: [esp(ME, PEER, '0x100', `${O_MORE} limit time-hard 100`), I, ...POLICIES],
		good: SITE,
		waitSeconds: 95,
	},
	'lifetime-none': {
		bad: SITE,
		good: [
			esp(ME, PEER, '0x100', `${O_MORE} limit time-hard 3600`),
			esp(PEER, ME, '0x200', `${I_MORE} limit time-hard 3600`),
			...POLICIES,
		],
	},

	'fwd-missing': {
		bad: [O, I, P_OUT, P_IN],
		good: SITE,
		flows: [
			{
				flow: 'src 10.2.0.5 dst 10.1.0.9 dir fwd via 0x200',
				bad: 'drop XfrmInNoPols',
				good: 'transform',
			},
		],
	},
	'in-missing': {
		bad: [O, I, P_OUT],
		good: SITE,
		flows: [
			{
				flow: 'src 10.2.0.5 dst 10.1.0.1 dir in via 0x200',
				bad: 'drop XfrmInNoPols',
				good: 'transform',
			},
		],
	},
	'plaintext-optional': {
		bad: [O, I, P_OUT, `${P_IN} level use`, P_FWD],
		good: SITE,
		flows: [
			{ flow: 'src 10.2.0.5 dst 10.1.0.1 dir in', bad: 'pass', good: 'drop XfrmInTmplMismatch' },
		],
	},
	'plaintext-no-policy': {
		bad: [esp(PEER, ME, '0x200', 'mode transport')],
		good: [esp(PEER, ME, '0x200', 'mode transport'), `${AT_PEER} tmpl proto esp mode transport`],
		flows: [{ flow: `src ${PEER} dst ${ME} dir in`, bad: 'pass', good: 'drop XfrmInTmplMismatch' }],
	},
	'optional-transport-inbound': {
		bad: [O, I, P_OUT, P_IN.replace('tmpl', 'tmpl proto ah mode transport level use tmpl'), P_FWD],
		good: SITE,
	},
	'priority-tie': {
		bad: [...SITE, 'xfrm policy add src 10.1.0.0/16 dst 10.2.9.0/24 dir out action block'],
		good: [
			O,
			I,
			`xfrm policy add ${OUT_FLOWS} dir out priority 2 ${TO}`,
			P_IN,
			P_FWD,
			'xfrm policy add src 10.1.0.0/16 dst 10.2.9.0/24 dir out priority 1 action block',
		],
		flows: [
			{
				flow: SENT.replace('10.2.0.9', '10.2.9.9'),
				bad: 'transform',
				good: 'drop XfrmOutPolBlock',
			},
		],
	},
	shadowed: {
		bad: [
			...SITE.filter((rule) => rule !== P_OUT),
			'xfrm policy add src 10.1.0.0/17 dst 10.0.0.0/8 dir out action block',
			'xfrm policy add src 10.1.128.0/17 dst 10.0.0.0/8 dir out action block',
			`xfrm policy add ${OUT_FLOWS} dir out priority 5 ${TO}`,
		],
		good: [
			...SITE,
			'xfrm policy add src 10.1.0.0/17 dst 10.0.0.0/8 dir out priority 5 action block',
			'xfrm policy add src 10.1.128.0/17 dst 10.0.0.0/8 dir out priority 5 action block',
		],
		flows: [{ flow: SENT, bad: 'drop XfrmOutPolBlock', good: 'transform' }],
	},
	redundant: {
		bad: [
			'xfrm policy add src 10.0.0.0/8 dst 0.0.0.0/0 dir out action block',
			'xfrm policy add src 10.1.0.0/16 dst 0.0.0.0/0 dir out priority 5 action block',
		],
		good: ['xfrm policy add src 10.0.0.0/8 dst 0.0.0.0/0 dir out action block'],
		flows: [{ flow: SENT, bad: 'drop XfrmOutPolBlock', good: 'drop XfrmOutPolBlock' }],
	},
	'host-bits': {
		bad: ['xfrm policy add src 10.1.0.5/16 dst 10.3.0.0/16 dir out action block'],
		good: ['xfrm policy add src 10.1.0.0/16 dst 10.3.0.0/16 dir out action block'],
	},
	'port-without-protocol': {
		bad: ['xfrm policy add src 10.1.0.0/16 dst 10.2.0.0/16 dport 53 dir out action block'],
		good: [
			'xfrm policy add src 10.1.0.0/16 dst 10.2.0.0/16 proto udp dport 53 dir out action block',
		],
		flows: [
			{ flow: SENT, bad: 'drop XfrmOutPolBlock', good: 'drop XfrmOutPolBlock' },
			{ flow: SENT.replace('udp', 'tcp'), bad: 'drop XfrmOutPolBlock', good: 'pass' },
		],
	},
	'ports-unmirrored': {
		bad: [
			`xfrm policy add src ${PEER}/32 dst ${ME}/32 proto udp sport 5060 dport 6000 dir in tmpl proto esp mode transport`,
			`xfrm policy add src ${ME}/32 dst ${PEER}/32 proto udp sport 5060 dport 6000 dir out tmpl proto esp mode transport`,
		],
		good: [
			`xfrm policy add src ${PEER}/32 dst ${ME}/32 proto udp sport 5060 dport 6000 dir in tmpl proto esp mode transport`,
			`xfrm policy add src ${ME}/32 dst ${PEER}/32 proto udp sport 6000 dport 5060 dir out tmpl proto esp mode transport`,
		],
		flows: [
			{
				flow: `src ${ME} dst ${PEER} proto udp sport 6000 dport 5060 dir out`,
				bad: 'pass',
				good: 'acquire XfrmOutNoStates',
			},
		],
	},
	'dccp-ports': {
		bad: [
			'xfrm policy add src 10.1.0.0/16 dst 10.2.0.0/16 proto dccp dport 53 dir out action block',
		],
		good: ['xfrm policy add src 10.1.0.0/16 dst 10.2.0.0/16 proto dccp dir out action block'],
		flows: [{ flow: SENT.replace('udp', 'dccp'), bad: 'pass', good: 'drop XfrmOutPolBlock' }],
	},
	'dev-inbound': {
		bad: [O, I, P_OUT, P_IN.replace('dir in', 'dev wan dir in'), P_FWD],
		good: SITE,
		flows: [
			{ flow: 'src 10.2.0.5 dst 10.1.0.1 dir in', bad: 'pass', good: 'drop XfrmInTmplMismatch' },
		],
	},
	'ipcomp-window': {
		bad: [`${COMP_IN} replay-window 32`, ...SITE],
		good: [COMP_IN, ...SITE],
	},
	'ipcomp-required-inbound': {
		bad: [
			O,
			I,
			P_OUT,
			P_IN.replace('tmpl', `tmpl src ${PEER} dst ${ME} proto comp mode tunnel tmpl`),
			P_FWD,
		],
		good: [
			O,
			I,
			P_OUT,
			P_IN.replace('tmpl', `tmpl src ${PEER} dst ${ME} proto comp mode tunnel level use tmpl`),
			P_FWD,
		],
		flows: [
			{
				flow: 'src 10.2.0.5 dst 10.1.0.1 dir in via 0x200',
				bad: 'drop XfrmInTmplMismatch',
				good: 'transform',
			},
		],
	},
	'beet-selector': {
		bad: [esp(ME, PEER, '0x100', 'reqid 1 mode beet')],
		good: [esp(ME, PEER, '0x100', 'reqid 1 mode beet', 'sel src 10.1.0.1/32 dst 10.2.0.1/32')],
	},
	'gap-in-clear': {
		bad: SITE,
		good: [
			...SITE,
			`xfrm policy add src 10.1.0.0/16 dst 10.0.0.0/8 dir out priority 9 action block`,
		],
	},
	'if-id-no-device': { bad: IF_ID_SITE, good: [...X0, ...IF_ID_SITE] },
	'mobility-unpaired': { bad: [HAO], good: [HAO, RH2] },

	'encap-swapped': {
		bad: [
			`${O} encap espinudp 4500 40000 0.0.0.0`,
			`${I} encap espinudp 4500 40000 0.0.0.0`,
			...POLICIES,
		],
		good: [
			`${O} encap espinudp 4500 40000 0.0.0.0`,
			`${I} encap espinudp 40000 4500 0.0.0.0`,
			...POLICIES,
		],
	},
	'encap-one-sided': {
		bad: [O, `${I} encap espinudp 40000 4500 0.0.0.0`, ...POLICIES],
		good: SITE,
	},
	'output-mark-loop': {
		bad: [...X0, 'route add 198.51.100.0/24 dev x0', ...IF_ID_SITE],
		good: [...X0, 'route add 10.2.0.0/16 dev x0', ...IF_ID_SITE],
	},
	'nat-before-lookup': {
		bad: [...SITE],
		good: SITE,
		nat: [
			'table ip nat {',
			'\tchain postrouting {',
			'\t\ttype nat hook postrouting priority srcnat; policy accept;',
			'\t\toifname "wan" ip saddr 10.1.0.0/16 masquerade',
			'\t}',
			'}',
		].join('\n'),
		natGood: [
			'*nat',
			'-A POSTROUTING -s 10.1.0.0/16 -d 10.2.0.0/16 -j ACCEPT',
			'-A POSTROUTING -s 10.1.0.0/16 -o wan -j MASQUERADE',
		].join('\n'),
	},
	'mtu-chain': { bad: SITE, good: POLICIES },
};
