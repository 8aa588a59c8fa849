/** All scenarios, in the order in which histories are dealt out. */
import { acquireStorm } from './acquire-storm.ts';
import { byteLimits } from './byte-limits.ts';
import { crashRestart } from './crash-restart.ts';
import { esnWrap } from './esn-wrap.ts';
import { forwardingChain } from './forwarding-chain.ts';
import { interfacePair } from './interface-pair.ts';
import { natRebinding } from './nat-rebinding.ts';
import { nestedTunnels } from './nested-tunnels.ts';
import { pathMtu } from './path-mtu.ts';
import { policyChurn } from './policy-churn.ts';
import { rekeyCollision } from './rekey-collision.ts';
import { rekeyUnderTraffic } from './rekey-under-traffic.ts';
import type { Scenario } from './scenario.ts';
import { siteToSite } from './site-to-site.ts';
import { stackedStates } from './stacked-states.ts';
import { transportMesh } from './transport-mesh.ts';

export const scenarios: readonly Scenario[] = [
	siteToSite,
	transportMesh,
	natRebinding,
	rekeyUnderTraffic,
	rekeyCollision,
	esnWrap,
	byteLimits,
	pathMtu,
	acquireStorm,
	crashRestart,
	nestedTunnels,
	forwardingChain,
	policyChurn,
	stackedStates,
	interfacePair,
];
