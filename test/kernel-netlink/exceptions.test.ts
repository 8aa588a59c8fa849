import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { linux61, linux72, linux619 } from '@xfrm/engine';
import {
	attribute,
	completePolicy,
	encodeError,
	encodeMessage,
	policyRequestAttributes,
	policyRequestBody,
	splitMessages,
	type XfrmMessage,
} from '@xfrm/netlink';
import { anySelector, Mode } from '@xfrm/wire/xfrm';
import { type Disagreement, EXCEPTIONS } from './exceptions.ts';
import { PLAIN_SENDER, type Step } from './netlink-end.ts';
import { profileOf } from './trial.ts';

const header = { flags: 5, seq: 3, pid: 0 };

function request(message: Pick<XfrmMessage, 'name' | 'body'> & Partial<XfrmMessage>): Uint8Array {
	return encodeMessage({ ...header, attributes: [], ...message } as XfrmMessage);
}

function step(datagram: Uint8Array): Step {
	return { ...PLAIN_SENDER, datagram };
}

function _refusal(datagram: Uint8Array, errno: number, message?: string): Uint8Array {
	const [raw] = splitMessages(datagram);
	assert.ok(raw);
	const extended = message === undefined ? {} : { extended: { message } };
	return encodeError(raw, errno, { pid: 7, capAck: true, ...extended });
}

/** A copy with some octets changed. */
function changed(bytes: Uint8Array, at: number, octets: readonly number[]): Uint8Array {
	const copy = bytes.slice();
	copy.set(octets, at);
	return copy;
}

const flush = request({ name: 'flushsa', body: { proto: 0 } });
const mappingBody = {
	id: { daddr: new Uint8Array(16), spi: 0, family: 0, proto: 0 },
	reqid: 0,
	oldSaddr: new Uint8Array(16),
	newSaddr: new Uint8Array(16),
	oldSport: 0,
	newSport: 0,
};
const _mapping = request({ name: 'mapping', body: mappingBody });

const id = { daddr: new Uint8Array(16), spi: 0, proto: 50 };
function policyOf(direction: number, mode: number, optional: number): Uint8Array {
	const template = { id, saddr: new Uint8Array(16), family: 2, mode, optional };
	const config = completePolicy({ selector: anySelector(2), direction, templates: [template] });
	const attributes = policyRequestAttributes(config);
	return request({ name: 'newpolicy', body: policyRequestBody(config), attributes });
}
const policy = policyOf(1, Mode.Tunnel, 0);
/** Behind the header: a selector's padding, and the second octet of the first limit. */
const PADDING_AT = 16 + 45;
const LIMIT_AT = 16 + 56;
const padded = changed(policy, PADDING_AT, [9]);
const beyond = [1, 255, 255, 255, 255, 255, 255, 0];
/** What a double makes of it. */
const nearby = [0, 255, 255, 255, 255, 255, 255, 0];

const getPolicy = request({
	name: 'getpolicy',
	body: { selector: anySelector(2), index: 0, direction: 1 },
});
const _acquireText = 'pCPU number too big';
const _allocspi = changed(request({ name: 'flushsa', body: { proto: 0 } }), 4, [0x16]);

const sadInfo = (sadhcnt: number, sadCnt: number): Uint8Array =>
	request({
		name: 'newsadinfo',
		body: { flags: 0 },
		attributes: [
			attribute('sadCnt', sadCnt),
			attribute('sadHinfo', { sadhcnt, sadhmcnt: 1048576 }),
		],
	});

function disagreement(fields: Partial<Disagreement>): Disagreement {
	const { step: last = step(flush) } = fields;
	return { step: last, history: [last], what: 'answers', kernel: [], server: [], ...fields };
}

/** For each exception: what it covers, and what is nearly that and it does not. */
const rows: Readonly<
	Record<string, { readonly covered: Disagreement; readonly not: readonly Disagreement[] }>
> = {
	'limits-beyond-2^53': {
		covered: disagreement({
			kernel: [changed(policy, LIMIT_AT, beyond)],
			server: [changed(policy, LIMIT_AT, nearby)],
		}),
		not: [
			disagreement({
				kernel: [changed(policy, LIMIT_AT, [1, 0, 0, 0, 0, 0, 0, 0])],
				server: [changed(policy, LIMIT_AT, [2, 0, 0, 0, 0, 0, 0, 0])],
			}),
		],
	},
	padding: {
		covered: disagreement({ kernel: [padded], server: [policy] }),
		not: [
			disagreement({ kernel: [policy], server: [padded] }),
			disagreement({ kernel: [changed(padded, 16, [9])], server: [policy] }),
		],
	},
	'padded-identity': {
		covered: disagreement({ step: step(getPolicy), history: [step(padded), step(getPolicy)] }),
		not: [
			disagreement({ step: step(getPolicy), history: [step(policy), step(getPolicy)] }),
			disagreement({ step: step(flush), history: [step(padded), step(flush)] }),
		],
	},
	buckets: {
		covered: disagreement({ kernel: [sadInfo(16, 9)], server: [sadInfo(8, 9)] }),
		not: [
			disagreement({ kernel: [sadInfo(16, 9)], server: [sadInfo(8, 8)] }),
			disagreement({ kernel: [policy], server: [padded] }),
		],
	},
};

describe('exceptions of the comparison with the running kernel', () => {
	test('there are at most twelve, each with a reason and a row here', () => {
		assert.ok(EXCEPTIONS.length <= 12);
		assert.deepEqual(
			EXCEPTIONS.map(({ name }) => name),
			Object.keys(rows),
		);
		assert.ok(EXCEPTIONS.every(({ reason }) => reason.length > 20));
	});

	for (const exception of EXCEPTIONS) {
		test(`${exception.name}: covers what it is for and not what is near`, () => {
			const row = rows[exception.name];
			assert.ok(row);
			assert.equal(exception.covers(row.covered), true);
			for (const [i, near] of row.not.entries()) {
				assert.equal(exception.covers(near), false, `row ${i}`);
			}
		});
	}
});

test('each kernel is compared with the profile that follows it, or with none', () => {
	assert.equal(profileOf('6.1.176'), linux61);
	assert.equal(profileOf('6.18.44-fc-v595'), linux619);
	assert.equal(profileOf('7.2.0'), linux72);
	assert.equal(profileOf('6.8.0-generic'), undefined);
	assert.equal(profileOf('5.15.0'), undefined);
});
