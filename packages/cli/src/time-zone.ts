/** The time zone of this process, in which times are printed and read, as `ip` does. */

/** Seconds east of UTC at a time (Unix seconds). */
export function utcOffsetSeconds(time: number): number {
	return -new Date(time * 1000).getTimezoneOffset() * 60;
}

/** Its name, as `Europe/Berlin`. */
export function timeZone(): string {
	return new Intl.DateTimeFormat().resolvedOptions().timeZone;
}
