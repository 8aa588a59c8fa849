/**
 * A page as a question to a real kernel, in the form of golden/kernel-vectors.jsonl, and the kernel's
 * answers that are kept beside these tests.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { formatHex } from '@xfrm/wire';
import { IpProto } from '@xfrm/wire/xfrm';
import type { VectorCase } from '../golden/vector-case.ts';
import { fieldsOf, ivOctetsBySpi } from '../kernel/fields.ts';
import type { Case, Step } from '../kernel/scenario.ts';
import type { CasePage } from './case-page.ts';
import { explainPage, itemsOf } from './explain-page.ts';

const path: string = fileURLToPath(new URL('./kernel-answers.jsonl', import.meta.url));

/** `modules`: those that have to be loaded, and no others of their kind. */
export type KernelQuestion = Case & { readonly modules?: readonly string[] };

/** What lab.py is given. */
export function kernelQuestion(page: CasePage): KernelQuestion {
	const sysctls = page.host.flatMap((line) => /^sysctl -w (\S+)=(\S+)$/.exec(line) ?? []);
	const sysctl: Record<string, number> = {};
	for (let i = 0; i + 2 < sysctls.length; i += 3) {
		sysctl[sysctls[i + 1] ?? ''] = Number(sysctls[i + 2]);
	}
	const modules = page.host.flatMap((line) => /^modprobe (\S+)$/.exec(line)?.[1] ?? []);
	const isCommand = (line: string): boolean => line.startsWith('ip ');
	return {
		id: page.name,
		tags: ['case'],
		...(Object.keys(sysctl).length === 0 ? {} : { sysctl }),
		...(modules.length === 0 ? {} : { modules }),
		setup: page.host.filter(isCommand).map((line) => line.slice(3)),
		xfrm: page.rules.map((line) => line.slice(3)),
		...(page.encap.length === 0
			? {}
			: { encap: page.encap.map((port) => ({ family: 4, port, type: 'espinudp' }) as const) }),
		steps: stepsOf(page),
	};
}

function stepsOf(page: CasePage): Step[] {
	const packets = [...explainPage(page).asked];
	return itemsOf(page).map(({ text }): Step => {
		if (text.startsWith('wait:')) {
			return { sleep_ms: Number(text.slice(5)) * 1000 };
		}
		if (text.startsWith('do:')) {
			return { ip: [text.slice(3).replace(/^ip /, '')] };
		}
		const asked = packets.shift();
		if (asked === undefined) {
			throw new Error(`${page.name}: ${text} is no packet`);
		}
		const { packet, options } = asked;
		const local = options.direction === 'out';
		const proto = (packet[0] ?? 0) >> 4 === 4 ? packet[9] : packet[6];
		const socket = local && options.sender !== 'hdrincl';
		if (socket && proto !== IpProto.Udp) {
			throw new Error(`${page.name}: only UDP can be sent by a socket here: say --sender hdrincl`);
		}
		return {
			at: local ? 'local' : options.device === 'lan' ? 'lan' : 'wan',
			...(options.mark === undefined ? {} : { mark: options.mark }),
			...(socket ? { sender: 'udp' } : {}),
			packet: formatHex(packet),
		};
	});
}

/** The kernel's answers by page. */
export function readKernelAnswers(): Map<string, VectorCase> {
	const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
	const answers = text
		.split('\n')
		.filter((line) => line !== '')
		.map((line) => JSON.parse(line) as VectorCase);
	return new Map(answers.map((answer) => [answer.id, answer]));
}

/** Keeps them, in the order of the pages' names. */
export function writeKernelAnswers(answers: ReadonlyMap<string, VectorCase>): void {
	const lines = [...answers.keys()].sort().map((id) => `${JSON.stringify(answers.get(id))}\n`);
	writeFileSync(path, lines.join(''));
}

/** A kernel's answer in the form that is judged: what the kernel chose is told in `fields`. */
export function withFields(answer: VectorCase): VectorCase {
	if (answer.modules === undefined) {
		// Only answers about modules tell interface ids of states.
		for (const state of answer.after.states) {
			delete (state as { if_id?: number }).if_id;
		}
	}
	const commands = [...answer.xfrm, ...answer.steps.flatMap((step) => step.ip ?? [])];
	const ivOctets = ivOctetsBySpi(commands);
	for (const step of answer.steps) {
		for (const emitted of step.expect.emit ?? []) {
			Object.assign(emitted, { fields: fieldsOf(emitted.packet, ivOctets) });
		}
	}
	return answer;
}

/** Was this answer given to this question? */
export function answers(answer: VectorCase, question: KernelQuestion): boolean {
	const { after: _after, errors: _errors, steps, ...asked } = answer;
	const asSteps = steps.map(({ expect: _expect, ...step }) => step);
	return JSON.stringify({ ...asked, steps: asSteps }) === JSON.stringify(question);
}
