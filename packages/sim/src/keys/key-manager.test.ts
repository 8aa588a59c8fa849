import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeProvider } from '@xfrm/crypto/node';
import { linux619, StateCondition } from '@xfrm/engine';
import { Agenda } from '../agenda.ts';
import { Ledger } from '../ledger.ts';
import { Link } from '../links/link.ts';
import { Machine } from '../machine.ts';
import { SimRandom } from '../random.ts';
import { device, ordinary, outPolicy, seconds } from '../scenarios/scenario.ts';
import type { Connection, Mail } from './connection.ts';

const START_US = 1_764_000_000_000_000;
const SECOND_US = 1_000_000;
const A = '192.0.2.1';
const B = '192.0.2.2';

interface Two {
	readonly a: Machine;
	readonly b: Machine;
	/** Mail that was sent, by kind. */
	readonly mail: string[];
	/** Lets time pass. */
	wait(us: number): void;
	/** Valid states of both, by destination. */
	valid(): number[];
}

/** Two hosts with a tunnel between them; `lose` says which mail is lost. */
function two(settings: Partial<Connection> = {}, lose: (mail: Mail) => boolean = () => false): Two {
	const agenda = new Agenda(START_US);
	const ledger = new Ledger();
	const mail: string[] = [];
	const machines = new Map<string, Machine>();
	const link = new Link('wire', agenda, { clear: true, nodes: [] });
	const make = (name: string, local: string, remote: string, end: number): Machine => {
		const [own, other] = end === 0 ? [1, 2] : [2, 1];
		const ends = { localNet: `10.${own}.0.0/16`, remoteNet: `10.${other}.0.0/16`, reqid: 1 };
		const peer = name === 'a' ? 'b' : 'a';
		const setup = [
			...device('wan', `${local}/24`),
			`address add 10.${own}.0.1/32 dev wan`,
			`route add ${ends.remoteNet} via ${remote} src 10.${own}.0.1`,
			outPolicy({ local, remote, ...ends }),
		];
		const connection = { ...ordinary, ...settings, name: 'c', reqid: 1, peer, local, remote };
		const machine = new Machine(
			name,
			{ setup, connections: [connection] },
			{
				random: new SimRandom(1),
				profile: linux619,
				provider: nodeProvider(),
				ledger,
				nowUs: () => agenda.nowUs,
				failsSeal: () => false,
				around: {
					post: (to, letter) => {
						mail.push(letter.kind);
						if (!lose(letter)) {
							agenda.after(20_000, () =>
								machines.get(to)?.keyManager?.receive({ from: name, port: 0, mail: letter }),
							);
						}
					},
					after: (us, action) => agenda.after(us, action),
				},
			},
		);
		machine.plug('wan', link, end);
		machines.set(name, machine);
		return machine;
	};
	const a = make('a', A, B, 0);
	const b = make('b', B, A, 1);
	const settle = (): void => {
		for (const machine of [a, b]) {
			machine.keyManager?.hear(machine.observe().events);
		}
	};
	return {
		a,
		b,
		mail,
		wait: (us) => {
			const endUs = agenda.nowUs + us;
			settle();
			while (agenda.nowUs < endUs) {
				const action = agenda.take(Math.min(endUs, agenda.nowUs + 100_000));
				if (action === undefined) {
					agenda.nowUs = Math.min(endUs, agenda.nowUs + 100_000);
					a.handleTimeout();
					b.handleTimeout();
				} else {
					action();
				}
				settle();
			}
		},
		valid: () =>
			[a, b].map(
				({ engine }) =>
					[...engine.states()].filter(({ condition }) => condition === StateCondition.Valid).length,
			),
	};
}

function ask(world: Two): void {
	world.a.sendDatagram('10.2.0.1', 7, new Uint8Array(20));
	world.wait(SECOND_US);
}

test('an acquire is answered: each end has a state for each direction, and no larval one', () => {
	const world = two();
	ask(world);
	assert.deepEqual(world.mail, ['request', 'response']);
	assert.deepEqual(world.valid(), [2, 2]);
	assert.deepEqual([world.a.engine.net.sad.count, world.b.engine.net.sad.count], [2, 2]);
});

test('a request without an answer is sent again, and answered as before', () => {
	let losses = 0;
	const world = two({}, ({ kind }) => kind === 'response' && losses++ < 2);
	ask(world);
	assert.deepEqual(world.valid(), [0, 2]);
	world.wait(6 * SECOND_US);
	assert.deepEqual(world.valid(), [2, 2]);
});

test('who gets no answer at all gives up and tells so', () => {
	const world = two({}, ({ kind }) => kind === 'response');
	ask(world);
	world.wait(40 * SECOND_US);
	assert.deepEqual(world.valid(), [0, 0]);
	assert.ok(world.mail.includes('delete'));
});

test('a soft limit brings a new pair, and the old one goes', () => {
	const world = two({ lifetime: seconds(5, 60) });
	ask(world);
	const [before] = [...world.a.engine.states()].map(({ spi }) => spi);
	world.wait(9 * SECOND_US);
	assert.deepEqual(world.valid(), [2, 2]);
	assert.ok(![...world.a.engine.states()].some(({ spi }) => spi === before));
});

test('when both ends replace a pair at once, one pair is left', () => {
	const world = two();
	ask(world);
	world.a.keyManager?.rekeyAll();
	world.b.keyManager?.rekeyAll();
	world.wait(SECOND_US);
	assert.deepEqual(world.valid(), [6, 6]);
	world.wait(8 * SECOND_US);
	assert.deepEqual(world.valid(), [2, 2]);
});

test('who was dead starts anew, and the peer forgets its states', () => {
	const world = two();
	ask(world);
	world.b.keyManager?.setMood('dead');
	world.wait(SECOND_US);
	assert.deepEqual(world.valid(), [2, 2]);
	world.b.keyManager?.setMood('well');
	world.wait(SECOND_US);
	assert.deepEqual(world.valid(), [0, 0]);
	ask(world);
	assert.deepEqual(world.valid(), [2, 2]);
});

test('a crash loses everything but the commands', () => {
	const world = two();
	ask(world);
	world.a.crash();
	world.wait(SECOND_US);
	assert.deepEqual(world.valid(), [0, 0]);
	assert.equal([...world.a.engine.policies()].length, 1);
	ask(world);
	assert.deepEqual(world.valid(), [2, 2]);
});
