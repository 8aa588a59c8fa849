/** The answer to a command that has a result: the value, or why Linux would refuse. Commands never throw. */
import type { Errno, Refusal } from '@xfrm/wire/xfrm';

export type Answer<T> =
	| { readonly value: T; readonly refusal?: undefined }
	| { readonly refusal: Refusal; readonly value?: undefined };

/** Success. */
export function answer<T>(value: T): Answer<T> {
	return { value };
}

/** Refusal with errno and sentence. */
export function refuse(errno: Errno, message?: string): { readonly refusal: Refusal } {
	return { refusal: message === undefined ? { errno } : { errno, message } };
}
