/**
 * Tables of nobody's, with all that goes with a change of the daemon's own: a socket on which there is a request when
 * one is due, a journal that goes nowhere, and a guard whose changes no kernel hears of. What it is made of is what
 * the daemon is made of, as V8 compiles for the classes that it has seen.
 */
import type { CryptoProvider } from '@xfrm/crypto/provider';
import { Engine, linux619 } from '@xfrm/engine';
import { viewOf } from '@xfrm/netlink';
import { NetlinkServer } from '@xfrm/netlink-server';
import { Errno } from '@xfrm/wire/xfrm';
import { Level, SCM_CREDENTIALS } from '../native/abi.ts';
import type { Native, ReceivedMessage } from '../native/seam.ts';
import { NftSocket } from '../nftables/nft-socket.ts';
import { sockaddrNl } from '../socket-abi.ts';
import { type ControlNative, ControlSocket } from './control-socket.ts';
import { EncapStates } from './encap-states.ts';
import { GuardFilter } from './guard-filter.ts';
import { InterfaceList } from './interface-list.ts';
import { Journal } from './journal.ts';
import { JournalFile, NOWHERE } from './journal-file.ts';
import { tableRequests } from './practice-requests.ts';
import type { SequenceLedger } from './sequence-ledger.ts';
import { TableWatchers } from './table-watchers.ts';

/** Of nobody's sockets. */
const NO_FD = -1;
/** As the kernel gives them to a program's second socket. */
const PORT = 0xf000_0002;

/** A socket on which we ask ourselves. */
class OwnSocket implements ControlNative {
	readonly #requests: readonly Uint8Array[] = tableRequests();
	readonly #name: Uint8Array = sockaddrNl(PORT);
	readonly #control: Uint8Array = new Uint8Array(32);
	#due: number = 0;
	#taken: number = 0;

	constructor() {
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

/** What tables of nobody's borrow of the daemon. */
export interface PracticeOptions {
	readonly native: Native;
	readonly crypto: CryptoProvider;
	/** Of states, of which there are none here. */
	readonly ledger: SequenceLedger;
	/** The guard's: a lane of packets without a mark it has at any time. */
	readonly laneOf: (mark: number) => number;
}

export class PracticeTables {
	readonly #engine: Engine;
	readonly #socket: OwnSocket = new OwnSocket();
	readonly #control: ControlSocket;
	readonly #file: JournalFile = new JournalFile(NOWHERE);
	readonly #journal: Journal;
	readonly #agreeable: NftSocket;
	readonly #filter: GuardFilter;
	readonly #interfaces: InterfaceList;
	readonly #encapStates: EncapStates = new EncapStates(() => undefined);

	/** @throws StartError without /dev/null, RangeError without netlink */
	constructor({ native, crypto, ledger, laneOf }: PracticeOptions, nowUs: number) {
		this.#agreeable = new NftSocket(native, 'itself');
		this.#engine = new Engine({
			profile: linux619,
			provider: crypto,
			random: (octets) => octets,
			route: () => undefined,
		});
		const server = new NetlinkServer(this.#engine);
		this.#control = new ControlSocket(this.#socket, NO_FD, server, () => []);
		this.#journal = new Journal(this.#file, ledger, this.#engine);
		this.#journal.begin(server, nowUs);
		this.#filter = new GuardFilter(this.#engine, this.#agreeable, true, laneOf);
		this.#interfaces = new InterfaceList({
			native,
			folder: '',
			names: new Map(),
			opened: () => {},
			renamed: () => {},
			removed: () => {},
			failed: () => {},
		});
		this.#engine.net.watcher = new TableWatchers([
			this.#journal,
			this.#filter,
			this.#interfaces,
			this.#encapStates,
		]);
	}

	/** In them. */
	get policyCount(): number {
		return [...this.#engine.policies()].length;
	}

	/** Carries out the next request, as the daemon would. @throws Error of the file system */
	change(nowUs: number): void {
		this.#socket.ask();
		this.#control.takeRequests(nowUs);
		this.#journal.flush();
		this.#encapStates.takeNewEnds();
		this.#filter.update(nowUs);
		this.#interfaces.update();
		this.#control.publish();
		this.#control.flush();
	}

	/** They stay as they are. */
	close(): void {
		this.#file.close();
		this.#agreeable.close();
	}
}
