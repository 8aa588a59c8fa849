/**
 * Linux error numbers (asm-generic), positive as in spec section 0. Only those XFRM and IP can answer.
 */
export const Errno = {
	EPERM: 1,
	ENOENT: 2,
	ESRCH: 3,
	EINTR: 4,
	EBADF: 9,
	EAGAIN: 11,
	ENOMEM: 12,
	EACCES: 13,
	EBUSY: 16,
	EEXIST: 17,
	ENODEV: 19,
	EINVAL: 22,
	ERANGE: 34,
	ENAMETOOLONG: 36,
	ENOSYS: 38,
	ENODATA: 61,
	ENONET: 64,
	EREMOTE: 66,
	EPROTO: 71,
	EBADMSG: 74,
	EOVERFLOW: 75,
	EMSGSIZE: 90,
	ENOPROTOOPT: 92,
	EPROTONOSUPPORT: 93,
	EOPNOTSUPP: 95,
	EAFNOSUPPORT: 97,
	EADDRINUSE: 98,
	EADDRNOTAVAIL: 99,
	ENETDOWN: 100,
	ENETUNREACH: 101,
	ENOBUFS: 105,
	ETIMEDOUT: 110,
	ECONNREFUSED: 111,
	EHOSTDOWN: 112,
	EHOSTUNREACH: 113,
	EINPROGRESS: 115,
	ECANCELED: 125,
} as const;
export type Errno = (typeof Errno)[keyof typeof Errno];

const names: ReadonlyMap<number, string> = new Map(
	Object.entries(Errno).map(([name, value]) => [value, name]),
);

/** The name of an error number, or `errno N`. */
export function errnoName(errno: number): string {
	return names.get(errno) ?? `errno ${errno}`;
}

/** What strerror(3) says, as `ip` prints it behind "RTNETLINK answers: ". */
const texts: Readonly<Record<number, string>> = {
	1: 'Operation not permitted',
	2: 'No such file or directory',
	3: 'No such process',
	4: 'Interrupted system call',
	9: 'Bad file descriptor',
	11: 'Resource temporarily unavailable',
	12: 'Cannot allocate memory',
	13: 'Permission denied',
	16: 'Device or resource busy',
	17: 'File exists',
	19: 'No such device',
	22: 'Invalid argument',
	34: 'Numerical result out of range',
	36: 'File name too long',
	38: 'Function not implemented',
	61: 'No data available',
	64: 'Machine is not on the network',
	66: 'Object is remote',
	71: 'Protocol error',
	74: 'Bad message',
	75: 'Value too large for defined data type',
	90: 'Message too long',
	92: 'Protocol not available',
	93: 'Protocol not supported',
	95: 'Operation not supported',
	97: 'Address family not supported by protocol',
	98: 'Address already in use',
	99: 'Cannot assign requested address',
	100: 'Network is down',
	101: 'Network is unreachable',
	105: 'No buffer space available',
	110: 'Connection timed out',
	111: 'Connection refused',
	112: 'Host is down',
	113: 'No route to host',
	115: 'Operation now in progress',
	125: 'Operation canceled',
};

/** The text of an error number as the C library says it. */
export function errnoText(errno: number): string {
	return texts[errno] ?? `Unknown error ${errno}`;
}

/** A command that Linux would refuse: `errno` positive, `message` the sentence of the ext-ack. */
export interface Refusal {
	readonly errno: Errno;
	readonly message?: string;
}
