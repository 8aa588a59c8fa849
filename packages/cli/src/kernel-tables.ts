/**
 * States, policies and defaults of a kernel as they are at one moment: what `xfrm save` writes, what `xfrm
 * load` goes back to, what is explained with `--kernel`.
 */
import { type CommandContext, type JsonObject, KeyNames, objectJson } from '@xfrm/iproute';
import {
	type NamedMessage,
	NetlinkError,
	type PoliciesInfo,
	type UserPolicyDefault,
	type XfrmClient,
} from '@xfrm/netlink';
import { Errno } from '@xfrm/wire/xfrm';

/** The tables, newest first, as the kernel dumps them. */
export interface KernelTables {
	readonly states: readonly NamedMessage<'newsa'>[];
	/** Those of sockets among them. */
	readonly policies: readonly NamedMessage<'newpolicy'>[];
	/** Undefined on kernels before 5.15, which have none. */
	readonly defaults: UserPolicyDefault | undefined;
	readonly thresholds: Pick<PoliciesInfo, 'threshold4' | 'threshold6'>;
}

/** Reads everything. Rejects with `NetlinkError`. */
export async function readTables(client: XfrmClient): Promise<KernelTables> {
	const states = await client.states.dump();
	const policies = await client.policies.dump();
	const { threshold4, threshold6 } = await client.info.policies();
	const defaults = await defaultsOf(client);
	return { states, policies, defaults, thresholds: { threshold4, threshold6 } };
}

async function defaultsOf(client: XfrmClient): Promise<UserPolicyDefault | undefined> {
	try {
		return await client.defaults.get();
	} catch (error) {
		if (error instanceof NetlinkError && error.errno === Errno.EINVAL) {
			return undefined;
		}
		throw error;
	}
}

/** How a snapshot is written. */
export interface SnapshotOptions {
	/** Hides keys behind names; absent: keys are shown. */
	readonly keys?: KeyNames;
	/** Unix seconds. */
	readonly time: number;
	readonly context: CommandContext;
	/** States whose keys are not known: they are named in any case. */
	readonly isWiped?: (state: NamedMessage<'newsa'>) => boolean;
}

const ACTIONS = ['unspec', 'block', 'accept'];

/** The tables as a document that fits snapshot.schema.json. */
export function snapshotJson(tables: KernelTables, options: SnapshotOptions): JsonObject {
	const { keys, time, context, isWiped = () => false } = options;
	const { states, policies, defaults } = tables;
	const written = { keys, context };
	const nameless = { keys: keys ?? new KeyNames(), context };
	const word = (action: number): string | number => ACTIONS[action] ?? action;
	return {
		schema: 1,
		object: 'snapshot',
		time,
		states: states.map((message) => objectJson(message, isWiped(message) ? nameless : written)),
		policies: policies.map((message) => objectJson(message, written)),
		...(defaults && {
			default_policies: {
				object: 'default-policies',
				in: word(defaults.in),
				fwd: word(defaults.fwd),
				out: word(defaults.out),
			},
		}),
	};
}
