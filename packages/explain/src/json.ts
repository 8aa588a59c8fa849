/** An answer as a line of JSON Lines: the stable contract, field by field in its order. */
import type { Answer } from './answer.ts';

/** One line without its newline. */
export function answerLine(answer: Answer): string {
	return JSON.stringify(answer);
}
