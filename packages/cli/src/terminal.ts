const COLUMNS_MAX = 100;

/** Does this stream show colours? A terminal does, unless NO_COLOR is set (https://no-color.org). */
export function colours(stream: { readonly isTTY?: boolean }): boolean {
	const { NO_COLOR: refused = '', TERM: kind } = process.env;
	return stream.isTTY === true && refused === '' && kind !== 'dumb';
}

/** Width for text: that of a terminal, but no wider than what reads well; elsewhere the default. */
export function columns(stream: { readonly isTTY?: boolean; readonly columns?: number }): number {
	const { COLUMNS: told = '' } = process.env;
	const width = stream.isTTY === true ? (stream.columns ?? COLUMNS_MAX) : Number(told);
	return Number.isInteger(width) && width > 0 ? Math.min(width, COLUMNS_MAX) : COLUMNS_MAX;
}
