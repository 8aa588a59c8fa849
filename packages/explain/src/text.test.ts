import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ask, gateway, policy } from './explainer-fixture.test.ts';
import { Secrets } from './secrets.ts';
import { answerText, hanging, wrap } from './text.ts';

describe('text', () => {
	const rules = Array.from({ length: 9 }, (_, i) =>
		policy(`src 10.1.0.0/16 dst 10.2.${i}.0/24 dir out priority ${i}`, '192.0.2.1', '198.51.100.7'),
	);
	const flow = 'src 10.1.0.5 dst 10.2.3.9 proto udp dport 53 dir fwd dev lan';

	it('has the answer first, and 100 columns', () => {
		const lines = answerText(ask(gateway(...rules), flow), { colours: false });
		assert.equal(lines[0], 'ACQUIRE  XfrmOutNoStates');
		assert.match(
			lines[1] ?? '',
			/^Policy out \d+ \(src 10\.1\.0\.0\/16 dst 10\.2\.3\.0\/24 priority 3/,
		);
		assert.deepEqual(
			lines.filter((line) => line.length > 100 || line !== line.trimEnd()),
			[],
		);
	});

	it('does not say of a packet that is dropped that it leaves', () => {
		const explainer = gateway();
		explainer.run('route del default');
		const [head] = answerText(ask(explainer, flow), { colours: false });
		assert.equal(head, 'DROP  an ICMP error leaves by lan');
	});

	it('says the same with and without colours', () => {
		const plain = answerText(ask(gateway(...rules), flow), { colours: false });
		const painted = answerText(ask(gateway(...rules), flow), { colours: true });
		assert.notDeepEqual(painted, plain);
		const strip = (line: string): string =>
			line
				.split(String.fromCharCode(27))
				.map((part, i) => (i === 0 ? part : part.replace(/^\[\d+m/, '')))
				.join('');
		assert.deepEqual(painted.map(strip), plain);
	});

	it('begins the lines behind the first further in, at every width', () => {
		const text = 'meets policy out 1; goes through state 0x00000101';
		assert.deepEqual(hanging('  - pass  ', text, 6, 100), [`  - pass  ${text}`]);
		assert.deepEqual(hanging('  - pass  ', text, 6, 50), [
			'  - pass  meets policy out 1; goes through',
			'      state 0x00000101',
		]);
	});

	it('wraps at blanks and cuts what is longer than a line', () => {
		assert.deepEqual(wrap('one two  three', 8), ['one two', 'three']);
		assert.deepEqual(wrap('abcdefghij k', 4), ['abcd', 'efgh', 'ij k']);
	});
});

describe('secrets', () => {
	it('are numbered in order of appearance, equal ones alike', () => {
		const secrets = new Secrets(false);
		secrets.learn(['enc', 'cbc(aes)', '0xaaaaaaaaaa', 'auth', 'hmac(sha1)', '0xbbbbbbbbbb']);
		secrets.learn(['aead', 'rfc4106(gcm(aes))', '0xaaaaaaaaaa', '128']);
		assert.equal(secrets.hide('0xbbbbbbbbbb aaaaaaaaaa 0xaaaaaaaaaa'), 'key#2 key#1 key#1');
		const shown = new Secrets(true);
		shown.learn(['enc', 'cbc(aes)', '0xaaaaaaaaaa']);
		assert.equal(shown.hide('0xaaaaaaaaaa'), '0xaaaaaaaaaa');
	});
});
