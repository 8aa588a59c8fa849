/** What the daemon tells of itself: counters, drops by cause, stories of packets that are gone. */
import assert from 'node:assert/strict';
import { type Host, Laboratory } from './laboratory.ts';
import { type Case, IPV4, withEnds } from './scenario.ts';

const KEY = '0x0102030405060708090a0b0c0d0e0f1011121314';

/** A tunnel to the other side without a key manager: SPI 0x100 from A to B, 0x200 back. */
function tunnel(host: Host, isA: boolean): void {
	const { a, b, netA, netB } = IPV4;
	const [out, back] = isA ? [netB, netA] : [netA, netB];
	for (const [src, dst, spi] of [
		[a, b, 0x100],
		[b, a, 0x200],
	] as const) {
		host.xfrmMust(
			...`state add src ${src} dst ${dst} proto esp spi ${spi} reqid 1 mode tunnel replay-window 32`.split(
				' ',
			),
			...`aead rfc4106(gcm(aes)) ${KEY} 128`.split(' '),
		);
	}
	const [self, peer] = isA ? [a, b] : [b, a];
	const template = (src: string, dst: string): string =>
		`tmpl src ${src} dst ${dst} proto esp reqid 1 mode tunnel`;
	for (const policy of [
		`src ${back} dst ${out} dir out ${template(self, peer)}`,
		`src ${out} dst ${back} dir in ${template(peer, self)}`,
	]) {
		host.xfrmMust('policy', 'add', 'priority', '10', ...policy.split(' '));
	}
}

export const observedCases: readonly Case[] = [
	{
		name: 'what the daemon drops is counted by cause, and told with the tables as they were',
		quick: true,
		run: () =>
			withEnds(async ({ a, b }) => {
				tunnel(a, true);
				tunnel(b, false);
				const { innerA, innerB } = IPV4;
				assert.equal(a.ping(innerB, 2, `-I ${innerA}`), 2);
				const block = `src ${innerA} dst ${innerB} dir in action block priority 1`.split(' ');
				b.xfrmMust('policy', 'add', ...block);
				a.ping(innerB, 1, `-I ${innerA}`);
				b.xfrmMust('policy', 'delete', ...block.slice(0, 6));
				assert.match(b.xfrmMust('stat'), /^XfrmInPolBlock\s+1\s+#/m);
				const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
				const refused = b.wrapped(nobody, 'stat', '--daemon');
				assert.equal(refused.status, 2);
				assert.match(refused.stderr, /Operation not permitted/);
				assert.match(b.xfrmMust('stat', '--kernel'), /^XfrmInPolBlock\s+0$/m);
				const frame = JSON.parse(b.xfrmMust('top', '--once', '--json'));
				assert.equal(frame.target, 'daemon');
				assert.equal(frame.states.length, 2);
				const [drop, ...others] = frame.drops;
				assert.deepEqual(others, []);
				assert.equal(drop.counter, 'XfrmInPolBlock');
				assert.match(drop.policy, /^in \d+$/);
				assert.equal(drop.packets, 1);
				assert.match(b.xfrmMust('top', '--once'), /XfrmInPolBlock/);

				const told = b.xfrm('explain', '--daemon', '--last-drop', '--json', '--no-fix');
				const story = JSON.parse(told.stdout);
				assert.equal(story.counter, 'XfrmInPolBlock', told.stderr);
				assert.deepEqual(
					[story.direction, story.policies.at(-1)?.action, story.states.at(0)?.spi],
					['in', 'block', '0x00000100'],
				);
				assert.equal(told.status, 1);

				b.xfrmMust('state', 'flush');
				a.ping(innerB, 1, `-I ${innerA}`);
				const [one, two] = ['1', '2'].map((number) =>
					b.xfrm('explain', '--daemon', '--drop', number, '--json', '--no-fix'),
				);
				assert.equal(JSON.parse(one?.stdout ?? '').counter, 'XfrmInNoStates', one?.stderr);
				// Its keys are wiped by now.
				assert.equal(JSON.parse(two?.stdout ?? '').outcome, 'unknown', two?.stderr);
				assert.match(b.xfrm('explain', '--daemon', '--drop', '9').stderr, /fewer than 9/);
				assert.match(a.xfrm('explain', '--daemon', '--last-drop').stderr, /has dropped no packet/);
			}),
	},
	{
		name: 'metrics are served on loopback, and elsewhere only by token',
		run: async () => {
			const laboratory = new Laboratory();
			try {
				const host = laboratory.host('m');
				const refused = host.xfrm('daemon', '--metrics', '0.0.0.0:9109');
				assert.equal(refused.status, 2);
				assert.match(refused.stderr, /--metrics-token/);
				const daemon = await host.daemon('--metrics', '127.0.0.1:9109');
				host.xfrmMust(
					...'state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x100 mode tunnel'.split(' '),
					...`aead rfc4106(gcm(aes)) ${KEY} 128`.split(' '),
				);
				const read =
					"fetch('http://127.0.0.1:9109/metrics').then(async (r) => console.log(await r.text()))";
				const page = host.must([process.execPath, '-e', read]);
				assert.match(page, /^xfrm_states 1$/m);
				assert.match(page, /^xfrm_stat_total\{counter="XfrmInError"\} 0$/m);
				assert.match(page, /^xfrm_state_bytes_total\{proto="esp",spi="0x00000100",.*\} 0$/m);
				assert.ok(!page.includes(KEY.slice(2)));
				daemon.kill('SIGTERM');
				assert.equal(await daemon.ended, 0);
			} finally {
				await laboratory.close();
			}
		},
	},
];
