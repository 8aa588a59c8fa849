/** All kinds of random cases. */
import { changeKinds } from './change-cases.ts';
import { edgeKinds } from './edge-cases.ts';
import type { Kind } from './kind.ts';
import { mixtureKinds } from './mixture-cases.ts';
import { packetKinds } from './packet-cases.ts';
import { plainIpScenario } from './plain-ip.ts';
import { policyKinds } from './policy-cases.ts';
import { stateKinds } from './state-cases.ts';
import { transformKinds } from './transform-cases.ts';

export const kinds: readonly Kind[] = [
	...transformKinds,
	...stateKinds,
	...policyKinds,
	...changeKinds,
	...packetKinds,
	...mixtureKinds,
	...edgeKinds,
	{ name: 'plain-ip', make: plainIpScenario },
];
