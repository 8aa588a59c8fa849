/**
 * What a kernel can do, found by trying it in a network namespace of its own: states of every transform and
 * with every algorithm, a sub policy, a migration. As when a program does it, the kernel loads modules for it.
 */
import {
	AEAD_ALGORITHMS,
	AUTH_ALGORITHMS,
	COMP_ALGORITHMS,
	CRYPT_ALGORITHMS,
} from '@xfrm/crypto/algorithms';
import { NetlinkError, type NetlinkTransport, type StateInput, XfrmClient } from '@xfrm/netlink';
import {
	type Address,
	anySelector,
	Direction,
	Errno,
	Family,
	IpProto,
	Mode,
	PolicyType,
	parseAddress,
} from '@xfrm/wire/xfrm';
import type { AbilityFacts } from './facts.ts';

const NO_KEY: Uint8Array = new Uint8Array(0);

/** Addresses of documentation: nothing is ever sent to them. */
function addressOf(text: string): Address {
	return parseAddress(text)?.address ?? new Uint8Array(16);
}

interface Place {
	readonly name: string;
	readonly family: number;
	readonly address: Address;
}

const PLACES: readonly Place[] = [
	{ name: '4', family: Family.Ipv4, address: addressOf('192.0.2.1') },
	{ name: '6', family: Family.Ipv6, address: addressOf('2001:db8::1') },
];

const TRANSFORMS: readonly { readonly name: string; readonly proto: number }[] = [
	{ name: 'esp', proto: IpProto.Esp },
	{ name: 'ah', proto: IpProto.Ah },
	{ name: 'ipcomp', proto: IpProto.Comp },
];

/** An algorithm of a state, with a key that fits. */
interface Trial {
	readonly name: string;
	readonly proto: number;
	readonly part: Partial<StateInput>;
}

function trials(): readonly Trial[] {
	const key = (octets: number): Uint8Array => new Uint8Array(octets).fill(0x5a);
	const esp = IpProto.Esp;
	return [
		...AEAD_ALGORITHMS.filter(({ icvBits }) => icvBits === 128).map(
			({ name, icvBits, keyOctets: [octets = 0] }): Trial => ({
				name,
				proto: esp,
				part: { aead: { name, key: key(octets), keyBits: octets * 8, icvBits } },
			}),
		),
		...AUTH_ALGORITHMS.map(({ name, keyOctets, icvDefaultBits }): Trial => {
			const octets = keyOctets?.[0] ?? (name === 'digest_null' ? 0 : 20);
			const auth = { name, key: key(octets), keyBits: octets * 8, truncBits: icvDefaultBits };
			return { name, proto: IpProto.Ah, part: { auth } };
		}),
		...CRYPT_ALGORITHMS.map(
			({ name, keyOctetsMin }): Trial => ({
				name,
				proto: esp,
				part: { crypt: { name, key: key(keyOctetsMin), keyBits: keyOctetsMin * 8 } },
			}),
		),
		...COMP_ALGORITHMS.map(
			({ name }): Trial => ({
				name,
				proto: IpProto.Comp,
				part: { comp: { name, key: NO_KEY, keyBits: 0 } },
			}),
		),
	];
}

/** The kernel's answer to a request: 0, or a positive error number. */
async function errnoOf(request: Promise<unknown>): Promise<number> {
	try {
		await request;
		return 0;
	} catch (error) {
		if (error instanceof NetlinkError) {
			return error.errno;
		}
		throw error;
	}
}

class Prober {
	readonly #client: XfrmClient;

	constructor(client: XfrmClient) {
		this.#client = client;
	}

	async #state(place: Place, proto: number, part: Partial<StateInput>): Promise<number> {
		const { address, family } = place;
		const id = { daddr: address, spi: 0x1000, proto };
		const state = { id, saddr: address, family, mode: Mode.Tunnel, ...part };
		const errno = await errnoOf(this.#client.states.add(state));
		await this.#client.states.flush();
		return errno;
	}

	/** Tries every algorithm, and every transform by the first algorithm that is there. */
	async run(): Promise<Pick<AbilityFacts, 'transforms' | 'algorithms'>> {
		const transforms = new Map<string, boolean>();
		const algorithms = new Map<string, boolean>();
		const [v4] = PLACES;
		if (v4 === undefined) {
			return { transforms, algorithms };
		}
		const found: Trial[] = [];
		for (const trial of trials()) {
			const errno = await this.#state(v4, trial.proto, trial.part);
			// An algorithm is looked for before the transform is (xfrm_state_construct).
			const there = errno !== Errno.ENOSYS;
			algorithms.set(trial.name, there);
			if (there) {
				found.push(trial);
			}
		}
		for (const { name, proto } of TRANSFORMS) {
			const trial = found.find((one) => one.proto === proto);
			for (const place of trial === undefined ? [] : PLACES) {
				const errno = await this.#state(place, proto, trial?.part ?? {});
				transforms.set(`${name}${place.name}`, errno === 0);
			}
		}
		return { transforms, algorithms };
	}

	async subPolicies(): Promise<boolean> {
		const selector = anySelector(Family.Ipv4);
		const policy = { selector, direction: Direction.Out, type: PolicyType.Sub };
		return (await errnoOf(this.#client.policies.add(policy))) === 0;
	}

	/** Of a policy that is not there: ENOPROTOOPT without CONFIG_XFRM_MIGRATE. */
	async migrate(): Promise<boolean> {
		const selector = anySelector(Family.Ipv4);
		const end = addressOf('192.0.2.1');
		const errno = await errnoOf(
			this.#client.policies.migrate({
				selector,
				direction: Direction.Out,
				entries: [
					{
						oldDaddr: end,
						oldSaddr: end,
						newDaddr: addressOf('192.0.2.2'),
						newSaddr: end,
						proto: IpProto.Esp,
						mode: Mode.Tunnel,
						reqid: 1,
						oldFamily: Family.Ipv4,
						newFamily: Family.Ipv4,
					},
				],
			}),
		);
		return errno !== Errno.ENOPROTOOPT;
	}
}

/** Tries everything over a transport whose namespace nobody else uses. Rejects with `NetlinkError`. */
export async function probeAbilities(scratch: NetlinkTransport): Promise<AbilityFacts> {
	const client = new XfrmClient(scratch);
	try {
		const prober = new Prober(client);
		const { transforms, algorithms } = await prober.run();
		const subPolicies = await prober.subPolicies();
		const migrate = await prober.migrate();
		return { transforms, algorithms, subPolicies, migrate };
	} finally {
		client.close();
	}
}
