/** `explain` asked about every flow of policy-decisions.jsonl and policy-ties.jsonl: it names the kernel's policy. */
import { nodeProvider } from '@xfrm/crypto/node';
import type { KernelProfile } from '@xfrm/engine';
import { type Answer, Explainer, makePacket, parseFlow, splitWords } from '@xfrm/explain';
import type { Difference } from './difference.ts';
import { seededRandom } from './laboratory.ts';
import {
	decisionOf,
	type PolicyCase,
	type PolicyFlow,
	type PolicyResult,
	requestOf,
} from './policy-runner.ts';

const provider = nodeProvider();

/** Asks about all flows of a case: how many met the policy that the kernel chose. */
export function explainPolicies(one: PolicyCase, profile: KernelProfile): PolicyResult {
	const explainer = new Explainer({
		profile,
		provider,
		random: seededRandom(7),
		startUs: 1_700_000_000_500_000,
	});
	for (const [number, op] of one.ops.entries()) {
		explainer.request(requestOf(op, number));
	}
	explainer.prepare();
	let right = 0;
	let difference: Difference | undefined;
	for (const [number, flow] of one.flows.entries()) {
		const want = decisionOf(one, number, profile);
		const have = chosenOp(explainer, flow);
		right += want === have ? 1 : 0;
		if (want !== have) {
			difference ??= { field: `flow ${flowText(flow)}`, want: `op ${want}`, have: `op ${have}` };
		}
	}
	return { right, difference };
}

/** The op that made the policy which the answer names, -1 for none. */
function chosenOp(explainer: Explainer, flow: PolicyFlow): number {
	const packet = makePacket(parseFlow(splitWords(flowText(flow))));
	const mark = flow.m === undefined ? {} : { mark: flow.m };
	if (flow.s === flow.d) {
		// Nobody's here: what this host sends to itself goes by lo, where no policy is asked.
		return opOf(explainer, explainer.ask(packet, { direction: 'fwd', ...mark }));
	}
	// Another flow may go to this address: it is the host's for this one only.
	const address = `${flow.s}/${flow.f === 4 ? 32 : 128} dev eth0`;
	explainer.run(`addr add ${address}`);
	const answer = explainer.ask(packet, { direction: 'out', ...mark });
	explainer.run(`addr del ${address}`);
	return opOf(explainer, answer);
}

function opOf(explainer: Explainer, { policies }: Answer): number {
	const index = policies[0]?.index;
	for (const policy of explainer.world.engine.policies()) {
		if (policy.index === index) {
			return policy.config.lifetime.softByteLimit;
		}
	}
	return -1;
}

function flowText({ s, d, p, sp, dp }: PolicyFlow): string {
	return `src ${s} dst ${d} proto ${p} sport ${sp} dport ${dp}`;
}
