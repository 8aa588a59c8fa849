/** Names of network interfaces and their indexes, in the network namespace of the process. */
import { loadCLibrary } from './c-library.ts';

/** `IF_NAMESIZE`, the NUL included. */
const NAME_OCTETS = 16;

/** The index of an interface; undefined when there is none of this name. @throws TransportError ENOSYS */
export function interfaceIndex(name: string): number | undefined {
	if (name === '' || name.length >= NAME_OCTETS || name.includes('\0')) {
		return undefined;
	}
	const index = loadCLibrary().if_nametoindex(name);
	return index === 0 ? undefined : index;
}

/** The name of an interface; undefined when there is none of this index. @throws TransportError ENOSYS */
export function interfaceName(index: number): string | undefined {
	const name = new Uint8Array(NAME_OCTETS);
	if (loadCLibrary().if_indextoname(index, name) === null) {
		return undefined;
	}
	const end = name.indexOf(0);
	return new TextDecoder().decode(name.subarray(0, end < 0 ? NAME_OCTETS : end));
}
