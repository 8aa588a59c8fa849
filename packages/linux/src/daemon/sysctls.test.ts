import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Sysctls } from '@xfrm/engine';
import { followSysctls } from './sysctls.ts';

test('a value is that of a millisecond ago at most, and the default where the kernel has none', () => {
	const folder = mkdtempSync(join(tmpdir(), 'xfrm-sysctls-'));
	try {
		mkdirSync(join(folder, 'core'));
		const set = (text: string): void => writeFileSync(join(folder, 'core/xfrm_acq_expires'), text);
		const sysctls: Sysctls = {
			xfrm_aevent_etime: 10,
			xfrm_aevent_rseqth: 2,
			xfrm_larval_drop: 1,
			xfrm_acq_expires: 30,
			ip_no_pmtu_disc: 0,
		};
		let now = 0;
		set('165\n');
		followSysctls(sysctls, folder, () => now);
		const values = (): number[] => [sysctls.xfrm_acq_expires, sysctls.xfrm_larval_drop];
		assert.deepEqual(values(), [165, 1]);
		set('7\n');
		now = 999;
		assert.deepEqual(values(), [165, 1]);
		now = 1000;
		assert.deepEqual(values(), [7, 1]);
		set('\n');
		now = 2000;
		assert.deepEqual(values(), [7, 1], 'what is no number changes nothing');
		set('-1\n');
		now = 3000;
		assert.deepEqual(values(), [0xffff_ffff, 1]);
	} finally {
		rmSync(folder, { recursive: true });
	}
});
