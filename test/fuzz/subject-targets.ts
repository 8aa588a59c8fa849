/** Targets whose inputs stand for themselves: those of `npm run fuzz` but `netlink`, which needs a history. */
import { captureTarget } from './capture-target.ts';
import { dumpTextTarget } from './dump-text-target.ts';
import { packetTargets } from './packet-targets.ts';
import { rulesTarget } from './rules-target.ts';
import type { SubjectTarget } from './subject.ts';

export const subjectTargets: readonly SubjectTarget[] = [
	dumpTextTarget,
	rulesTarget,
	captureTarget,
	...packetTargets,
];
