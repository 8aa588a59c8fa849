import type { Address } from '@xfrm/wire/xfrm';
import type { Datagram } from './host.ts';
import type { Stack } from './stack.ts';
export function sendRaw(
	_stack: Stack,
	_socketId: number,
	_octets: Uint8Array,
	_destination: Address | undefined,
): number {
	return 0;
}
export function sendUdp(_stack: Stack, _socketId: number, _datagram: Datagram): number {
	return 0;
}
