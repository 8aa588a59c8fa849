/** Does this stream show colours? A terminal does, unless NO_COLOR is set (https://no-color.org). */
export function colours(stream: { readonly isTTY?: boolean }): boolean {
	const { NO_COLOR: refused = '', TERM: kind } = process.env;
	return stream.isTTY === true && refused === '' && kind !== 'dumb';
}
