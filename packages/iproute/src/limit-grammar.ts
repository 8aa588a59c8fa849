/** LIMIT of states and policies (spec 5.1). */
import { type LifetimeConfig, UNLIMITED } from '@xfrm/wire/xfrm';
import { chooseWord, type Reading } from './reading.ts';

/** A configuration of lifetimes in the making. */
export type LifetimeDraft = { -readonly [K in keyof LifetimeConfig]: LifetimeConfig[K] };

/** Without any limit, as `ip` begins. @spec C-5 */
export function unlimited(): LifetimeDraft {
	return { ...UNLIMITED };
}

const LIMITS: Readonly<Record<string, keyof LifetimeConfig>> = {
	'time-soft': 'softAddExpiresSeconds',
	'time-hard': 'hardAddExpiresSeconds',
	'time-use-soft': 'softUseExpiresSeconds',
	'time-use-hard': 'hardUseExpiresSeconds',
	'byte-soft': 'softByteLimit',
	'byte-hard': 'hardByteLimit',
	'packet-soft': 'softPacketLimit',
	'packet-hard': 'hardPacketLimit',
};

/** Reads what follows the word `limit`. */
export function readLimit(reading: Reading, lifetime: LifetimeDraft): void {
	const { word } = reading.words.next(Object.keys(LIMITS).join(', '));
	const limit = chooseWord(word, LIMITS, 'LIMIT value is invalid');
	lifetime[limit] = reading.number64(`value after "${word.text}" is invalid`);
}
