/** A difference for people: one golden line, and the `xfrm explain` command that shows what we do. */
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatDifference } from '../golden/difference.ts';
import type { Case, Step } from './scenario.ts';
import type { Parting } from './shrink.ts';

/** Writes the case into files of the temporary folder, and gives the lines that tell of them. */
export function report(
	{ question, answer, result }: Parting,
	asked: string,
	profile: string,
): string {
	if ('skipped' in result) {
		return `${answer.id}: ${result.skipped}`;
	}
	const base = join(tmpdir(), `xfrm-difference-${asked}`);
	writeFileSync(`${base}.jsonl`, `${JSON.stringify(answer)}\n`);
	return [
		`DIFFERS ${asked}: ${formatDifference(result)}`,
		`  golden line: ${base}.jsonl (npm run test:kernel -- --case ${base}.jsonl)`,
		`  ${explainCommand(question, base, profile)}`,
	].join('\n');
}

/** What is different on the guest's host from one that `explain` makes of itself. */
const HOST_SYSCTLS: readonly string[] = [
	'net.ipv4.ip_forward=1',
	'net.ipv6.conf.all.forwarding=1',
	'net.ipv4.icmp_echo_ignore_all=1',
	'net.ipv6.icmp.echo_ignore_all=1',
];

function explainCommand(question: Case, base: string, profile: string): string {
	const { setup, xfrm, sysctl = {}, encap = [], steps } = question;
	const host = ['link set lan up mtu 1500', 'link set wan up mtu 1500', ...setup];
	writeFileSync(`${base}.host`, `${host.map((line) => `ip ${line}`).join('\n')}\n`);
	writeFileSync(`${base}.rules`, `${xfrm.join('\n')}\n`);
	const sysctls = [
		...HOST_SYSCTLS,
		...Object.entries(sysctl).map(([name, value]) => `${name}=${value}`),
	];
	return [
		`npx xfrm explain --profile ${profile}`,
		`--rules ${base}.rules --host ${base}.host`,
		...sysctls.map((one) => `--sysctl ${one}`),
		...encap.map(({ port, type }) => `--encap ${port}/${type}`),
		...steps.flatMap(packetWords),
	].join(' ');
}

function packetWords(step: Step): string[] {
	if ('ip' in step) {
		const wait = step.sleep_ms === undefined ? [] : [`wait:${step.sleep_ms / 1000}`];
		return [...step.ip.map((command) => `"do:${command}"`), ...wait];
	}
	if (!('at' in step)) {
		return [`wait:${step.sleep_ms / 1000}`];
	}
	const mark = [`--mark ${step.mark ?? 0}`];
	const sender = step.sender === 'udp' ? 'socket' : 'hdrincl';
	// What stands before a packet holds for those after it too; directions follow from the addresses.
	return step.at === 'local'
		? [...mark, `--sender ${sender}`, step.packet]
		: [...mark, `--dev ${step.at}`, step.packet];
}
