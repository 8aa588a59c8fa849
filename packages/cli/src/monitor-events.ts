/** `xfrm monitor`: events as they come from a kernel, or from a file of netlink messages. */
import { readFileSync } from 'node:fs';
import { type Command, type CommandContext, formatEvent, type Plan } from '@xfrm/iproute/commands';
import { type NetlinkSocket, splitMessages } from '@xfrm/netlink';
import { Errno, Group } from '@xfrm/wire/xfrm';

const FILE_FAILED = 255;

/** Groups by their bits in a plan: `1 << (group - 1)`. */
const GROUPS: readonly number[] = Object.values(Group);

/** Prints events until the process is ended, or those of a file; the exit status. */
export async function watchEvents(
	command: Command,
	plan: Extract<Plan, { readonly kind: 'monitor' }>,
	open: () => NetlinkSocket,
	context: CommandContext,
): Promise<number> {
	const print = (datagram: Uint8Array, nowUs: number): void => {
		for (const raw of splitMessages(datagram)) {
			process.stdout.write(formatEvent(raw, command, nowUs, context));
		}
	};
	if (plan.file !== undefined) {
		return replay(plan.file, print);
	}
	const socket = open();
	socket.join(GROUPS.filter((group) => (plan.groups & (1 << (group - 1))) !== 0));
	for (;;) {
		const { datagrams, overrun } = await socket.receive();
		if (overrun) {
			const text = `netlink receive error No buffer space available (${Errno.ENOBUFS})\n`;
			process.stderr.write(text);
		}
		// Date has milliseconds only: they are what there is.
		const nowUs = Date.now() * 1000;
		for (const datagram of datagrams) {
			print(datagram, nowUs);
		}
	}
}

/** Events of a file, one message behind the other. */
function replay(file: string, print: (datagram: Uint8Array, nowUs: number) => void): number {
	let bytes: Uint8Array;
	try {
		bytes = readFileSync(file);
	} catch {
		process.stderr.write('Cannot fopen: No such file or directory\n');
		return FILE_FAILED;
	}
	print(bytes, Date.now() * 1000);
	return 0;
}
