/**
 * The first fix as a person would use it: after the packet has been lost its commands are pasted as they are told,
 * and the packet is sent again. Every fault of the table is one that somebody has had.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseHex } from '@xfrm/wire';
import type { Explainer, PacketOptions } from './explainer.ts';
import { ask, gateway, gatewayAt } from './explainer-fixture.test.ts';
import { type Ask, FAULTS, type Fault } from './faults-fixture.test.ts';
import { firstFix, paste } from './paste-fixture.test.ts';

function explainerOf({ rules, sysctls = {} }: Fault): Explainer {
	const explainer = gateway(...rules);
	for (const [name, value] of Object.entries(sysctls)) {
		explainer.setSysctl(name, value);
	}
	return explainer;
}

/** The packet that the peer's rules make of a flow, the last of several. */
function sealed({ peer, flow, count = 1 }: Extract<Ask, { readonly peer: unknown }>): Uint8Array {
	const sender = gatewayAt('10.2.0.1/16', '198.51.100.7/24', peer);
	let hex = '';
	for (let i = 0; i < count; i++) {
		hex = ask(sender, flow).packets[0] ?? '';
	}
	const bytes = parseHex(hex);
	assert.ok(bytes instanceof Uint8Array && bytes.length > 0, `the peer sends nothing: ${flow}`);
	return bytes;
}

function put(explainer: Explainer, one: Ask, options: PacketOptions = {}): void {
	if (typeof one === 'number') {
		explainer.wait(one);
	} else if (typeof one === 'string') {
		ask(explainer, one, options);
	} else if ('peer' in one) {
		explainer.ask(sealed(one), { device: 'wan', ...options });
	} else {
		explainer.ask(one, { device: 'lan', ...options });
	}
}

describe('the first fix', () => {
	for (const fault of FAULTS) {
		it(fault.name, () => {
			const explainer = explainerOf(fault);
			for (const one of fault.asks) {
				put(explainer, one);
			}
			const { answer } = explainer.question ?? {};
			assert.notEqual(answer?.outcome, 'transform');
			assert.match(answer?.reason ?? '', fault.says);
			const first = firstFix(explainer);
			assert.ok(first !== undefined, 'no fix is told');
			assert.match([first.text, ...first.commands].join('  '), fault.first);
			const options = paste(explainer, first);
			put(explainer, fault.asks.at(-1) ?? 0, options);
			const { outcome, reason } = explainer.question?.answer ?? {};
			assert.equal(outcome, 'transform', reason);
		});
	}
});
