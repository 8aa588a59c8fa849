/** Policies of sockets, which cases tell as `ip xfrm policy add` commands. */
import type { World } from '@xfrm/explain';
import { parseCommand } from '@xfrm/iproute/commands';
import {
	attributeValue,
	decodeMessage,
	MessageWriter,
	policyConfigOf,
	splitMessages,
	userPolicyInfo,
	userTemplate,
	type XfrmMessage,
} from '@xfrm/netlink';
import { formatHex } from '@xfrm/wire';
import { errnoName } from '@xfrm/wire/xfrm';

const HEADER_OCTETS = 16;

/** Numbers of the devices that every case has. */
const DEVICES: ReadonlyMap<string, number> = new Map([
	['lo', 1],
	['lan', 2],
	['wan', 3],
]);
const context = { interfaceIndex: (name: string): number | undefined => DEVICES.get(name) };

/** The request that the command would send. */
export function socketPolicyMessage(command: string): XfrmMessage & { name: 'newpolicy' } {
	const [datagram] = parseCommand(command, context).command?.requests ?? [];
	const [raw] = datagram === undefined ? [] : splitMessages(datagram);
	const message = raw === undefined ? undefined : decodeMessage(raw);
	if (message?.name !== 'newpolicy') {
		throw new RangeError(`no policy: ${command}`);
	}
	return message;
}

/** Sets a socket's policy; the errno's name when it is refused, else empty. */
export function setSocketPolicy(world: World, socketId: number, command: string): string {
	const { body, attributes } = socketPolicyMessage(command);
	const config = policyConfigOf(body, {
		get: (name) => attributeValue(attributes, name),
	});
	const refusal = world.host.setSocketPolicy(socketId, body.direction, config, world.nowUs);
	return refusal === undefined ? '' : errnoName(refusal.errno);
}

/** The value of the option IP_XFRM_POLICY: `xfrm_userpolicy_info` and the templates behind it, in hex. */
export function socketPolicyOption(command: string): string {
	const { body, attributes } = socketPolicyMessage(command);
	const writer = new MessageWriter({ type: 0, flags: 0, seq: 0, pid: 0 });
	const at = writer.append(userPolicyInfo.octets);
	userPolicyInfo.write(writer.view, at, body);
	for (const template of attributeValue(attributes, 'tmpl') ?? []) {
		const templateAt = writer.append(userTemplate.octets);
		userTemplate.write(writer.view, templateAt, template);
	}
	return formatHex(writer.finish().subarray(HEADER_OCTETS));
}
