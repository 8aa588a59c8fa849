/** An event of the monitor as `ip` prints it: time and namespace in front, where asked for. */
import type { RawMessage } from '@xfrm/netlink';
import { formatAsctime, formatCivil } from './civil-time.ts';
import type { Command, CommandContext } from './command.ts';
import { formatMessage } from './run-command.ts';

/** What in front of an event says when it came. */
function timestamp(nowUs: number, short: boolean, context: CommandContext): string {
	const seconds = Math.floor(nowUs / 1_000_000);
	const us = nowUs - seconds * 1_000_000;
	const civil = seconds + (context.utcOffsetSeconds?.(seconds) ?? 0);
	return short
		? `[${formatCivil(civil).replace(' ', 'T')}.${String(us).padStart(6, '0')}] `
		: `Timestamp: ${formatAsctime(civil)} ${us} usec\n`;
}

/**
 * One event, with `-t` and `all-nsid` as asked for; as a line of JSON it has `time` instead, Unix seconds.
 * Empty for what is no event.
 *
 * @param nowUs microseconds since 1970 when it was received
 */
export function formatEvent(
	raw: RawMessage,
	command: Pick<Command, 'print' | 'release' | 'plan'>,
	nowUs: number,
	context: CommandContext = {},
): string {
	const { print, plan } = command;
	const text = formatMessage(raw, command, context);
	if (context.json === true) {
		const time = `"time":${(nowUs / 1_000_000).toFixed(6)}`;
		return print.timestamp ? text.replace(/\}\n$/, `,${time}}\n`) : text;
	}
	if (text === '') {
		return '';
	}
	const when = print.timestamp ? timestamp(nowUs, print.shortTimestamp === true, context) : '';
	const where = plan.kind === 'monitor' && plan.allNsid ? '[nsid current]' : '';
	return when + where + text;
}
