/** A packet that the daemon has dropped, for `xfrm explain --daemon --last-drop` and `--drop`. */
import {
	type Answer,
	markText,
	modeName,
	REASON_PAGES,
	reasonTitle,
	stateProtoName,
} from '@xfrm/explain';
import type { DaemonNumbers, DropRow, ToldDrop } from '@xfrm/linux';
import { attributeValue, TransportError } from '@xfrm/netlink';
import { Family, formatAddress } from '@xfrm/wire/xfrm';
import type { ExplainArguments, Item } from './explain-arguments.ts';
import type { RulesText } from './explain-input.ts';
import { snapshotJson } from './kernel-tables.ts';
import { hostText } from './running-rules.ts';
import { utcOffsetSeconds } from './time-zone.ts';
import { UsageError } from './usage.ts';

/** Something to explain. */
export interface DroppedPacket {
	/** Tables as they were. */
	readonly rules: RulesText;
	readonly host: string | undefined;
	/** A key manager listened. */
	readonly heard: boolean;
	/** The answer of what the daemon itself has dropped, undefined where the rules did. */
	readonly overrule: ((answer: Answer) => Answer) | undefined;
	readonly item: Item;
	readonly answer?: undefined;
	/** Where and when, for people. */
	readonly notes: readonly string[];
}

/** What only the daemon drops: no rule says it. */
export interface OwnVerdict {
	readonly counter: string;
	/** One of docs/reasons.md. */
	readonly code: string;
}

/** The answer of the rules, which let it go, overruled. */
export function overruled(answer: Answer, { counter, code }: OwnVerdict): Answer {
	const end = answer.steps.findLastIndex(({ step }) => step === 'EMIT');
	const way = end < 0 ? answer.steps : answer.steps.slice(0, end);
	const todo = REASON_PAGES[code]?.todo ?? '';
	return {
		...answer,
		outcome: 'drop',
		counter,
		code,
		reason: `${reasonTitle(code)} ${todo} The rules alone would have let it go.`,
		packets: [],
		steps: [...way, { step: 'DROP', which: counter, text: reasonTitle(code) }],
	};
}

/** Only what was left of it is kept: what the daemon has counted is the answer. */
export interface LostPacket {
	readonly answer: Answer;
	readonly notes: readonly string[];
}

/**
 * The packet that was dropped last, or before that.
 *
 * @param which 0 is the newest
 * @throws UsageError when there is none
 */
export async function readDrop(
	which: number,
	asked: Pick<ExplainArguments, 'hosts' | 'locals'>,
): Promise<DroppedPacket | LostPacket> {
	const { told, numbers } = await ask(which);
	const guard = guardNote(numbers.drops);
	if (told === undefined) {
		const { length } = numbers.samples;
		const lack =
			length === 0
				? 'the daemon has dropped no packet'
				: `the daemon has kept fewer than ${which + 1} dropped packets: ${length}`;
		throw new UsageError(guard === undefined ? lack : `${lack}; ${guard}`);
	}
	const when = new Date(told.head.time * 1000).toISOString();
	const more = guard === undefined ? [] : [guard];
	if (!told.head.whole) {
		const note = `dropped at ${when}, ${told.head.counter}`;
		return { answer: answerOf(told, numbers.drops), notes: [note, ...more] };
	}
	const whole = await wholePacket(told, asked, when, numbers);
	return { ...whole, notes: [...whole.notes, ...more] };
}

async function ask(
	which: number,
): Promise<{ readonly told: ToldDrop | undefined; readonly numbers: DaemonNumbers }> {
	const { DaemonObserver } = await import('@xfrm/linux');
	try {
		const observer = new DaemonObserver();
		try {
			return { told: await observer.drop(which), numbers: await observer.numbers() };
		} finally {
			observer.close();
		}
	} catch (error) {
		if (error instanceof TransportError) {
			throw new UsageError(`--daemon: ${error.message}`);
		}
		throw error;
	}
}

