// A file of its own, as it looks at what the process has loaded.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { TransportError } from '@xfrm/netlink';
import { Errno } from '@xfrm/wire/xfrm';
import { loadCLibrary } from './c-library.ts';
import { interfaceIndex, linuxTransport } from './index.ts';
import { adviceFor, groupRefusal, hasNetAdmin, socketRefusal } from './requirement.ts';
import { sockaddrNl, sockaddrNlPid } from './socket-abi.ts';

const linux = process.platform === 'linux' && ['x64', 'arm64'].includes(process.arch);
const skip = linux ? false : 'needs Linux on x86-64 or arm64';

const koffiIsLoaded = (): boolean => /koffi/.test(readFileSync('/proc/self/maps', 'latin1'));

test('koffi is loaded by the first use, not by the import', { skip }, () => {
	linuxTransport();
	assert.equal(koffiIsLoaded(), false);
	assert.equal(interfaceIndex('lo'), 1);
	assert.equal(koffiIsLoaded(), true);
	assert.equal(loadCLibrary(), loadCLibrary());
});

test('elsewhere than on Linux it says so', { skip: linux && 'this is Linux' }, () => {
	assert.throws(
		() => linuxTransport().open(),
		(error) => error instanceof TransportError && error.errno === Errno.ENOSYS,
	);
});

test('an address of netlink', () => {
	const address = sockaddrNl(0x01020304);
	assert.deepEqual([...address], [16, 0, 0, 0, 4, 3, 2, 1, 0, 0, 0, 0]);
	assert.equal(sockaddrNlPid(address), 0x01020304);
});

test('a user without the right gets the sentence what is missing', { skip }, (context) => {
	const euid = process.geteuid?.();
	if (euid === 0) {
		loadCLibrary().seteuid(65534);
	} else if (hasNetAdmin()) {
		context.skip('this user has CAP_NET_ADMIN');
		return;
	}
	try {
		assert.match(adviceFor(Errno.EPERM) ?? '', /CAP_NET_ADMIN.*root.*unshare -rn/);
		const socket = linuxTransport().open();
		assert.throws(() => socket.join([1]), /CAP_NET_ADMIN/);
		socket.close();
	} finally {
		if (euid === 0) {
			loadCLibrary().seteuid(0);
		}
	}
	if (hasNetAdmin()) {
		assert.equal(adviceFor(Errno.EPERM), undefined, 'with the right it is not about the right');
	}
});

test('what a kernel may lack has its sentence', () => {
	assert.match(socketRefusal(Errno.EPROTONOSUPPORT), /modprobe xfrm_user/);
	assert.match(socketRefusal(Errno.EPERM), /CAP_NET_ADMIN/);
	assert.match(socketRefusal(Errno.ENOMEM), /could be opened/);
	assert.match(groupRefusal(Errno.EINVAL, 9), /group 9/);
	assert.match(adviceFor(Errno.EPROTONOSUPPORT) ?? '', /esp4/);
	assert.match(adviceFor(Errno.ENOSYS) ?? '', /algorithm/);
	assert.equal(adviceFor(Errno.EEXIST), undefined);
});
