/**
 * `xfrm lint|lookup|prove --kernel`: the running kernel's rules, in a namespace of its own. Skips itself where
 * namespaces or `ip` are not to be had.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const bin = fileURLToPath(new URL('../bin/xfrm.js', import.meta.url));

function inNamespace(script: string): { status: number | null; stdout: string; stderr: string } {
	const run = spawnSync('unshare', ['-rn', 'sh', '-c', script], {
		encoding: 'utf8',
		timeout: 60_000,
		env: { ...process.env, XFRM: `${process.execPath} ${bin}`, TZ: 'UTC' },
	});
	const { status, stdout, stderr } = run;
	return { status, stdout, stderr };
}

const lacksIp = spawnSync('ip', ['-V']).error !== undefined;
const mayLack = !(lacksIp && process.env['CI'] === 'true');
const skip =
	inNamespace('ip xfrm policy list').status !== 0 && mayLack
		? lacksIp
			? 'needs ip: run tools/system-deps'
			: 'needs unshare -rn and a kernel with XFRM'
		: false;

const TMPL = 'tmpl src 192.0.2.77 dst 198.51.100.2 proto esp reqid 5 mode tunnel';
const RULES = `ip xfrm policy add src 10.1.0.0/16 dst 10.2.0.0/16 dir out ${TMPL}`;

describe('--kernel', { skip }, () => {
	it('lint takes the rules from the kernel: a template from an address that the host has not', () => {
		const run = inNamespace(`${RULES}; $XFRM lint --kernel --local 192.0.2.1 --json`);
		const ids = run.stdout
			.trimEnd()
			.split('\n')
			.map((line) => (JSON.parse(line) as { id: string }).id);
		assert.ok(ids.includes('template-local-address'), `${run.stdout}${run.stderr}`);
		assert.equal(run.status, 1);
	});

	it('lookup and prove ask the same rules', () => {
		const lookup = inNamespace(`${RULES}; $XFRM lookup --kernel src 10.1.0.5 dst 10.2.0.9 dir out`);
		assert.match(lookup.stdout, /^ACQUIRE {2}XfrmOutNoStates\n {2}policy out 1 /);
		const proof = inNamespace(
			`${RULES}; $XFRM prove --kernel 'src 10.1.0.0/16 dir out never pass'`,
		);
		assert.match(
			proof.stdout,
			/^NO: src 10\.1\.0\.0\/16 dst any but 10\.2\.0\.0\/16 goes in clear/,
		);
	});
});
