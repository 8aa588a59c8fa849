/**
 * The first fix as a person would use it: after the packet has been lost its commands are pasted as they are told,
 * and the packet is sent again. Every fault of the table is one that somebody has had.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseHex } from '@xfrm/wire';
import type { Fix } from './answer.ts';
import type { Explainer, PacketOptions } from './explainer.ts';
import { ask, gateway, gatewayAt, KEY } from './explainer-fixture.test.ts';
import { type Ask, FAULTS, type Fault } from './faults-fixture.test.ts';
import { findFixes } from './fixes.ts';

/** Where a key has to be filled in, the one that all ends have here. */
const KEY_WORD = / KEY\b/g;

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

/** Pastes the commands of a fix; what a firewall rule among them does to the packet. */
function paste(explainer: Explainer, { commands }: Fix): PacketOptions {
	let options: PacketOptions = {};
	for (const command of commands) {
		const sysctl = /^sysctl -w (\S+)=(\d+)$/.exec(command);
		const mark = /^nft add rule .* meta mark set (0x[0-9a-f]+)$/.exec(command);
		if (mark !== null) {
			options = { ...options, mark: Number(mark[1]) };
			continue;
		}
		const { status, stderr } =
			sysctl === null
				? explainer.run(command.replace(KEY_WORD, ` ${KEY}`))
				: explainer.setSysctl(sysctl[1] ?? '', Number(sysctl[2]));
		assert.equal(status, 0, `${command}: ${stderr}`);
	}
	return options;
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
			const [first] = findFixes(explainer, {
				keyName: (key) =>
					`0x${[...key].map((octet) => octet.toString(16).padStart(2, '0')).join('')}`,
			});
			assert.ok(first !== undefined, 'no fix is told');
			assert.match([first.text, ...first.commands].join('  '), fault.first);
			const options = paste(explainer, first);
			put(explainer, fault.asks.at(-1) ?? 0, options);
			const { outcome, reason } = explainer.question?.answer ?? {};
			assert.equal(outcome, 'transform', reason);
		});
	}
});
