/**
 * `ip link`, as a value; with `type xfrm|vti|vti6` what the device is made of, and what `ip` itself would
 * say against it before any kernel is asked.
 */
import type { DeviceSettings, VirtualLinkConfig, VtiLinkConfig, XfrmLinkConfig } from '@xfrm/host';
import type { Draft, Reader } from './host-line.ts';

/** `ip link set|change|add|del`, and the first line of `ip addr` or `ip link` output. */
export interface LinkCommand {
	readonly object: 'link';
	readonly verb: 'set' | 'add' | 'del';
	readonly device: string;
	readonly type?: string;
	readonly settings: DeviceSettings;
	/** An XFRM interface or VTI device to make or to change. */
	readonly virtual?: VirtualLinkConfig;
	/** The line describes a device that is there, rather than making one. */
	readonly describes?: boolean;
	/** What `ip` prints instead of carrying it out. */
	readonly refusal?: string;
}

type LinkDraft = Draft<Omit<LinkCommand, 'settings'>> & { settings: Draft<DeviceSettings> };

/** @throws InputError for a line that cannot be read */
export function parseLink(reader: Reader, verb: string): LinkCommand {
	const link: LinkDraft = {
		object: 'link',
		verb: verb === 'delete' ? 'del' : verb === 'add' ? 'add' : 'set',
		device: '',
		settings: {},
	};
	while (reader.peek() !== undefined) {
		linkWord(reader, link);
	}
	if (link.device === '') {
		reader.next('a device');
	}
	return link;
}

const LINK_VALUES =
	/^(local|remote|ikey|okey|key|master|address|qlen|txqueuelen|vrf|peer|if_id|link)$/;

function linkWord(reader: Reader, link: LinkDraft): void {
	const word = reader.next('a word');
	switch (word) {
		case 'dev':
		case 'name': {
			const name = reader.next('a device');
			link.device = link.device === '' ? name : link.device;
			return;
		}
		case 'up':
		case 'down':
			link.settings.up = word === 'up';
			return;
		case 'mtu':
			link.settings.mtu = reader.number('an MTU');
			return;
		case 'type':
			linkType(reader, link, reader.next('a type'));
			return;
		default:
			if (link.device === '') {
				link.device = word;
			} else if (LINK_VALUES.test(word)) {
				reader.next('a value');
			}
	}
}

/** What follows `type`: words behind those of XFRM interface and VTI belong to the type. */
function linkType(reader: Reader, link: LinkDraft, type: string): void {
	link.type = type;
	if (link.verb === 'del') {
		return;
	}
	if (type === 'xfrm') {
		xfrmWords(reader, link);
	} else if (type === 'vti' || type === 'vti6') {
		link.virtual = vtiWords(reader, type);
	}
}

/**
 * `[dev LINK] if_id N | external`, with the refusals of `ip` itself.
 *
 * @spec X-1
 */
function xfrmWords(reader: Reader, link: LinkDraft): void {
	const config: Draft<XfrmLinkConfig> = { type: 'xfrm' };
	while (reader.peek() !== undefined) {
		const word = reader.next('a word');
		if (word === 'dev') {
			config.link = reader.next('a device');
		} else if (word === 'external') {
			config.external = true;
		} else if (word === 'if_id') {
			const text = reader.next('an if_id');
			const value = /^(0[xX][0-9a-fA-F]+|[0-9]+)$/.test(text) ? Number(text) : 0;
			if (value === 0 || value > 0xffffffff) {
				link.refusal ??= `Error: argument "${text}" is wrong: if_id value is invalid`;
			}
			config.ifId = value;
		} else {
			throw reader.refuse('dev LINK, if_id N or external');
		}
	}
	const { ifId, link: lower, external } = config;
	if (external === true && (ifId !== undefined || lower !== undefined)) {
		link.refusal ??= "xfrmi: both 'external' and if_id/link cannot be specified";
	} else if (lower !== undefined && ifId === undefined) {
		link.refusal ??= 'Error: argument "IF_ID" is required';
	}
	link.virtual = config;
}

/** `[local A] [remote A] [ikey K] [okey K] [key K] [dev LINK]`. */
function vtiWords(reader: Reader, type: VtiLinkConfig['type']): VtiLinkConfig {
	const config: Draft<VtiLinkConfig> = { type };
	while (reader.peek() !== undefined) {
		const word = reader.next('a word');
		switch (word) {
			case 'local':
			case 'remote': {
				const end = reader.take('any') ? undefined : reader.address('an address');
				if (end !== undefined) {
					config[word] = end.address;
				}
				break;
			}
			case 'ikey':
				config.inKey = parseKey(reader);
				break;
			case 'okey':
				config.outKey = parseKey(reader);
				break;
			case 'key':
				config.inKey = parseKey(reader);
				config.outKey = config.inKey;
				break;
			case 'dev':
				config.link = reader.next('a device');
				break;
			default:
				throw reader.refuse('local, remote, ikey, okey, key or dev');
		}
	}
	return config;
}

/** A number, or four octets with dots. */
function parseKey(reader: Reader): number {
	const dotted = /^([0-9]+)\.([0-9]+)\.([0-9]+)\.([0-9]+)$/.exec(reader.peek() ?? '');
	if (dotted === null) {
		return reader.number('a key');
	}
	reader.next('a key');
	const octets = dotted.slice(1).map(Number);
	if (octets.some((octet) => octet > 255)) {
		throw reader.refuse('a key');
	}
	return octets.reduce((key, octet) => key * 256 + octet, 0);
}

/** The line that `ip -d link` prints for the type of an XFRM interface: undefined for another line. */
export function describedXfrm(
	reader: Reader,
	device: string,
	lower: string | undefined,
): LinkCommand | undefined {
	if (!reader.take('xfrm')) {
		return undefined;
	}
	const shared = { object: 'link', verb: 'add', device, settings: {}, describes: true } as const;
	if (reader.take('external')) {
		return { ...shared, virtual: { type: 'xfrm', external: true } };
	}
	if (!reader.take('if_id')) {
		return undefined;
	}
	const ifId = reader.number('an if_id');
	const link = lower === undefined ? {} : { link: lower };
	return { ...shared, virtual: { type: 'xfrm', ifId, ...link } };
}
