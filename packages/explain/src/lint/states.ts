/** States by themselves: who uses them, their identity, keys, algorithms, windows and limits. */
import { Current, Limit, ReplayMode, StateStat, type XfrmState } from '@xfrm/engine';
import { formatHex } from '@xfrm/wire';
import { IpProto, isAnyAddress, Mode } from '@xfrm/wire/xfrm';
import { algorithmText, hasSpi, stateName } from '../names.ts';
import { familyBits, type LintFacts } from './facts.ts';
import { type Finding, finding } from './finding.ts';

export function checkStates(facts: LintFacts): Finding[] {
	return [
		...facts.states.flatMap((state) => [
			...checkUse(facts, state),
			...checkIdentity(facts, state),
			...checkAlgorithms(state),
			...checkWindow(facts, state),
			...checkLimits(facts, state),
			...checkPair(facts, state),
		]),
		...facts.larval.map((state) =>
			finding('state-larval', [state], `${stateName(state)} waits for its keys`),
		),
		...checkTwins(facts),
	];
}

function when(
	holds: boolean,
	id: string,
	state: XfrmState,
	reason: string,
	other?: XfrmState,
): Finding[] {
	return holds ? [finding(id, [state, other], reason)] : [];
}

function hasEsn({ replay }: XfrmState): boolean {
	return replay.mode === ReplayMode.Esn;
}

function isMobile({ proto }: XfrmState): boolean {
	return proto === IpProto.Routing || proto === IpProto.DestinationOptions;
}

function checkUse(facts: LintFacts, state: XfrmState): Finding[] {
	const name = stateName(state);
	const { saddr, id } = state.config;
	const away =
		facts.options.hostKnown &&
		!isMobile(state) &&
		!facts.isLocal(state.family, saddr) &&
		!facts.isLocal(state.family, id.daddr) &&
		!isAnyAddress(saddr, state.family);
	return [
		...when(!facts.used.has(state), 'state-unused', state, `no template is served by ${name}`),
		...when(away, 'state-not-local', state, `${name}: neither end is an address of this host`),
		...when((state.flags & 8) !== 0, 'state-wildrecv', state, `${name} has flag wildrecv`),
	];
}

function checkIdentity(facts: LintFacts, state: XfrmState): Finding[] {
	const name = stateName(state);
	const any = isAnyAddress(state.config.saddr, state.family) && !isMobile(state);
	const [opposite] = facts.opposites(state);
	const mirrored = hasSpi(state) && opposite?.spi === state.spi && facts.isInward(state);
	const { selector } = state.config;
	const bits = familyBits(selector.family);
	const full =
		selector.prefixlenS === bits && selector.prefixlenD === bits && selector.family !== 0;
	return [
		...when(any, 'state-source-any', state, `${name} takes packets of any source`),
		...when(hasSpi(state) && state.spi === 0, 'state-spi-zero', state, `${name} has no SPI`),
		...when(mirrored, 'spi-mirrored', state, `${name} in both directions`, opposite),
		...when(
			state.mode === Mode.Beet && !full,
			'beet-selector',
			state,
			`${name} has mode beet and no selector from host to host`,
		),
	];
}

