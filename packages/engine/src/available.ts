/** What a kernel would have built in that can do what our provider can: the default of `EngineOptions`. */
import type { CryptoProvider } from '@xfrm/crypto/provider';
import { IpProto, Mode } from '@xfrm/wire/xfrm';
import type { Available } from './kernel-profile.ts';

/** All transforms and modes that the engine has, and the algorithms of the provider. */
export function availableFrom(provider: CryptoProvider): Available {
	return {
		types: new Set<number>([
			IpProto.Esp,
			IpProto.Ah,
			IpProto.Comp,
			IpProto.DestinationOptions,
			IpProto.Routing,
		]),
		modes: new Set<number>([
			Mode.Transport,
			Mode.Tunnel,
			Mode.RouteOptimization,
			Mode.Beet,
			Mode.Iptfs,
		]),
		algorithm: (kind, name, icvBits) => provider.supports(kind, name, icvBits),
	};
}
