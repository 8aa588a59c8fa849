/**
 * The requests of a key manager as NETLINK_XFRM bytes, and what their answers say. Nothing but bytes goes
 * either way, so that a kernel's socket could stand in for the engine.
 */
import {
	completeState,
	decodeMessage,
	encodeMessage,
	type KernelState,
	kernelStateOf,
	MessageFlag,
	parseAck,
	type StateInput,
	splitMessages,
	stateRequestAttributes,
	stateRequestBody,
} from '@xfrm/netlink';
import { IpProto, type StateId } from '@xfrm/wire/xfrm';

/** Sends a datagram and gives the datagrams that come back. */
export type SendRequest = (datagram: Uint8Array) => readonly Uint8Array[];

/** How a request ended. */
export interface Answer {
	/** 0, or what it was refused with. */
	readonly errno: number;
	/** The state that an ALLOCSPI answers. */
	readonly state?: KernelState;
}

const HEADER = { flags: MessageFlag.Request | MessageFlag.Ack, seq: 1, pid: 0 };

function ask(send: SendRequest, datagram: Uint8Array): Answer {
	let answer: Answer = { errno: 0 };
	for (const message of send(datagram).flatMap(splitMessages)) {
		const ack = parseAck(message);
		const decoded = decodeMessage(message);
		if (ack !== undefined) {
			answer = { ...answer, errno: ack.errno };
		} else if (decoded?.name === 'newsa') {
			answer = { ...answer, state: kernelStateOf(decoded.body, decoded.attributes) };
		}
	}
	return answer;
}

/** NEWSA or UPDSA. */
export function putState(send: SendRequest, name: 'newsa' | 'updsa', input: StateInput): Answer {
	const config = completeState(input);
	const body = stateRequestBody(config);
	const attributes = stateRequestAttributes(config);
	return ask(send, encodeMessage({ name, body, attributes, ...HEADER }));
}

/** ALLOCSPI of the whole range that key daemons use; IPComp's has 16 bits, of which 256 to 61439 are free. */
export function allocSpi(send: SendRequest, input: StateInput): Answer {
	const config = completeState(input);
	const info = stateRequestBody(config);
	const [min, max] = input.id.proto === IpProto.Comp ? [0x100, 0xefff] : [0xc000_0000, 0xcfff_ffff];
	const body = { info, min, max };
	const attributes = stateRequestAttributes(config).filter(({ name }) => name === 'ifId');
	return ask(send, encodeMessage({ name: 'allocspi', body, attributes, ...HEADER }));
}

export function deleteState(send: SendRequest, id: StateId, family: number): Answer {
	const { daddr, spi, proto } = id;
	const body = { daddr, spi, family, proto };
	return ask(send, encodeMessage({ name: 'delsa', body, attributes: [], ...HEADER }));
}

/** Deletes all ESP, AH and IPComp states. */
export function flushStates(send: SendRequest): Answer {
	return ask(
		send,
		encodeMessage({ name: 'flushsa', body: { proto: 255 }, attributes: [], ...HEADER }),
	);
}

/** Octets that look like a request and are not quite one. */
export function sendDamaged(send: SendRequest, input: StateInput, cut: number): Answer {
	const config = completeState(input);
	const whole = encodeMessage({
		name: 'newsa',
		body: stateRequestBody(config),
		attributes: stateRequestAttributes(config),
		...HEADER,
	});
	return ask(send, whole.slice(0, Math.max(0, whole.length - cut)));
}