const WEAK = /(^|\()(des|des3_ede|cast5|cast128|blowfish|md5|rmd160|ripemd)/;

function checkAlgorithms(state: XfrmState): Finding[] {
	const { aead, auth, crypt } = state.config;
	const name = stateName(state);
	const names = [aead?.name, auth?.name, crypt?.name].filter((one) => one !== undefined);
	const weak = names.filter((one) => WEAK.test(one));
	const isNull = /null/.test(crypt?.name ?? '') || aead?.name.startsWith('rfc4543') === true;
	const bare =
		state.proto === IpProto.Esp &&
		aead === undefined &&
		(auth === undefined || auth.name === 'digest_null');
	const truncated = state.icvOctets === 12 && /sha256/.test(auth?.name ?? '');
	return [
		...when(weak.length > 0, 'algorithm-weak', state, `${name} uses ${weak.join(', ')}`),
		...when(isNull, 'algorithm-null', state, `${name}: ${algorithmText(state)}`),
		...when(bare && !isNull, 'algorithm-no-integrity', state, `${name}: ${algorithmText(state)}`),
		...when(
			truncated,
			'algorithm-sha256-96',
			state,
			`${name} sends and expects 12 octets of ${auth?.name}`,
		),
	];
}

/** From here on sequence numbers are said to run out: 15/16 of them are used. */
const SEQUENCE_NEAR = 0xf0000000;

function checkWindow(facts: LintFacts, state: XfrmState): Finding[] {
	const name = stateName(state);
	const { replay } = state;
	const inward =
		facts.isInward(state) && (state.proto === IpProto.Esp || state.proto === IpProto.Ah);
	const window = replay.windowPackets;
	const [opposite] = facts.opposites(state);
	const oneSided = opposite !== undefined && inward && hasEsn(state) !== hasEsn(opposite);
	const oseq = (replay.counters[0] ?? 0) >>> 0;
	const { stats } = state;
	const refused = [
		`${stats[StateStat.IntegrityFailed]} failed integrity`,
		`${stats[StateStat.Replay]} replays`,
		`${stats[StateStat.ReplayWindow]} too old`,
	].filter((text) => !text.startsWith('0 '));
	return [
		...when(
			state.proto === IpProto.Comp && window > 0 && facts.isInward(state),
			'ipcomp-window',
			state,
			`${name} has replay-window ${window}`,
		),
		...when(inward && window === 0, 'window-zero', state, `${name} has replay-window 0`),
		...when(
			inward && window > 0 && window <= 32,
			'window-small',
			state,
			`${name} has replay-window ${window}`,
		),
		...when(
			oneSided,
			'esn-one-sided',
			state,
			`${name} ${hasEsn(state) ? 'has' : 'lacks'} flag esn, unlike its opposite`,
			opposite,
		),
		...when(
			!hasEsn(state) && oseq >= SEQUENCE_NEAR,
			'sequence-near-end',
			state,
			`${name} has sent number ${oseq} of 4294967295`,
		),
		...when(
			refused.length > 0,
			'integrity-failures',
			state,
			`${name} counts ${refused.join(', ')}`,
		),
	];
}

function checkLimits(facts: LintFacts, state: XfrmState): Finding[] {
	const { limits, lifetime } = state;
	const now = facts.world.nowUs / 1_000_000;
	const unlimited =
		[0, 1, 2, 3].every((i) => limits[i] === Number.POSITIVE_INFINITY) &&
		[4, 5, 6, 7].every((i) => limits[i] === 0);
	if (unlimited) {
		return isMobile(state)
			? []
			: [finding('lifetime-none', [state], `${stateName(state)} has no limits`)];
	}
	const used: readonly (readonly [string, number, number])[] = [
		['bytes', lifetime[Current.Bytes] ?? 0, limits[Limit.HardByte] ?? 0],
		['packets', lifetime[Current.Packets] ?? 0, limits[Limit.HardPacket] ?? 0],
		[
			'seconds',
			now - (lifetime[Current.AddTime] ?? now),
			limits[Limit.HardAdd] || Number.POSITIVE_INFINITY,
		],
	];
	return used.flatMap(([unit, have, limit]) =>
		when(
			have >= 0.9 * limit,
			'lifetime-near',
			state,
			`${stateName(state)} has used ${Math.floor(have)} of ${limit} ${unit}`,
		),
	);
}

/** What the two directions of an association should have in common. */
function checkPair(facts: LintFacts, state: XfrmState): Finding[] {
	const opposites = facts.opposites(state);
	const [opposite] = opposites;
	if (opposite === undefined || !facts.isInward(state)) {
		return [];
	}
	const name = `${stateName(state)} and ${stateName(opposite)}`;
	const mine = state.encap;
	const other = opposite.encap;
	const same = opposites.some((one) => algorithmText(one) === algorithmText(state));
	const swapped =
		mine !== undefined &&
		other !== undefined &&
		mine.sport !== mine.dport &&
		mine.sport === other.sport &&
		mine.dport === other.dport;
	const oneSided = opposites.every(({ encap }) => (encap === undefined) !== (mine === undefined));
	return [
		...when(
			!same,
			'algorithms-one-sided',
			state,
			`${name}: ${algorithmText(state)}; ${algorithmText(opposite)}`,
			opposite,
		),
		...when(
			swapped,
			'encap-swapped',
			state,
			`${name} both have encap ${mine?.sport} ${mine?.dport}`,
			opposite,
		),
		...when(
			oneSided,
			'encap-one-sided',
			state,
			`${name}: ${mine === undefined ? 'plain inward, in UDP outward' : 'in UDP inward, plain outward'}`,
			opposite,
		),
	];
}

/** Keys and SPIs that occur twice. Hidden keys are zeros, of which nothing is known. */
function checkTwins(facts: LintFacts): Finding[] {
	const found: Finding[] = [];
	const keys = new Map<string, XfrmState>();
	const spis = new Map<string, XfrmState>();
	for (const state of facts.states) {
		const { aead, crypt, id } = state.config;
		const key = aead?.key ?? crypt?.key ?? new Uint8Array(0);
		const twin = keys.get(formatHex(key));
		if (key.some((octet) => octet !== 0)) {
			if (twin !== undefined) {
				found.push(
					finding(
						'key-twice',
						[state, twin],
						`${stateName(state)} and ${stateName(twin)} have one key`,
					),
				);
			}
			keys.set(formatHex(key), state);
		}
		const identity = `${state.family} ${formatHex(id.daddr)} ${state.proto} ${state.spi}`;
		const same = spis.get(identity);
		if (same !== undefined && hasSpi(state) && state.spi !== 0) {
			found.push(
				finding(
					'spi-twice',
					[state, same],
					`${stateName(state)} is there twice for one destination`,
				),
			);
		}
		spis.set(identity, state);
	}
	return [...found, ...checkMobility(facts)];
}

/** A home address option outward belongs to a type 2 routing header inward, and the other way round (T-61). */
function checkMobility(facts: LintFacts): Finding[] {
	const mobile = facts.states.filter(isMobile);
	return mobile.flatMap((state) => {
		const other = state.proto === IpProto.Routing ? IpProto.DestinationOptions : IpProto.Routing;
		const pair = mobile.some(
			(one) =>
				one.proto === other &&
				one.saddr.every((word, i) => word === state.daddr[i]) &&
				one.daddr.every((word, i) => word === state.saddr[i]),
		);
		return when(
			!pair && (state.flags & 8) === 0,
			'mobility-unpaired',
			state,
			`${stateName(state)} has no counterpart for the way back`,
		);
	});
}
