/** `xfrm help CODE`: the page of a reason, as docs/reasons.md has it. */
import { REASON_CODES, REASON_PAGES } from '@xfrm/explain';
import { UsageError } from './usage.ts';

/** The page as text. @throws UsageError for a code that there is none of */
export function reasonHelp(code: string): string {
	const [meaning, page] = [REASON_CODES[code], REASON_PAGES[code]];
	if (meaning === undefined || page === undefined) {
		throw new UsageError(`found "${code}", expected a code of docs/reasons.md, as in.state.mark`);
	}
	return [
		code,
		`  ${meaning}`,
		'',
		`  guilty  ${page.guilty}`,
		`  see it  ${page.see}`,
		`  do      ${page.todo}`,
	].join('\n');
}