/** What the guard drops never comes to the daemon, and so it is kept nowhere. */
export function guardNote(drops: readonly DropRow[]): string | undefined {
	const rows = drops.filter(({ counter }) => counter.startsWith('plaintext-'));
	if (rows.length === 0) {
		return undefined;
	}
	const packets = rows.reduce((sum, row) => sum + row.packets, 0);
	const counters = rows.map((row) => `${row.counter} ${row.packets}`).join(', ');
	const came = rows.some(({ counter }) => counter !== 'plaintext-out');
	const next = came
		? 'capture one, and ask xfrm explain --daemon --dev DEVICE @capture.pcap'
		: 'look for NAT and marks that come behind the lookup (docs/beside-the-daemon.md)';
	return `the guard has dropped ${packets} packets in clear (${counters}), of which none is kept: ${next}`;
}

/** What is known of a packet by its counter and the states that it met. */
export function answerOf({ head, states }: ToldDrop, drops: readonly DropRow[]): Answer {
	const causes = drops.filter(({ counter }) => counter === head.counter);
	const codes = [...new Set(causes.map(({ code }) => code))];
	const told = codes.map(reasonTitle);
	return {
		schema: 1,
		direction: head.way === 'inward' ? 'in' : 'out',
		outcome: 'drop',
		counter: head.counter,
		counters: {},
		code: codes[0] ?? '',
		reason: told.length > 1 ? `One of ${told.length} causes: ${told.join(' ')}` : (told[0] ?? ''),
		policies: [],
		states: states
			.filter(({ body }) => head.via.includes(body.id.spi))
			.map(({ body }) => {
				const family = body.family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
				return {
					proto: stateProtoName(body.id.proto),
					spi: `0x${body.id.spi.toString(16).padStart(8, '0')}`,
					src: formatAddress(body.saddr, family),
					dst: formatAddress(body.id.daddr, family),
					mode: modeName(body.mode),
					reqid: body.reqid,
				};
			}),
		packets: [],
		events: [],
		steps: [],
		assumed: [
			'the packet came in a crowd and is not kept as it came, so that only its counter tells; the next one will be whole',
		],
	};
}

async function wholePacket(
	told: ToldDrop,
	asked: Pick<ExplainArguments, 'hosts' | 'locals'>,
	when: string,
	{ devices }: DaemonNumbers,
): Promise<DroppedPacket> {
	const { interfaceName } = await import('@xfrm/linux');
	const { head } = told;
	const { counter, code } = head;
	const device = head.ifindex === 0 ? undefined : interfaceName(head.ifindex);
	const why = code === null ? '' : `: ${reasonTitle(code).replace(/\.$/, '')}`;
	return {
		rules: { file: '(daemon)', text: tablesOf(told, interfaceName), host: undefined },
		host: asked.hosts.length > 0 || asked.locals.length > 0 ? undefined : hostText(devices),
		heard: head.heard,
		overrule: code === null ? undefined : (answer) => overruled(answer, { counter, code }),
		item: {
			text: head.packet,
			options: {
				mark: head.mark,
				...(head.if_id === 0 ? {} : { ifId: head.if_id }),
				...(head.way === 'inward' ? { direction: 'in' as const } : {}),
				...(device === undefined || head.way !== 'inward' ? {} : { device }),
			},
			time: { seconds: head.time, relative: false },
		},
		notes: [`dropped at ${when}, ${counter}${why}; rules as they were then`],
	};
}

function tablesOf(told: ToldDrop, interfaceName: (ifindex: number) => string | undefined): string {
	const { head, states, policies } = told;
	const wiped = new Set(head.wiped);
	const [ins, outs, forwards] = head.defaults;
	const tables = {
		states,
		policies,
		defaults: { in: ins, out: outs, fwd: forwards },
		thresholds: { threshold4: { lbits: 32, rbits: 32 }, threshold6: { lbits: 128, rbits: 128 } },
	};
	const json = snapshotJson(tables, {
		time: Math.floor(head.time),
		context: { interfaceName, utcOffsetSeconds },
		isWiped: ({ body, attributes }) => {
			const mark = attributeValue(attributes, 'mark');
			const suffix = mark === undefined ? '' : ` mark ${markText(mark.v, mark.m)}`;
			const family = body.family === Family.Ipv4 ? Family.Ipv4 : Family.Ipv6;
			const { proto, spi, daddr } = body.id;
			return wiped.has(`${proto} ${spi} ${formatAddress(daddr, family)}${suffix}`);
		},
	});
	return JSON.stringify(json);
}
