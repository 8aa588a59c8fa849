/** `xfrm demo`: not written yet. */
export function demoCommand(_args: readonly string[]): number {
	return 0;
}
