/** Edits for packets that leave: templates without a state, states at their end, no way for what comes out. */
import { StateCondition, type TemplateTrace, type XfrmPolicy, type XfrmState } from '@xfrm/engine';
import { type Flow, formatHex32 } from '@xfrm/wire';
import {
	addressEquals,
	anySelector,
	Family,
	formatAddress,
	IpProto,
	isAnyAddress,
	Mode,
	type StateConfig,
	StateFlag,
	type Template,
	UNLIMITED,
} from '@xfrm/wire/xfrm';
import {
	addState,
	deletePolicy,
	type Generator,
	isOwnAddress,
	remakeState,
	type Situation,
	selectorTakes,
	updatePolicy,
} from './fix-parts.ts';
import type { Edit } from './fix-trial.ts';
import { hexNumber, modeName, policyName, stateName, stateProtoName } from './names.ts';

/** What stands where somebody has to fill in a key. */
const NEW_KEY = 'KEY';
/** States that are compared with a template. */
const CANDIDATES_MAX = 4;

/** What keeps a state from a template: changes of the template, and of the state, that would bring them together. */
interface Gap {
	readonly state: XfrmState;
	readonly fields: readonly string[];
	readonly template: Partial<Template> | undefined;
	readonly stateChanges: Partial<StateConfig> | undefined;
}

function gapOf(at: Situation, wanted: TemplateTrace, state: XfrmState): Gap | undefined {
	const { template, policy } = wanted;
	const flow = at.digest.lastPolicyLookup?.flow;
	const { config } = state;
	if (state.family !== wanted.family) {
		return undefined;
	}
	const special = wrongTemplate(at, wanted, state);
	if (special !== undefined) {
		return special;
	}
	if (state.proto !== template.id.proto) {
		return undefined;
	}
	const fields: string[] = [];
	let ofTemplate: Partial<Template> | undefined = {};
	let ofState: Partial<StateConfig> | undefined = {};
	if (state.reqid >>> 0 !== template.reqid >>> 0) {
		fields.push('reqid');
		ofTemplate = { ...ofTemplate, reqid: state.reqid >>> 0 };
		ofState = { ...ofState, reqid: template.reqid };
	}
	if (state.mode !== template.mode) {
		fields.push('mode');
		ofTemplate = { ...ofTemplate, mode: state.mode };
		ofState = { ...ofState, mode: template.mode };
	}
	if (template.id.spi !== 0 && template.id.spi >>> 0 !== state.spi >>> 0) {
		fields.push('spi');
		ofTemplate = { ...ofTemplate, id: { ...template.id, spi: 0 } };
		ofState = undefined;
	}
	const src = addressEquals(config.saddr, wanted.saddr, state.family);
	const dst = addressEquals(config.id.daddr, wanted.daddr, state.family);
	if (!src || !dst) {
		// A tunnel's template without addresses asks for none that a tunnel could have.
		const blank = isAnyAddress(template.id.daddr, wanted.family) && isTunnel(template.mode);
		fields.push(...(src || blank ? [] : ['src']), ...(dst ? [] : ['dst']));
		const named = blank || !isAnyAddress(template.id.daddr, wanted.family);
		ofTemplate =
			named && ofTemplate !== undefined
				? {
						...ofTemplate,
						saddr: config.saddr,
						id: { ...(ofTemplate.id ?? template.id), daddr: config.id.daddr },
					}
				: undefined;
		ofState =
			ofState === undefined
				? undefined
				: { ...ofState, saddr: wanted.saddr, id: { ...config.id, daddr: wanted.daddr } };
	}
	const own = ownGap(state, policy, flow);
	fields.push(...own.fields);
	if (own.fields.length > 0) {
		ofTemplate = undefined;
		ofState = ofState === undefined ? undefined : { ...ofState, ...own.changes };
	}
	return { state, fields, template: ofTemplate, stateChanges: ofState };
}

