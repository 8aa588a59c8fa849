/** Requests about the databases as wholes: counts, thresholds, defaults; and MIGRATE (spec 2.3). */
import { AttributeCollector, type MessageBodies, optional } from '@xfrm/netlink';
import { DefaultAction, Direction, Family, Group, MAX_DEPTH, type Refusal } from '@xfrm/wire/xfrm';
import { buildMessage, type RequestContext, replyHeader } from './context.ts';
import { policyTypeOf } from './policy-verify.ts';
import { invalid, refused } from './xfrm-error.ts';

export function getSadInfo(context: RequestContext, body: MessageBodies['getsadinfo']): void {
	const info = context.engine.sadInfo();
	const attributes = new AttributeCollector()
		.add('sadCnt', info.stateCount)
		.add('sadHinfo', { sadhcnt: info.bucketCount, sadhmcnt: info.bucketCountMax });
	context.reply(buildMessage('newsadinfo', replyHeader(context), body, attributes.list));
}

export function getSpdInfo(context: RequestContext, body: MessageBodies['getspdinfo']): void {
	const info = context.engine.spdInfo();
	const [incnt, outcnt, fwdcnt, inscnt, outscnt, fwdscnt] = info.counts;
	const [local4, remote4] = info.threshold4;
	const [local6, remote6] = info.threshold6;
	const attributes = new AttributeCollector()
		.add('spdInfo', { incnt, outcnt, fwdcnt, inscnt, outscnt, fwdscnt })
		.add('spdHinfo', { spdhcnt: info.bucketMask, spdhmcnt: info.bucketCountMax })
		.add('spdIpv4Hthresh', { lbits: local4, rbits: remote4 })
		.add('spdIpv6Hthresh', { lbits: local6, rbits: remote6 });
	context.reply(buildMessage('newspdinfo', replyHeader(context), body, attributes.list));
}

function check(refusal: Refusal | undefined): void {
	if (refusal !== undefined) {
		refused(refusal);
	}
}

/** Both thresholds are checked before either is set. @spec P-11 */
export function setThresholds(context: RequestContext): void {
	const { attributes, engine } = context;
	const says = engine.net.profile.refusalTexts;
	const ipv4 = attributes.get('spdIpv4Hthresh');
	const ipv6 = attributes.get('spdIpv6Hthresh');
	if (ipv4 !== undefined && (ipv4.lbits > 32 || ipv4.rbits > 32)) {
		invalid(says ? 'Invalid hash threshold (must be <= 32 for IPv4)' : undefined);
	}
	if (ipv6 !== undefined && (ipv6.lbits > 128 || ipv6.rbits > 128)) {
		invalid(says ? 'Invalid hash threshold (must be <= 128 for IPv6)' : undefined);
	}
	if (ipv4 !== undefined) {
		check(engine.setThreshold(Family.Ipv4, ipv4.lbits, ipv4.rbits));
	}
	if (ipv6 !== undefined) {
		check(engine.setThreshold(Family.Ipv6, ipv6.lbits, ipv6.rbits));
	}
}

function defaults(context: RequestContext): MessageBodies['getdefault'] {
	const [input, output, forward] = context.engine.net.defaults;
	return { in: input, fwd: forward, out: output };
}

export function getDefault(context: RequestContext): void {
	context.reply(buildMessage('getdefault', replyHeader(context), defaults(context)));
}

/** Values that are neither block nor accept leave a direction as it is. @spec D-1 */
export function setDefault(context: RequestContext, body: MessageBodies['setdefault']): void {
	const wanted = [
		[Direction.In, body.in],
		[Direction.Fwd, body.fwd],
		[Direction.Out, body.out],
	] as const;
	for (const [direction, action] of wanted) {
		if (action === DefaultAction.Block || action === DefaultAction.Accept) {
			context.engine.setDefault(direction, action);
		}
	}
	context.notify({
		group: Group.Policy,
		message: () => buildMessage('getdefault', { seq: 0, pid: 0 }, defaults(context)),
	});
}

/** The engine tells of a migration by its own event. @spec G-1 */
export function migrate(context: RequestContext, body: MessageBodies['migrate']): void {
	const { attributes, engine } = context;
	const says = engine.net.profile.refusalTexts;
	const entries =
		attributes.get('migrate') ?? invalid(says ? 'Missing required MIGRATE attribute' : undefined);
	const type = policyTypeOf(attributes);
	if (entries.length === 0 || entries.length > MAX_DEPTH) {
		const text = `Invalid number of SAs to migrate, must be 0 < num <= XFRM_MAX_DEPTH (${MAX_DEPTH})`;
		invalid(says ? text : undefined);
	}
	check(
		engine.migrate(
			{
				selector: body.selector,
				direction: body.direction,
				type,
				ifId: attributes.get('ifId') ?? 0,
				entries,
				...optional('kmAddress', attributes.get('kmaddress')),
				...optional('encap', attributes.get('encap')),
			},
			context.nowUs,
		),
	);
}
