/** A fix as a person uses it: the commands pasted as they are told. */
import assert from 'node:assert/strict';
import type { Fix } from './answer.ts';
import type { Explainer, PacketOptions } from './explainer.ts';
import { KEY } from './explainer-fixture.test.ts';
import { keyOctets } from './fix-command.ts';
import { findFixes } from './fixes.ts';

/** Where a key has to be filled in, the one that all ends have here. */
const KEY_WORD = / KEY\b/g;

/** The first fix, its keys told so that it can be pasted. */
export function firstFix(explainer: Explainer): Fix | undefined {
	return findFixes(explainer, { keyName: keyOctets })[0];
}

/** Pastes the commands of a fix; what a firewall rule among them does to the packet. */
export function paste(explainer: Explainer, { commands }: Fix): PacketOptions {
	let options: PacketOptions = {};
	for (const command of commands) {
		const sysctl = /^sysctl -w (\S+)=(\d+)$/.exec(command);
		const mark = /^nft add rule .* meta mark set (0x[0-9a-f]+)$/.exec(command);
		if (mark !== null) {
			options = { ...options, mark: Number(mark[1]) };
			continue;
		}
		const { status, stderr } =
			sysctl === null
				? explainer.run(command.replace(KEY_WORD, ` ${KEY}`))
				: explainer.setSysctl(sysctl[1] ?? '', Number(sysctl[2]));
		assert.equal(status, 0, `${command}: ${stderr}`);
	}
	return options;
}