/** ESP and AH may have been mixed up; the addresses exchanged; or mode transport, which looks at none, written for tunnel. */
function wrongTemplate(at: Situation, wanted: TemplateTrace, state: XfrmState): Gap | undefined {
	const { template, policy } = wanted;
	const { config, family } = state;
	const own = ownGap(state, policy, at.digest.lastPolicyLookup?.flow);
	const agrees = (saddr: Uint8Array, daddr: Uint8Array): boolean =>
		addressEquals(config.saddr, saddr, family) && addressEquals(config.id.daddr, daddr, family);
	const sameReqid = state.reqid >>> 0 === template.reqid >>> 0;
	const isSecurity = (proto: number): boolean => proto === IpProto.Esp || proto === IpProto.Ah;
	const gap = (fields: string[], changes: Partial<Template>): Gap => ({
		state,
		fields,
		template: changes,
		stateChanges: undefined,
	});
	if (!sameReqid || own.fields.length > 0) {
		return undefined;
	}
	const sameProto = state.proto === template.id.proto;
	if (sameProto && template.mode === Mode.Transport && state.mode === Mode.Tunnel) {
		return agrees(template.saddr, template.id.daddr) && !agrees(wanted.saddr, wanted.daddr)
			? gap(['mode'], { mode: state.mode })
			: undefined;
	}
	if (state.mode !== template.mode) {
		return undefined;
	}
	const bothSecurity = isSecurity(state.proto) && isSecurity(template.id.proto);
	if (!sameProto && bothSecurity && agrees(wanted.saddr, wanted.daddr)) {
		return gap(['proto'], { id: { ...template.id, proto: state.proto, spi: 0 } });
	}
	const back =
		isTunnel(template.mode) &&
		isOwnAddress(at, family, template.id.daddr) &&
		!isOwnAddress(at, family, config.id.daddr);
	return sameProto && back && agrees(template.id.daddr, template.saddr)
		? gap(['src and dst'], {
				saddr: config.saddr,
				id: { ...template.id, daddr: config.id.daddr },
			})
		: undefined;
}

function isTunnel(mode: number): boolean {
	return mode === Mode.Tunnel || mode === Mode.Beet || mode === Mode.Iptfs;
}

/** Fields that only the state has. */
function ownGap(
	state: XfrmState,
	policy: XfrmPolicy,
	flow: Flow | undefined,
): { readonly fields: readonly string[]; readonly changes: Partial<StateConfig> } {
	const fields: string[] = [];
	let changes: Partial<StateConfig> = {};
	if (state.ifId !== policy.ifId) {
		fields.push('if_id');
		changes = { ...changes, ifId: policy.ifId >>> 0 };
	}
	if (!state.markFits(flow?.mark ?? 0)) {
		fields.push('mark');
		changes = { ...changes, mark: { v: policy.markValue >>> 0, m: policy.markMask >>> 0 } };
	}
	if (flow !== undefined && !selectorFits(state, flow)) {
		fields.push('sel');
		const { family } = state.config.selector;
		changes =
			family !== Family.Unspec && family !== flow.family
				? { ...changes, ...anyFamily(state) }
				: { ...changes, selector: policy.config.selector };
	}
	if (state.direction === 1) {
		fields.push('dir');
		changes = { ...changes, direction: 2 };
	}
	return { fields, changes };
}

/** What lets packets of both families through a state: no selector, and the flag that keeps it so. */
function anyFamily(state: XfrmState): Partial<StateConfig> {
	const flags = state.config.flags | StateFlag.AfUnspec;
	return { flags, selector: anySelector(Family.Unspec) };
}

/** Is the flow one that the state's selector takes? */
function selectorFits(state: XfrmState, flow: Flow): boolean {
	const { selector } = state.config;
	if (selector.family !== Family.Unspec && selector.family !== flow.family) {
		return false;
	}
	if (selector.prefixlenS === 0 && selector.prefixlenD === 0 && selector.proto === 0) {
		return true;
	}
	return selectorTakes({ ...selector, family: selector.family || flow.family }, flow);
}

