/** The value of the socket option IP_XFRM_POLICY, from the words of an `ip xfrm policy` command. */
import { attributeValue, MessageWriter, userPolicyInfo, userTemplate } from '@xfrm/netlink';
import { formatHex } from '@xfrm/wire';
import { socketPolicyMessage } from '../golden/socket-policy.ts';

const HEADER_OCTETS = 16;

/** `xfrm_userpolicy_info` and the templates behind it, in hex. */
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
