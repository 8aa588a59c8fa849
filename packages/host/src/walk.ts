import type { Stack } from './stack.ts';
export function advance(stack: Stack, nowUs: number): void {
	stack.nowUs = nowUs;
}
export function settle(_stack: Stack): void {}
