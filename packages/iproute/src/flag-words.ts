/** Names of flags, in the order in which `ip` prints them. */
import { ExtraFlag, PolicyFlag, StateFlag } from '@xfrm/wire/xfrm';

export type FlagWords = readonly (readonly [name: string, bit: number])[];

export const STATE_FLAG_WORDS: FlagWords = [
	['noecn', StateFlag.NoEcn],
	['decap-dscp', StateFlag.DecapDscp],
	['nopmtudisc', StateFlag.NoPmtuDisc],
	['wildrecv', StateFlag.WildRecv],
	['icmp', StateFlag.Icmp],
	['af-unspec', StateFlag.AfUnspec],
	['align4', StateFlag.Align4],
	['esn', StateFlag.Esn],
];

export const EXTRA_FLAG_WORDS: FlagWords = [
	['dont-encap-dscp', ExtraFlag.DontEncapDscp],
	['oseq-may-wrap', ExtraFlag.OseqMayWrap],
];

export const POLICY_FLAG_WORDS: FlagWords = [
	['localok', PolicyFlag.LocalOk],
	['icmp', PolicyFlag.Icmp],
];
