import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findProgram, inheritance, inheritedDescriptors, isNpm } from './become.ts';

test('signals and limits are read from /proc', () => {
	const status = 'Name:\tsh\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001006\n';
	const limits = [
		'Limit                     Soft Limit           Hard Limit           Units     ',
		'Max open files            1024                 524288               files     ',
	].join('\n');
	assert.deepEqual(inheritance(status, limits), { ignored: [2, 3, 13], openFiles: [1024, 524288] });
	assert.deepEqual(inheritance('', 'Max open files unlimited unlimited files').openFiles, [
		Number.POSITIVE_INFINITY,
		Number.POSITIVE_INFINITY,
	]);
});

test('descriptors of others are told from Node’s own', () => {
	const links = new Map([
		[0, '/dev/null'],
		[1, 'pipe:[11]'],
		[2, '/dev/pts/0'],
		[3, 'socket:[22]'],
		[4, 'anon_inode:[eventpoll]'],
		[5, 'pipe:[33]'],
		[6, 'pipe:[33]'],
		[7, '/dev/null'],
		[9, 'pipe:[44]'],
	]);
	assert.deepEqual(inheritedDescriptors(links), [0, 1, 2, 3, 9]);
});

test('npx is known by its command line', () => {
	const nodes = [
		'npm exec xfrm exec -- x',
		'node\0/usr/bin/npx\0xfrm\0',
		'/usr/bin/node\0/lib/npm-cli.js\0exec\0',
	];
	assert.deepEqual(nodes.map(isNpm), [true, true, true]);
	const others = ['sh\0-c\0npx xfrm\0', 'node\0/opt/app.js\0npm\0', 'bash\0'];
	assert.deepEqual(others.map(isNpm), [false, false, false]);
});

test('programs are found as execvp does', () => {
	assert.equal(findProgram('./x', ''), './x');
	assert.equal(findProgram('sh', '/nowhere:/bin'), '/bin/sh');
	assert.throws(() => findProgram('passwd', '/etc'), { status: 126 });
	assert.throws(() => findProgram('no-such-program', '/bin'), { status: 127 });
});
