/**
 * Which provider of the seam and of crypto is used, chosen at start: the addon where it can be compiled, else
 * the FFI, both with OpenSSL contexts that are kept; `node` is the FFI with node:crypto, for a node whose OpenSSL
 * cannot be called. What was asked for by name is used or refused.
 */
import { nodeProvider } from '@xfrm/crypto/node';
import type { CryptoProvider } from '@xfrm/crypto/provider';
import { addonEvp, addonNative } from './addon.ts';
import { CompileError } from './compiled.ts';
import { evpProvider } from './evp-crypto.ts';
import { ffiNative } from './ffi.ts';
import { ffiEvp } from './ffi-evp.ts';
import type { Native } from './seam.ts';

/** As `--provider` names them. */
export const PROVIDERS = ['auto', 'addon', 'ffi', 'node'] as const;
export type ProviderName = (typeof PROVIDERS)[number];

/** What was chosen, and why not the better one. */
export interface Chosen {
	readonly native: Native;
	readonly crypto: CryptoProvider;
	/** Why the addon is not there, when it was not asked for by name. */
	readonly note: string | undefined;
}

/** Chooses. @throws CompileError when the addon was asked for, TransportError where there is no FFI */
export function chooseProvider(wanted: ProviderName): Chosen {
	let note: string | undefined;
	if (wanted === 'node') {
		return { native: ffiNative(), crypto: nodeProvider(), note };
	}
	if (wanted !== 'ffi') {
		try {
			return { native: addonNative(), crypto: evpProvider('addon', addonEvp()), note: undefined };
		} catch (error) {
			if (!(error instanceof CompileError) || wanted === 'addon') {
				throw error;
			}
			note = error.message;
		}
	}
	return { native: ffiNative(), crypto: evpProvider('ffi', ffiEvp()), note };
}
