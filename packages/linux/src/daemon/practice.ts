/**
 * V8 compiles what has run some thousand times, which takes it half a second of a processor, and meanwhile a burst of
 * changes takes four times as long as it might. So the loop practises as long as nobody wants anything of it: it makes
 * and forgets policies in tables of nobody's, by the same requests, and with a guard that no kernel hears of.
 *
 * The tables stay, and something in them: where no object of a class is left, V8 forgets what it has compiled for it.
 */
import type { CryptoProvider } from '@xfrm/crypto/provider';
import { Engine, linux619, type TableWatcher, type XfrmPolicy } from '@xfrm/engine';
import {
	beginMessage,
	MessageFlag,
	policyRequestAttributes,
	policyRequestBody,
	viewOf,
	writeAttributes,
} from '@xfrm/netlink';
import { NetlinkServer } from '@xfrm/netlink-server';
import {
	anySelector,
	Direction,
	Errno,
	Family,
	IpProto,
	Mode,
	type PolicyConfig,
	UNLIMITED,
} from '@xfrm/wire/xfrm';
import { Level, SCM_CREDENTIALS } from '../native/abi.ts';
import type { ReceivedMessage } from '../native/seam.ts';
import type { NftBatch } from '../nftables/nft-batch.ts';
import { sockaddrNl } from '../socket-abi.ts';
import { type ControlNative, ControlSocket } from './control-socket.ts';
import { GuardFilter } from './guard-filter.ts';
import { writePolicy } from './journal-record.ts';
import { TableWatchers } from './table-watchers.ts';

/** Requests of a step: packets wait for it. */
const STEP_REQUESTS = 8;
/** Requests of all. */
const REQUESTS = 4000;
/** Policies of a table, before it is emptied for the next. */
const POLICIES = 64;
/** Between two requests, so that all has its time that waits for one. */
const STEP_US = 10_000;
/** Of nobody's sockets. */
const NO_FD = -1;
const PORT = 1;

const HEADER = { flags: MessageFlag.Request | MessageFlag.Ack, seq: 1, pid: 0 };

function address(last: number): Uint8Array {
	const octets = new Uint8Array(16);
	octets.set([192, 0, 2, last]);
	return octets;
}

/** A tunnel's policy between two hosts of a network for examples. */
function policy(number: number): PolicyConfig {
	const direction = number % 2 === 0 ? Direction.Out : Direction.In;
	return {
		selector: {
			...anySelector(Family.Ipv4),
			saddr: address(number),
			daddr: address(255 - number),
			prefixlenS: 32,
			prefixlenD: 32,
		},
		lifetime: UNLIMITED,
		priority: 0,
		index: 0,
		direction,
		action: 0,
		flags: 0,
		share: 0,
		type: 0,
		templates: [
			{
				id: { daddr: address(254), spi: 0, proto: IpProto.Esp },
				saddr: address(253),
				family: Family.Ipv4,
				reqid: 1,
				mode: Mode.Tunnel,
				share: 0,
				optional: 0,
				aalgos: 0xffff_ffff,
				ealgos: 0xffff_ffff,
				calgos: 0xffff_ffff,
			},
		],
	};
}

function newPolicy(number: number): Uint8Array {
	const config = policy(number);
	const writer = beginMessage('newpolicy', policyRequestBody(config), HEADER);
	writeAttributes(writer, policyRequestAttributes(config));
	return writer.finish();
}

/** A socket on which we ask ourselves: there is a request when one is due. */
class OwnSocket implements ControlNative {
	readonly #requests: readonly Uint8Array[];
	readonly #name: Uint8Array = sockaddrNl(PORT);
	readonly #control: Uint8Array = new Uint8Array(32);
	#due: number = 0;
	#taken: number = 0;

	constructor(requests: readonly Uint8Array[]) {
		this.#requests = requests;
		const view = viewOf(this.#control);
		view.setUint32(0, 28, true);
		view.setInt32(8, Level.Socket, true);
		view.setInt32(12, SCM_CREDENTIALS, true);
		view.setInt32(16, process.pid, true);
		view.setUint32(20, process.getuid?.() ?? 0, true);
	}

	ask(): void {
		this.#due++;
	}

	setOption(): number {
		return 0;
	}
	getOption(): number {
		return -Errno.ENOSYS;
	}
	close(): number {
		return 0;
	}
	pidfdOpen(): number {
		return -Errno.ENOSYS;
	}
	pidfdGetfd(): number {
		return -Errno.ENOSYS;
	}
	send(_fd: number, bytes: Uint8Array): number {
		return bytes.length;
	}

	receive(_fd: number, bytes: Uint8Array, message: ReceivedMessage): number {
		const request = this.#requests[this.#taken % this.#requests.length];
		if (this.#taken === this.#due || request === undefined) {
			return -Errno.EAGAIN;
		}
		this.#taken++;
		bytes.set(request);
		message.name.set(this.#name);
		message.control.set(this.#control);
		message.controlOctets = this.#control.length;
		return request.length;
	}
}

/** A filter that no kernel has. */
class OwnFilter {
	commit(batch: NftBatch): number {
		batch.finish();
		return 0;
	}
}

/** The lines of a journal that nobody reads. */
class OwnJournal implements TableWatcher {
	readonly #bytes: Buffer = Buffer.alloc(0x1000);
	#number: number = 0;

	stateChanged(): void {}
	stateGone(): void {}
	policyChanged(changed: XfrmPolicy): void {
		this.#bytes.write(writePolicy(changed, this.#number++));
	}
	policyGone(): void {}
}

export class Practice {
	readonly #engine: Engine;
	readonly #socket: OwnSocket;
	readonly #control: ControlSocket;
	readonly #filter: GuardFilter;
	#nowUs: number;
	#asked: number = 0;

	constructor(crypto: CryptoProvider, nowUs: number) {
		this.#nowUs = nowUs;
		this.#engine = new Engine({
			profile: linux619,
			provider: crypto,
			random: (octets) => octets,
			route: () => undefined,
		});
		this.#filter = new GuardFilter(this.#engine, new OwnFilter(), true, () => 0);
		this.#engine.net.watcher = new TableWatchers([new OwnJournal(), this.#filter]);
		const requests = Array.from({ length: POLICIES }, (_, number) => newPolicy(number));
		const flush = beginMessage('flushpolicy', {}, HEADER).finish();
		this.#socket = new OwnSocket([flush, ...requests]);
		this.#control = new ControlSocket(
			this.#socket,
			NO_FD,
			new NetlinkServer(this.#engine),
			() => [],
		);
	}

	/** In its tables. */
	get policyCount(): number {
		const { counts } = this.#engine.net.spd;
		return (counts[Direction.In] ?? 0) + (counts[Direction.Out] ?? 0);
	}

	/** Is there no more to learn? */
	get isOver(): boolean {
		return this.#asked >= REQUESTS;
	}

	/** Carries out some requests. */
	step(): void {
		for (let i = 0; i < STEP_REQUESTS; i++) {
			this.#nowUs += STEP_US;
			this.#asked++;
			this.#socket.ask();
			this.#control.takeRequests(this.#nowUs);
			this.#filter.update(this.#nowUs);
			this.#control.flush();
			this.#control.publish();
		}
	}
}
