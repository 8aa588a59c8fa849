/**
 * The TCP connection of a case: the peer's octets and those of our own program go in, and what the peer and
 * our program have read is compared. The segments themselves are not shown in the files.
 */
import type { Observed } from '@xfrm/explain';
import type { Host } from '@xfrm/host';
import { formatHex } from '@xfrm/wire';
import { errnoName, parseAddress } from '@xfrm/wire/xfrm';
import { type Difference, differs } from './difference.ts';
import type { Expectation, TcpConnection } from './vector-case.ts';

/** Opens the connection of a case in the host, established: its number. */
export function openConnection(host: Host, tcp: TcpConnection): number {
	const [ours, peers] = tcp.addr.map((text) => parseAddress(text));
	const [localPort, remotePort] = tcp.port;
	if (ours === undefined || peers === undefined) {
		throw new RangeError(`no addresses: ${tcp.addr.join(' ')}`);
	}
	const opened = host.openStream({
		family: ours.family,
		local: ours.address,
		localPort,
		remote: peers.address,
		remotePort,
		espInTcp: tcp.ulp !== false,
	});
	if (opened.value === undefined) {
		throw new RangeError('no connection');
	}
	return opened.value;
}

/** What the peer read, in all, and the messages and errors that our program read. */
export function compareConnection(
	expect: Expectation,
	observed: Observed,
	name: string,
): Difference | undefined {
	const written: string[] = [];
	const read: string[] = [];
	for (const effect of observed.effects) {
		if (effect.kind === 'stream-write') {
			written.push(formatHex(effect.octets));
		} else if (effect.kind === 'stream-message') {
			read.push(formatHex(effect.message));
		} else if (effect.kind === 'stream-error') {
			read.push(formatHex(new TextEncoder().encode(errnoName(effect.error))));
		}
	}
	return (
		differs(`${name} tcp`, expect.tcp ?? '', written.join('')) ??
		differs(`${name} ike`, expect.ike ?? [], read)
	);
}