/** States that nearly fit the template: the template is made to ask for them, or they are made to fit it. */
export const alignStates: Generator = (at) => {
	const { template: wanted, stateSelect } = at.digest;
	if (wanted === undefined || stateSelect === undefined || stateSelect.winner !== undefined) {
		return [];
	}
	const gaps = stateSelect.losers
		.slice(0, 64)
		.map(({ object }) => gapOf(at, wanted, object))
		.filter((gap) => gap !== undefined)
		// Another destination and another reqid: that is another tunnel.
		.filter(({ fields }) => fields.length <= 2 && !(fields.includes('dst') && fields.length > 1))
		.filter(({ fields, state }) => !(fields.includes('reqid') && isOfAnother(at, wanted, state)))
		.sort((a, b) => a.fields.length - b.fields.length)
		.slice(0, CANDIDATES_MAX);
	return gaps.flatMap((gap) => [...templateEdits(at, wanted, gap), ...stateEdits(at, wanted, gap)]);
};

/** Do both reqids have a tunnel to name: this state's other policies, the template one that is to come? */
function isOfAnother(
	at: Situation,
	{ policy, template }: TemplateTrace,
	state: XfrmState,
): boolean {
	if (template.reqid === 0 || state.reqid === 0) {
		return false;
	}
	return [...at.before.world.engine.policies()].some(
		(other) =>
			other !== policy &&
			other.direction === policy.direction &&
			other.templates.some(
				({ id, reqid }) => (reqid | 0) === state.reqid && id.proto === state.proto,
			),
	);
}

function templateEdits(at: Situation, wanted: TemplateTrace, gap: Gap): Edit[] {
	const { policy, position } = wanted;
	const { template: changes, state, fields } = gap;
	if (changes === undefined || policy.socketId !== 0 || fields.length === 0) {
		return [];
	}
	const templates = policy.templates.map((one, i) =>
		i === templateIndex(wanted, position) ? { ...one, ...changes } : one,
	);
	const what = fields.map(
		(field) => `${field} ${templateValue(field, { ...wanted.template, ...changes })}`,
	);
	return [
		{
			text:
				`let the template of ${policyName(policy)} ask for ${what.join(', ')}, as ` +
				`${stateName(state)} has it`,
			commands: [updatePolicy(at, policy, { templates })],
			want: 'protected',
		},
	];
}

/** The place of a template in its own policy: with a sub policy the positions of both are counted. */
function templateIndex(wanted: TemplateTrace, position: number): number {
	const found = wanted.policy.templates.indexOf(wanted.template);
	return found >= 0 ? found : position;
}

function templateValue(field: string, template: Template): string {
	switch (field) {
		case 'reqid':
			return `${template.reqid}`;
		case 'mode':
			return modeName(template.mode);
		case 'spi':
			return 'any';
		case 'proto':
			return stateProtoName(template.id.proto);
		case 'src and dst':
			return 'the other way round';
		case 'src':
			return formatAddress(template.saddr, template.family === 2 ? Family.Ipv4 : Family.Ipv6);
		default:
			return formatAddress(template.id.daddr, template.family === 2 ? Family.Ipv4 : Family.Ipv6);
	}
}

function stateEdits(at: Situation, wanted: TemplateTrace, gap: Gap): Edit[] {
	const { state, stateChanges, fields } = gap;
	if (stateChanges === undefined || fields.length === 0) {
		return [];
	}
	const owner = policyName(wanted.policy);
	const opened = fields.length === 1 && stateChanges.selector?.family === Family.Unspec;
	return [
		{
			text: opened
				? `let ${stateName(state)} take packets of both families: no selector, flag af-unspec`
				: `give ${stateName(state)} the ${fields.join(', ')} that ${owner} asks for ` +
					`(${valuesText(stateChanges)})`,
			commands: remakeState(at, state, stateChanges),
			want: 'protected',
		},
	];
}

