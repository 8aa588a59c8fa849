// Policies of sockets (IP_XFRM_POLICY) as dumps and counts show them, on the running kernel and from our
// engine. It enters a network namespace, hence a file of its own.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import {
	completePolicy,
	encodeMessage,
	MessageWriter,
	type PolicyInput,
	policyRequestBody,
	userPolicyInfo,
	userTemplate,
	type XfrmMessage,
} from '@xfrm/netlink';
import { anySelector, Direction, Mode, type PolicyConfig, parseAddress } from '@xfrm/wire/xfrm';
import { type Difference, formatDifference } from '../golden/difference.ts';
import { Random } from '../kernel/random.ts';
import { PLAIN_SENDER, type Step } from './netlink-end.ts';
import { possibleProcessors, setProcessors, Trial } from './trial.ts';

const AF_INET = 2;
const SOCK_DGRAM = 2;
const IPPROTO_IP = 0;
const IP_XFRM_POLICY = 17;

interface Koffi {
	load(path: null): { func(prototype: string): (...values: unknown[]) => number };
}

setProcessors(possibleProcessors());
const first = Trial.open();
const skip = typeof first === 'string' ? first : false;

/** `xfrm_userpolicy_info` and the templates behind it, as the option has them. */
function optionOf(config: PolicyConfig): Uint8Array {
	const writer = new MessageWriter({ type: 0, flags: 0, seq: 0, pid: 0 });
	const bodyAt = writer.append(userPolicyInfo.octets);
	userPolicyInfo.write(writer.view, bodyAt, policyRequestBody(config));
	for (const template of config.templates) {
		const at = writer.append(userTemplate.octets);
		userTemplate.write(writer.view, at, template);
	}
	return writer.finish().slice(16);
}

function step(message: Pick<XfrmMessage, 'name' | 'body'> & Partial<XfrmMessage>): Step {
	const whole = { flags: 1, seq: 1, pid: 0, attributes: [], ...message } as XfrmMessage;
	return { ...PLAIN_SENDER, datagram: encodeMessage(whole) };
}

function randomPolicy(random: Random, direction: number): PolicyInput {
	const daddr = parseAddress('192.0.2.1')?.address ?? new Uint8Array(16);
	const template = {
		id: { daddr, spi: 0, proto: 50 },
		saddr: daddr,
		family: 2,
		reqid: random.int(0, 3),
		mode: random.pick([Mode.Transport, Mode.Tunnel]),
	};
	return {
		selector: { ...anySelector(2), prefixlenD: random.pick([0, 24]), sport: 7 },
		direction,
		priority: random.int(0, 9),
		action: random.int(0, 1),
		templates: random.chance(0.6) ? [template] : [],
	};
}

// @spec P-19 N-15
test('policies of sockets: indexes, order, counts, and that netlink cannot touch them', {
	skip,
}, () => {
	const trial = Trial.open();
	assert.ok(typeof trial !== 'string');
	const libc = (createRequire(import.meta.url)('koffi') as Koffi).load(null);
	const socket = libc.func('int socket(int domain, int type, int protocol)');
	const setsockopt = libc.func(
		'int setsockopt(int fd, int level, int name, const void *value, uint32_t octets)',
	);
	const close = libc.func('int close(int fd)');
	const random = new Random(1);
	const sockets = [0, 1, 2].map(() => socket(AF_INET, SOCK_DGRAM, 0));
	for (let i = 0; i < 60; i++) {
		const nowUs = Date.now() * 1000;
		const slot = random.int(0, sockets.length - 1);
		const fd = sockets[slot];
		const direction = random.pick([Direction.In, Direction.Out]);
		const config = completePolicy(randomPolicy(random, direction));
		const steps: Step[] = [
			step({ name: 'getspdinfo', body: { flags: 0 } }),
			step({
				name: 'delpolicy',
				body: { selector: config.selector, index: 0, direction: 3 + direction },
			}),
			step({ name: 'getpolicy', body: { selector: anySelector(2), index: 8 * i, direction } }),
		];
		if (random.chance(0.3)) {
			steps.push(step({ name: 'newpolicy', body: policyRequestBody(config) }));
		} else if (random.chance(0.2)) {
			assert.equal(setsockopt(fd, IPPROTO_IP, IP_XFRM_POLICY, null, 0), 0);
			trial.server.engine.setSocketPolicy(slot + 1, Direction.In, undefined, nowUs);
			trial.server.engine.setSocketPolicy(slot + 1, Direction.Out, undefined, nowUs);
		} else {
			const option = optionOf(config);
			assert.equal(setsockopt(fd, IPPROTO_IP, IP_XFRM_POLICY, option, option.length), 0);
			assert.equal(
				trial.server.engine.setSocketPolicy(slot + 1, direction, config, nowUs),
				undefined,
			);
		}
		const difference: Difference | undefined = trial.run(steps);
		assert.equal(difference && formatDifference(difference), undefined, `round ${i}`);
	}
	for (const fd of sockets) {
		close(fd);
	}
	trial.close();
});
