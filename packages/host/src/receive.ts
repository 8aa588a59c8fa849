import type { Arrival } from './host.ts';
import type { Stack } from './stack.ts';
export function receiveFromDevice(
	_stack: Stack,
	_device: string,
	_packet: Uint8Array,
	_arrival: Arrival,
): void {}