/** `reqid 5, if_id 0x1`. */
export function valuesText(changes: Partial<StateConfig>): string {
	const parts: string[] = [];
	if (changes.reqid !== undefined) {
		parts.push(`reqid ${changes.reqid >>> 0}`);
	}
	if (changes.mode !== undefined) {
		parts.push(`mode ${modeName(changes.mode)}`);
	}
	if (changes.ifId !== undefined) {
		parts.push(changes.ifId === 0 ? 'no if_id' : `if_id ${hexNumber(changes.ifId)}`);
	}
	if (changes.mark !== undefined) {
		const { v, m } = changes.mark;
		parts.push(m === 0 ? 'no mark' : `mark ${hexNumber(v)}/${hexNumber(m)}`);
	}
	if (changes.selector !== undefined) {
		parts.push(changes.selector.family === Family.Unspec ? 'flag af-unspec' : 'its selector');
	}
	if (changes.direction !== undefined) {
		parts.push(`dir ${changes.direction === 1 ? 'in' : 'out'}`);
	}
	if (changes.id !== undefined && changes.saddr !== undefined) {
		parts.push('its addresses');
	}
	return parts.join(', ');
}

/** An SPI that no state has. */
export function freshSpi(at: Situation): number {
	const used = new Set([...at.before.world.engine.states()].map((state) => state.spi >>> 0));
	for (let spi = 0xc0de0001; ; spi++) {
		if (!used.has(spi)) {
			return spi;
		}
	}
}

/** Octets that stand for a key nobody knows yet, as long as the model's. */
function otherKey(key: Uint8Array): Uint8Array {
	return key.map((octet, i) => (octet ^ 0x5a ^ i) & 0xff);
}

/** The model's algorithms with keys of their own. */
export function withNewKeys(config: StateConfig): StateConfig {
	const { aead, auth, crypt } = config;
	return {
		...config,
		...(aead === undefined ? {} : { aead: { ...aead, key: otherKey(aead.key) } }),
		...(auth === undefined ? {} : { auth: { ...auth, key: otherKey(auth.key) } }),
		...(crypt === undefined ? {} : { crypt: { ...crypt, key: otherKey(crypt.key) } }),
	};
}

const NO_KEY = { key: new Uint8Array(0), keyBits: 0 };

/** Algorithms where no state shows which ones the two ends agreed on. */
function defaultAlgorithms(proto: number): Partial<StateConfig> {
	switch (proto) {
		case IpProto.Esp:
			return {
				aead: {
					name: 'rfc4106(gcm(aes))',
					key: new Uint8Array(20).fill(0x5a),
					keyBits: 160,
					icvBits: 128,
				},
			};
		case IpProto.Ah:
			return {
				auth: {
					name: 'hmac(sha256)',
					key: new Uint8Array(32).fill(0x5a),
					keyBits: 256,
					truncBits: 128,
				},
			};
		case IpProto.Comp:
			return { comp: { name: 'deflate', ...NO_KEY } };
		default:
			return {};
	}
}

/** A state as a template asks for it; algorithms are those of the nearest state of its protocol. */
export function stateForTemplate(
	at: Situation,
	wanted: {
		readonly template: Template;
		readonly family: number;
		readonly saddr: Uint8Array;
		readonly daddr: Uint8Array;
	},
	policy: XfrmPolicy,
	spi: number,
): StateConfig {
	const { template, family, saddr, daddr } = wanted;
	const { engine } = at.before.world;
	const model = [...engine.states()]
		.filter(
			(state) =>
				state.proto === template.id.proto &&
				!state.kernelOwned &&
				state.condition === StateCondition.Valid,
		)
		.map((state) => ({
			config: engine.snapshotState(state),
			near:
				(state.reqid >>> 0 === template.reqid >>> 0 ? 2 : 0) +
				(addressEquals(state.config.saddr, daddr, family) ? 1 : 0) +
				(addressEquals(state.config.id.daddr, daddr, family) ? 1 : 0),
		}))
		.sort((a, b) => b.near - a.near)[0]?.config;
	const { aead, auth, crypt, comp } = model ?? defaultAlgorithms(template.id.proto);
	return withNewKeys({
		id: { daddr, spi, proto: template.id.proto },
		saddr,
		family,
		selector: anySelector(0),
		lifetime: UNLIMITED,
		reqid: template.reqid,
		mode: template.mode,
		// IPComp has no numbers: with a window it would take nothing.
		replayWindow: template.id.proto === IpProto.Comp ? 0 : 32,
		flags: policy.family !== family && template.mode !== Mode.Transport ? 32 : 0,
		seq: 0,
		...(aead === undefined ? {} : { aead }),
		...(auth === undefined ? {} : { auth }),
		...(crypt === undefined ? {} : { crypt }),
		...(comp === undefined ? {} : { comp }),
		...(policy.markMask === 0
			? {}
			: { mark: { v: policy.markValue >>> 0, m: policy.markMask >>> 0 } }),
		...(policy.ifId === 0 ? {} : { ifId: policy.ifId >>> 0 }),
	});
}

