/**
 * Does a state on the sec path satisfy a template (net/xfrm/xfrm_policy.c: xfrm_state_ok)? Input compares
 * less than output does when it selects a state: reqid 0 takes any, the destination is not looked at.
 *
 * @hotpath
 */
import { type Address, Family, IpProto, Mode, type Template } from '@xfrm/wire/xfrm';
import type { XfrmState } from './state.ts';

/**
 * @param family the flow's; the template's source is compared in it
 * @param ifId of the lookup
 * @spec I-18 I-19 P-13
 */
export function satisfiesTemplate(
	template: Template,
	state: XfrmState,
	family: number,
	ifId: number,
): boolean {
	if (state.kernelOwned) {
		return (
			template.optional !== 0 && sourceFits(template.saddr, state.saddr, template.family || family)
		);
	}
	return (
		state.proto === template.id.proto &&
		(template.id.spi === 0 || state.spi === (template.id.spi | 0)) &&
		(template.reqid === 0 || state.reqid === (template.reqid | 0)) &&
		state.mode === template.mode &&
		algorithmFits(template, state) &&
		(state.mode === Mode.Transport || sourceFits(template.saddr, state.saddr, family)) &&
		(ifId === 0 || ifId === state.ifId)
	);
}

/**
 * Is the state's authentication one of those the template allows? Only that mask is ever tested, by
 * PF_KEY numbers modulo 32, and only for protocols that have algorithms.
 *
 * @spec P-13 I-18
 */
export function algorithmFits(template: Template, state: XfrmState): boolean {
	if (
		(template.aalgos & template.ealgos & template.calgos) === -1 ||
		(template.aalgos & (1 << (state.auth === undefined ? 0 : state.auth.pfkeyId))) !== 0
	) {
		return true;
	}
	const { proto } = template.id;
	return proto !== IpProto.Esp && proto !== IpProto.Ah && proto !== IpProto.Comp;
}

/** Is the template's source any-address, or the state's? */
export function sourceFits(wanted: Address, source: Int32Array, family: number): boolean {
	const count = family === Family.Ipv4 ? 1 : 4;
	let any = 0;
	let difference = 0;
	for (let i = 0; i < count; i++) {
		const word =
			((wanted[4 * i] ?? 0) << 24) |
			((wanted[4 * i + 1] ?? 0) << 16) |
			((wanted[4 * i + 2] ?? 0) << 8) |
			(wanted[4 * i + 3] ?? 0);
		any |= word;
		difference |= word ^ (source[i] ?? 0);
	}
	return any === 0 || difference === 0;
}

/**
 * Place of a template among those of SUB and MAIN together, on input (output's is another).
 *
 * @spec P-22
 */
export function templateClass(template: Template | null): number {
	switch (template?.mode) {
		case Mode.Transport:
			return 1;
		case Mode.RouteOptimization:
		case Mode.InTrigger:
			return 2;
		case Mode.Tunnel:
		case Mode.Beet:
			return 3;
		default:
			return 4;
	}
}
