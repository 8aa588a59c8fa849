/** All cases of the suite, in order of interest. */

import { addressCases } from './address-cases.ts';
import { algorithmSituations } from './algorithm-situations.ts';
import { commandCases } from './command-cases.ts';
import { crowdSituations } from './crowd-situations.ts';
import { endCases } from './end-cases.ts';
import { execCases } from './exec-cases.ts';
import { firewallCases } from './firewall-cases.ts';
import { guideCases } from './guide-cases.ts';
import { hostileCases } from './hostile-cases.ts';
import { lifeSituations } from './life-situations.ts';
import { managerCases } from './manager-cases.ts';
import { markSituations } from './mark-situations.ts';
import { observedCases } from './observed-cases.ts';
import { pathCases, pathSituations } from './path-situations.ts';
import { plutoSituations } from './pluto-situations.ts';
import { policySituations } from './policy-situations.ts';
import { safetyCases } from './safety-cases.ts';
import type { Case, Situation } from './scenario.ts';
import { startCases } from './start-cases.ts';
import { supervisedCases } from './supervised-cases.ts';
import { systemdCases } from './systemd-cases.ts';
import { tunnelSituations } from './tunnel-situations.ts';
import { unitCases } from './unit-cases.ts';
import { wireCases } from './wire-cases.ts';

/** Rows of the table, in its order. */
export const situations: readonly Situation[] = [
	...tunnelSituations,
	...algorithmSituations,
	...policySituations,
	...markSituations,
	...lifeSituations,
	...pathSituations,
	...crowdSituations,
	...plutoSituations,
];

/** What is shown of the daemon alone. */
export const cases: readonly Case[] = [
	...safetyCases,
	...hostileCases,
	...wireCases,
	...pathCases,
	...firewallCases,
	...addressCases,
	...managerCases,
	...guideCases,
	...unitCases,
	...systemdCases,
	...startCases,
	...endCases,
	...commandCases,
	...observedCases,
	...execCases,
	...supervisedCases,
];