/** No state fits the template: it is added, as a key manager would. */
export const addMissingState: Generator = (at) => {
	const { template: wanted, stateSelect } = at.digest;
	if (wanted === undefined || stateSelect === undefined || stateSelect.winner !== undefined) {
		return [];
	}
	const { policy, template } = wanted;
	const proto = template.id.proto;
	if (proto !== IpProto.Esp && proto !== IpProto.Ah && proto !== IpProto.Comp) {
		return [];
	}
	const own = template.id.spi !== 0 ? template.id.spi : freshSpi(at);
	const spi = proto === IpProto.Comp ? own & 0xffff : own;
	const config = stateForTemplate(at, wanted, policy, spi >>> 0);
	const peer = `${stateProtoName(proto)} state with the same SPI and key`;
	return [
		{
			text:
				`add the state that ${policyName(policy)} asks for: start the key manager again (IKE), or by hand;` +
				` the peer needs the same ${peer}`,
			commands: [addState(at, config, { word: NEW_KEY })],
			want: 'protected',
		},
		...leftOver(at, wanted),
	];
};

/** Policies of a tunnel of which no state is left, neither way: they may be left over. */
function leftOver(at: Situation, wanted: TemplateTrace): Edit[] {
	const { template, policy } = wanted;
	const { engine } = at.before.world;
	const of = (one: XfrmPolicy): boolean =>
		one.socketId === 0 &&
		one.templates.some(
			(other) => other.reqid === template.reqid && other.id.proto === template.id.proto,
		);
	const inUse = [...engine.states()].some(
		(state) =>
			state.reqid >>> 0 === template.reqid >>> 0 && state.condition === StateCondition.Valid,
	);
	if (template.reqid === 0 || inUse || policy.socketId !== 0) {
		return [];
	}
	const left = [...engine.policies()].filter(of).slice(0, 4);
	return left.length < 2
		? []
		: [
				{
					text:
						`if the tunnel with reqid ${template.reqid} was ended for good, its policies are left over: without them` +
						' the traffic leaves in clear',
					commands: left.map((one) => deletePolicy(at, one)),
					want: 'clear',
					last: true,
				},
			];
}

/** A state for the other direction. */
export const turnState: Generator = (at) => {
	const { answer, digest } = at;
	const inward = answer.counter === 'XfrmInStateDirError';
	const state = digest.refused ?? digest.verdictOf(answer.counter ?? undefined)?.state;
	if (state === undefined || (!inward && answer.counter !== 'XfrmOutStateDirError')) {
		return [];
	}
	const direction = inward ? 1 : 2;
	return [
		{
			text: `make ${stateName(state)} one for dir ${inward ? 'in' : 'out'}`,
			commands: remakeState(at, state, { direction }),
			want: 'protected',
		},
	];
};

/** `state 0x00000101` for texts that name a state by its configuration. */
export function configName(config: StateConfig): string {
	return `state ${formatHex32(config.id.spi)}`;
}
