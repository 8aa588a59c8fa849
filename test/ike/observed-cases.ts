/** What the daemon tells of itself: counters, drops by cause, stories of packets that are gone. */
import assert from 'node:assert/strict';
import { type Host, Laboratory, pause, until, XFRM } from './laboratory.ts';
import { type Addresses, type Case, IPV4, IPV6, withEnds } from './scenario.ts';

const KEY = '0x0102030405060708090a0b0c0d0e0f1011121314';

/** A tunnel to the other side without a key manager: SPI 0x100 from A to B, 0x200 back. */
function tunnel(host: Host, isA: boolean, ends: Addresses = IPV4): void {
	const { a, b, netA, netB } = ends;
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
		name: 'what no counter of Linux tells is counted and told as well: too big, no port, no policy of an if_id',
		run: () =>
			withEnds(async ({ a, b }) => {
				tunnel(a, true);
				tunnel(b, false);
				const { a: outerA, b: outerB, innerA, innerB } = IPV4;
				const lastDrop = (host: Host) => {
					const told = host.xfrm('explain', '--daemon', '--last-drop', '--json', '--no-fix');
					const { code } = JSON.parse(told.stdout);
					return { status: told.status, code, note: told.stderr };
				};
				a.ping(innerB, 1, `-M do -s 1472 -I ${innerA}`);
				const big = lastDrop(a);
				assert.deepEqual([big.status, big.code], [1, 'out.mtu.ipv4'], big.note);
				assert.match(big.note, /OutTooBig/);

				const ends = `src ${outerA} dst ${outerB}`;
				const template = (reqid: number) => `tmpl ${ends} proto esp reqid ${reqid} mode tunnel`;
				const state = (words: string) =>
					a.xfrmMust(
						...`state add ${ends} proto esp ${words} mode tunnel`.split(' '),
						...`aead rfc4106(gcm(aes)) ${KEY} 128`.split(' '),
					);
				state('spi 0x300 encap espinudp 4600 4600 0.0.0.0 reqid 3');
				const policy = (words: string) => a.xfrmMust('policy', 'add', ...words.split(' '));
				policy(`src ${innerA} dst 10.9.3.0/24 dir out ${template(3)}`);
				a.ping('10.9.3.1', 1, `-I ${innerA}`);
				const portless = lastDrop(a);
				assert.deepEqual([portless.status, portless.code], [1, 'daemon.port'], portless.note);
				assert.match(portless.note, /portless: Nobody has the UDP port/);

				policy(`src ${innerA} dst 10.9.4.0/24 dir out if_id 42 ${template(4)}`);
				const isThere = () => a.run('ip link show xfrm-42').status === 0;
				await until('the device of the if_id', isThere);
				a.must('ip link set xfrm-42 up');
				a.must('ip route add 10.9.5.0/24 dev xfrm-42');
				a.ping('10.9.5.1', 1, `-I ${innerA}`);
				const carrier = lastDrop(a);
				assert.deepEqual([carrier.status, carrier.code], [1, 'host.link-failure'], carrier.note);

				const frame = JSON.parse(a.xfrmMust('top', '--once', '--json'));
				const causes: readonly Record<string, unknown>[] = frame.drops;
				const rows = causes.map(({ counter, code, state: by }) => [counter, code, by]);
				assert.deepEqual(rows.sort(), [
					['OutTooBig', 'fwd.too-big', 'esp 0x00000100'],
					['carrier', 'host.link-failure', null],
					['portless', 'daemon.port', 'esp 0x00000300'],
				]);
				assert.deepEqual([frame.own.portless, frame.own.carrier], [1, 1]);

				// A larval state came since the drop before.
				b.ping(outerA, 1);
				b.mustExec(`ip xfrm state allocspi ${ends} proto esp mode tunnel min 0x500 max 0x500`);
				state('spi 0x500 reqid 5');
				policy(`src ${innerA} dst 10.9.6.0/24 dir out priority 1 ${template(5)}`);
				a.ping('10.9.6.1', 1, `-I ${innerA}`);
				const larval = lastDrop(b);
				assert.equal(larval.code, 'in.state.larval', larval.note);
			}),
	},
	{
		name: 'plaintext that the guard drops is told by direction, with the daemon alive, dead and new',
		quick: true,
		run: () =>
			withEnds(async ({ a, b, daemonB }) => {
				tunnel(b, false);
				const { a: outerA, b: outerB } = IPV4;
				b.xfrmMust(...`policy add src ${outerA} dst ${outerB} dir in action block`.split(' '));
				const causes = () => {
					const { drops } = JSON.parse(b.xfrmMust('top', '--once', '--json'));
					const rows: readonly Record<string, unknown>[] = drops;
					return rows.map(({ counter, code, packets }) => [counter, code, packets]);
				};
				assert.equal(a.ping(outerB, 3), 0);
				const dropped = (packets: number) =>
					JSON.stringify(causes()) === JSON.stringify(rowsOf(packets));
				const rowsOf = (packets: number) => [['plaintext-in', 'daemon.plaintext', packets]];
				await until('three to be told', () => dropped(3));
				assert.match(b.xfrmMust('top', '--once'), /^ +3 .*plaintext-in .*came in clear/m);
				const told = b.xfrm('explain', '--daemon', '--last-drop');
				assert.equal(told.status, 2);
				assert.match(told.stderr, /guard has dropped 3 packets in clear \(plaintext-in 3\)/);
				assert.match(
					b.xfrm('doctor', '--no-try').stdout,
					/plaintext-in 3 since the guard was set up/,
				);
				assert.equal(b.run('nft -j list ruleset').status, 0);
				daemonB.kill('SIGKILL');
				await daemonB.ended;
				assert.equal(a.ping(outerB, 2), 0);
				await b.daemon();
				await until('five to be told', () => dropped(5));
			}),
	},
	{
		name: 'a device by if_id is known by whatever name; states that differ in their mark are told apart',
		run: async () => {
			const laboratory = new Laboratory();
			try {
				const host = laboratory.host('d');
				await host.daemon('--interface', 'ipsec0=if_id:42');
				const ends = 'src 192.0.2.1 dst 192.0.2.2';
				for (const mark of [1, 2]) {
					host.xfrmMust(
						...`state add ${ends} proto esp spi 0x100 reqid 1 mode tunnel mark ${mark} mask 0xff`.split(
							' ',
						),
						...`if_id 42 aead rfc4106(gcm(aes)) ${KEY} 128`.split(' '),
					);
				}
				const selector = 'src 10.1.0.0/16 dst 10.2.0.0/16';
				const template = `tmpl ${ends} proto esp reqid 1 mode tunnel`;
				host.xfrmMust(
					...`policy add ${selector} dir out if_id 42 mark 2 mask 0xff ${template}`.split(' '),
				);
				host.must('ip link add eth0 type veth peer name eth1');
				host.must('ip addr add 192.0.2.1/24 dev eth0');
				host.must('ip link set eth0 up');
				host.must('ip link set eth1 up');
				const asked = () => {
					const flow = 'src 10.1.0.1 dst 10.2.0.1 proto udp dport 9 mark 2 dir out';
					const { stdout, stderr } = host.xfrm('explain', '--daemon', '--json', '--no-fix', flow);
					const { outcome, steps } = JSON.parse(stdout);
					return { outcome, told: JSON.stringify(steps), stderr };
				};
				for (const name of ['ipsec0', 'vpn']) {
					host.run('ip link set ipsec0 down');
					host.run(`ip link set ipsec0 name ${name}`);
					host.must(`ip link set ${name} up`);
					host.must(`ip route replace 10.2.0.0/16 dev ${name}`);
					await pause(700);
					const { outcome, told, stderr } = asked();
					assert.equal(outcome, 'transform', `${name}: ${told} ${stderr}`);
				}
				assert.doesNotMatch(host.xfrm('doctor', '--no-try').stdout, /no XFRM interface/);
				const { states } = JSON.parse(host.xfrmMust('top', '--once', '--json'));
				const marks: readonly { readonly mark: string }[] = states;
				assert.deepEqual(marks.map(({ mark }) => mark).sort(), ['0x1/0xff', '0x2/0xff']);
			} finally {
				await laboratory.close();
			}
		},
	},
	{
		name: 'a packet that nobody is asked for, that asks itself, or that meets a limit is told so',
		run: () =>
			withEnds(async ({ a, b }) => {
				const { a: outerA, b: outerB, innerA } = IPV4;
				const ends = `src ${outerA} dst ${outerB}`;
				const must = (host: Host, words: string, ...more: readonly string[]) =>
					host.xfrmMust(...words.split(' '), ...more);
				const policy = (host: Host, net: string, direction: string, reqid: number) =>
					must(
						host,
						`policy add src ${innerA} dst ${net} dir ${direction} tmpl ${ends} proto esp reqid ${reqid} mode tunnel`,
					);
				const story = (host: Host, drop: number) => {
					const words = ['explain', '--daemon', '--drop', `${drop}`, '--json'];
					const { stdout, stderr } = host.xfrm(...words);
					const { counter, code, reason, fix } = JSON.parse(stdout);
					return { counter, code, reason, commands: JSON.stringify(fix ?? []), note: stderr };
				};
				policy(a, '10.9.8.0/24', 'out', 8);
				a.ping('10.9.8.1', 1, `-I ${innerA}`);
				const alone = story(a, 1);
				assert.equal(alone.code, 'out.state.missing', alone.note);
				assert.match(alone.reason, /no key manager listens/);
				assert.match(alone.commands, /"xfrm state add /, 'to be pasted, and not for the kernel');

				a.start([process.execPath, XFRM, 'monitor', 'acquire']);
				await a.untilListening(1);
				policy(a, '10.9.9.0/24', 'out', 9);
				a.ping('10.9.9.1', 1, `-I ${innerA}`);
				const asked = story(a, 1);
				assert.equal(asked.code, 'out.acquire', `${asked.reason} ${asked.note}`);

				policy(a, '10.9.7.0/24', 'out', 7);
				policy(b, '10.9.7.0/24', 'fwd', 7);
				const state = `state add ${ends} proto esp spi 0x700 reqid 7 mode tunnel replay-window 32`;
				const aead = ['aead', 'rfc4106(gcm(aes))', KEY, '128'];
				must(a, state, ...aead, 'limit', 'packet-hard', '3');
				must(b, state, ...aead, 'limit', 'packet-hard', '2');
				a.ping('10.9.7.1', 4, `-I ${innerA}`);
				for (const [host, counter, code] of [
					[a, 'XfrmOutStateExpired', 'out.state.expired'],
					[b, 'XfrmInStateExpired', 'in.state.expired'],
				] as const) {
					const told = story(host, 1);
					assert.deepEqual(
						[told.counter, told.code],
						[counter, code],
						`${told.reason} ${told.note}`,
					);
				}
			}),
	},
	{
		name: 'who watches a daemon goes on watching the one that is started in its place',
		run: async () => {
			const laboratory = new Laboratory();
			try {
				const host = laboratory.host('w');
				const first = await host.daemon();
				const watching = [
					['top', '--json', '0.2'],
					['top', '0.2'],
					['stat', '--watch', '0.2'],
				].map((words) => host.start([process.execPath, XFRM, ...words]));
				await until('their first words', () => watching.every(({ stdout }) => stdout !== ''));
				first.kill('SIGKILL');
				await first.ended;
				const complaint = /it has died, or hangs; waiting for it\n$/;
				const complain = () => watching.every(({ stderr }) => complaint.test(stderr));
				await until('complaints', complain, 20_000);
				const said = watching.map(({ stdout }) => stdout.length);
				await host.daemon();
				const [json, text] = watching;
				await until('frames', () => (text?.stdout.length ?? 0) > (said[1] ?? 0), 10_000);
				await until('lines', () => (json?.stdout.length ?? 0) > (said[0] ?? 0), 10_000);
				assert.ok(watching.every(({ hasEnded }) => !hasEnded));
				for (const line of (json?.stdout ?? '').trimEnd().split('\n')) {
					assert.equal(JSON.parse(line).object, 'top');
				}
			} finally {
				await laboratory.close();
			}
		},
	},
	{
		name: 'datagrams of IPv6 that are longer than their path are cut, as Linux cuts what a program here sends',
		run: () =>
			withEnds(async ({ a, b }) => {
				tunnel(a, true, IPV6);
				tunnel(b, false, IPV6);
				const { innerA, innerB } = IPV6;
				assert.equal(a.ping(innerB, 3, `-s 3000 -I ${innerA}`), 3);
				assert.equal(a.ping(innerB, 3, `-s 1300 -I ${innerA}`), 3);
				// One of them is told of the path's MTU, as by a router: ping counts that as an answer.
				assert.ok(a.ping(innerB, 4, `-s 1420 -I ${innerA}`) > 1);
				assert.equal(a.ping(innerB, 3, `-s 1420 -I ${innerA}`), 3);
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
