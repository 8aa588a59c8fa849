/**
 * Times as `ip` prints them, `YYYY-MM-DD hh:mm:ss`, from and to Unix seconds (after H. Hinnant,
 * "chrono-Compatible Low-Level Date Algorithms": the calendar's cycle of 400 years, years that begin in
 * March).
 */

const DAY_SECONDS = 86_400;
const ERA_DAYS = 146_097;
/** Days from the year 0, March 1, to 1970. */
const EPOCH_DAYS = 719_468;
/** What iproute2 prints of such a time. */
export const INVALID_TIME = 'invalid-time';
/** Beyond this the C library's year does not fit any more. */
export const TIME_MAX = 67_768_036_191_676_800;

/** Year, month and day of a day since 1970. */
function civilFromDays(days: number): readonly [year: number, month: number, day: number] {
	const shifted = days + EPOCH_DAYS;
	const era = Math.floor(shifted / ERA_DAYS);
	const dayOfEra = shifted - era * ERA_DAYS;
	const yearOfEra = Math.floor(
		(dayOfEra -
			Math.floor(dayOfEra / 1460) +
			Math.floor(dayOfEra / 36_524) -
			Math.floor(dayOfEra / 146_096)) /
			365,
	);
	const dayOfYear =
		dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
	const marchMonth = Math.floor((5 * dayOfYear + 2) / 153);
	const day = dayOfYear - Math.floor((153 * marchMonth + 2) / 5) + 1;
	const month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9;
	return [yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day];
}

function daysFromCivil(year: number, month: number, day: number): number {
	const marchYear = month <= 2 ? year - 1 : year;
	const era = Math.floor(marchYear / 400);
	const yearOfEra = marchYear - era * 400;
	const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
	const dayOfEra =
		yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
	return era * ERA_DAYS + dayOfEra - EPOCH_DAYS;
}

/** Seconds of civil time since 1970 as text. */
export function formatCivil(seconds: number): string {
	if (seconds >= TIME_MAX) {
		return INVALID_TIME;
	}
	const days = Math.floor(seconds / DAY_SECONDS);
	const rest = seconds - days * DAY_SECONDS;
	const [year, month, day] = civilFromDays(days);
	const two = (value: number): string => String(value).padStart(2, '0');
	const clock = [Math.floor(rest / 3600), Math.floor(rest / 60) % 60, rest % 60].map(two);
	return `${String(year).padStart(4, '0')}-${two(month)}-${two(day)} ${clock.join(':')}`;
}

const WEEKDAYS = ['Thu', 'Fri', 'Sat', 'Sun', 'Mon', 'Tue', 'Wed'];
const MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');

/** Seconds of civil time since 1970 as asctime(3) writes them: `Wed Nov 25 19:27:08 2026`. */
export function formatAsctime(seconds: number): string {
	const days = Math.floor(seconds / DAY_SECONDS);
	const [year, month, day] = civilFromDays(days);
	const clock = formatCivil(seconds).split(' ')[1] ?? '';
	const weekday = WEEKDAYS[((days % 7) + 7) % 7] ?? '';
	return `${weekday} ${MONTHS[month - 1] ?? ''} ${String(day).padStart(2, ' ')} ${clock} ${year}`;
}

/** Seconds of civil time since 1970 from a date and a time of day, undefined when they are none. */
export function parseCivil(date: string, clock: string): number | undefined {
	const day = /^([0-9]{4,12})-([0-9]{2})-([0-9]{2})$/.exec(date);
	const time = /^([0-9]{2}):([0-9]{2}):([0-9]{2})$/.exec(clock);
	if (day === null || time === null) {
		return undefined;
	}
	const days = daysFromCivil(Number(day[1]), Number(day[2]), Number(day[3]));
	const [hours, minutes, seconds] = time.slice(1).map(Number);
	const sum = days * DAY_SECONDS + (hours ?? 0) * 3600 + (minutes ?? 0) * 60 + (seconds ?? 0);
	// What is no date (February 30) is another one in the end.
	return formatCivil(sum) === `${date} ${clock}` ? sum : undefined;
}
