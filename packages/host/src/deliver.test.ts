import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checksumAdd, checksumFold, ipv4PseudoSum, ipv6PseudoSum } from '@xfrm/wire';
import {
	counted,
	counting,
	effects,
	familyOf,
	ip,
	NOW_US,
	policy,
	router,
} from './host-fixture.test.ts';

const ENDS = { 4: ['10.0.0.9', '10.0.0.1'], 6: ['2001:db8:a::9', '2001:db8:a::1'] } as const;

interface Question {
	readonly version: 4 | 6;
	readonly proto: number;
	readonly payload: Uint8Array;
	readonly block?: boolean;
}

/** The ICMP answer's type and code, `nothing`, or the counter that the policy check raised. */
function answer({ version, proto, payload, block = false }: Question): string {
	const host = router();
	if (block) {
		const family = familyOf(ENDS[version][0]);
		host.engine.addPolicy(policy({ direction: 0, action: 1, family }), NOW_US);
	}
	const [source, destination] = ENDS[version];
	host.receive('lan', ip(source, destination, payload, { proto }), NOW_US);
	const [counter] = Object.keys(counted(host));
	const icmp = effects(host).map((line) => /icmp (\S+)/.exec(line)?.[1] ?? line);
	return counter ?? icmp[0] ?? 'nothing';
}

/** A UDP-Lite datagram whose checksum covers `coverage` octets; `damage` changes the checksum. */
function udpLite(version: 4 | 6, coverage: number, octets: number, damage = 0): Uint8Array {
	const datagram = new Uint8Array(8 + octets);
	datagram.set(counting(octets), 8);
	const view = new DataView(datagram.buffer);
	view.setUint32(0, (1000 << 16) | 2000);
	view.setUint16(4, coverage);
	const [source, destination] = ENDS[version];
	const packet = ip(source, destination, datagram, { proto: 136 });
	const header = new DataView(packet.buffer);
	const pseudo =
		familyOf(source) === 2
			? ipv4PseudoSum(header, 0, datagram.length, 136)
			: ipv6PseudoSum(header, 0, datagram.length, 136);
	const end = coverage === 0 ? datagram.length : Math.min(coverage, datagram.length);
	view.setUint16(6, checksumFold(checksumAdd(datagram, 0, end, pseudo)) ^ damage);
	return datagram;
}

/** @spec I-22 */
test('IGMP and PIM are checked, and taken without an answer; over IPv6 nobody speaks them', () => {
	for (const proto of [2, 103]) {
		const question = { proto, payload: counting(20) };
		assert.equal(answer({ version: 4, ...question }), 'nothing');
		assert.equal(answer({ version: 4, ...question, block: true }), 'XfrmInPolBlock');
		assert.equal(answer({ version: 6, ...question }), '4/1');
	}
});

/** @spec I-22 */
test('MPLS in IP is refused as a port would be, whatever the policies say', () => {
	for (const [version, refusal] of [
		[4, '3/3'],
		[6, '1/4'],
	] as const) {
		const question = { version, proto: 137, payload: counting(4) };
		assert.equal(answer(question), refusal);
		assert.equal(answer({ ...question, block: true }), refusal);
		assert.equal(answer({ ...question, payload: counting(3) }), 'nothing');
	}
});

/** @spec I-22 */
test('UDP-Lite without a socket gets port unreachable if what its checksum covers is right', () => {
	for (const [version, refusal] of [
		[4, '3/3'],
		[6, '1/4'],
	] as const) {
		const at = (coverage: number, octets: number, damage = 0, block = false): string =>
			answer({ version, proto: 136, payload: udpLite(version, coverage, octets, damage), block });
		for (const coverage of [0, 8, 21, 108]) {
			assert.equal(at(coverage, 100), refusal, `${coverage} octets`);
			assert.equal(at(coverage, 100, 1), 'nothing', `${coverage} octets, damaged`);
			assert.equal(at(coverage, 100, 1, true), 'XfrmInPolBlock', 'long: the policy comes first');
		}
		for (const coverage of [7, 109]) {
			assert.equal(at(coverage, 100, 0, true), 'nothing', `coverage ${coverage} cannot be`);
		}
		assert.equal(
			at(0, 20, 1, true),
			'nothing',
			'short and covered whole: its checksum comes first',
		);
		assert.equal(at(8, 20, 1, true), 'XfrmInPolBlock', 'short, its header covered');
		const unsealed = udpLite(version, 0, 20);
		unsealed.fill(0, 6, 8);
		assert.equal(answer({ version, proto: 136, payload: unsealed, block: true }), 'nothing');
		const cut = udpLite(version, 0, 0).subarray(0, 7);
		assert.equal(answer({ version, proto: 136, payload: cut, block: true }), 'nothing');
	}
});
