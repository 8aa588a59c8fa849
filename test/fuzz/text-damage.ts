/** Damage to text: characters and lines cut, doubled, moved, or replaced by words of its language. */
import type { Random } from '../kernel/random.ts';

function damage(text: string, random: Random, words: readonly string[]): string {
	const at = random.int(0, text.length);
	const end = Math.min(text.length, at + random.int(0, (1 << random.int(0, 9)) - 1));
	switch (random.int(0, 7)) {
		case 0:
			return text.slice(0, at) + text.slice(end);
		case 1:
			return text.slice(0, end) + text.slice(at);
		case 2:
			return `${text.slice(0, at)}${random.pick(words)}${text.slice(at)}`;
		case 3:
			return `${text.slice(0, at)} ${random.pick(words)} ${text.slice(end)}`;
		case 4:
			return text.slice(0, at) + String.fromCharCode(random.int(0, 255)) + text.slice(at + 1);
		case 5:
			return `${text.slice(0, at)}\n${text.slice(at)}`;
		case 6: {
			// A word of it becomes another one.
			const parts = text.split(' ');
			parts[random.int(0, parts.length - 1)] = random.pick(words);
			return parts.join(' ');
		}
		default:
			return text.slice(at, end) + text.slice(0, at) + text.slice(end);
	}
}

/** One to six damages. */
export function damagedText(text: string, random: Random, words: readonly string[]): string {
	let damaged = text;
	for (let times = random.int(1, 6); times > 0; times--) {
		damaged = damage(damaged, random, words);
	}
	return damaged;
}
