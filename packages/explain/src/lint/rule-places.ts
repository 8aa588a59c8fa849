/**
 * Where in a text each object of a world was made, so that findings can name lines. Objects are told apart as
 * Linux tells them apart, not as they were loaded: an update has the line of what it updates as well.
 */
import type { XfrmPolicy, XfrmState } from '@xfrm/engine';
import type { RulesStep } from '@xfrm/iproute';
import {
	attributeValue,
	decodeMessage,
	policyConfigOf,
	splitMessages,
	stateConfigOf,
	type XfrmMessage,
} from '@xfrm/netlink';
import type { PolicyConfig, StateConfig } from '@xfrm/wire/xfrm';

/** Lines of a file, counted from 1, both in it. */
export interface RulePlace {
	readonly file: string;
	readonly line: number;
	readonly lastLine: number;
}

export class RulePlaces {
	readonly #places: Map<string, RulePlace> = new Map();

	/** Notes what a step of a file makes; of several that make the same the last one counts. */
	note(file: string, step: RulesStep): void {
		const { line } = step;
		const lastLine = step.kind === 'command' ? line : step.lastLine;
		for (const message of messagesOf(step)) {
			const name = nameOf(message);
			if (name !== undefined) {
				this.#places.set(name, { file, line, lastLine });
			}
		}
	}

	placeOf(object: XfrmPolicy | XfrmState): RulePlace | undefined {
		const name = 'templates' in object ? policyName(object.config) : stateName(object.config);
		return this.#places.get(name);
	}
}

function messagesOf(step: RulesStep): readonly XfrmMessage[] {
	return step.kind === 'command'
		? step.command.requests
				.flatMap((request) => splitMessages(request).map((raw) => decodeMessage(raw)))
				.filter((message) => message !== undefined)
		: [step.message];
}

function nameOf(message: XfrmMessage): string | undefined {
	switch (message.name) {
		case 'newsa':
		case 'updsa': {
			const { body, attributes } = message;
			return stateName(stateConfigOf(body, { get: (name) => attributeValue(attributes, name) }));
		}
		case 'newpolicy':
		case 'updpolicy': {
			const { body, attributes } = message;
			return policyName(policyConfigOf(body, { get: (name) => attributeValue(attributes, name) }));
		}
		default:
			return undefined;
	}
}

function policyName({ selector, direction, type, mark, ifId }: PolicyConfig): string {
	const { saddr, daddr, ...rest } = selector;
	const own = Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1));
	return `policy ${direction} ${type} ${markText(mark)} ${ifId ?? 0} ${saddr.join()} ${daddr.join()} ${own.join()}`;
}

function stateName({ id, family, saddr, mark }: StateConfig): string {
	const { daddr, spi, proto } = id;
	// Larval states have no SPI: their ends tell them apart.
	return `state ${family} ${proto} ${spi >>> 0} ${daddr.join()} ${spi === 0 ? saddr.join() : ''} ${markText(mark)}`;
}

function markText(mark: PolicyConfig['mark']): string {
	return mark === undefined ? '0' : `${(mark.v & mark.m) >>> 0} ${mark.m >>> 0}`;
}
