/**
 * The conformance suite of crypto providers, as data: every provider runs the same cases, on
 * whatever test runner or page calls `run` on each. Test-only; no Node in it.
 */

import type { CryptoProvider } from '../provider.ts';
import type { Case } from './case.ts';
import { contractCases } from './contract-cases.ts';
import { propertyCases } from './property-cases.ts';
import { type CryptoVectors, vectorCases } from './vector-cases.ts';

export type { Case } from './case.ts';
export type {
	AeadVector,
	CipherVector,
	CryptoVectors,
	GmacVector,
	KernelEspVector,
	KernelIpcompVector,
	MacVector,
} from './vector-cases.ts';

/** All cases for what the provider says it supports; a case throws when it fails. */
export function cryptoCases(provider: CryptoProvider, vectors: CryptoVectors): readonly Case[] {
	return [
		...vectorCases(provider, vectors),
		...propertyCases(provider),
		...contractCases(provider),
	];
}
