/** A host for tests of stories: addresses, one tunnel and what goes with it. */
import { nodeProvider } from '@xfrm/crypto/node';
import { type KernelProfile, linux61 } from '@xfrm/engine';
import type { Answer } from './answer.ts';
import { Explainer, type PacketOptions } from './explainer.ts';
import { makePacket, parseFlow } from './flow-text.ts';
import { splitWords } from './input.ts';

export const KEY = '0x3f1a5be2c8d04976aa10e5cd27b3648f9e02c571';

/** A state of ESP with AES-GCM; `more` are further words. */
export function state(src: string, dst: string, spi: string, more = ''): string {
	const aead = `aead 'rfc4106(gcm(aes))' ${KEY} 128`;
	return `xfrm state add src ${src} dst ${dst} proto esp spi ${spi} mode tunnel ${more} ${aead}`;
}

/** A policy with one ESP tunnel template. */
export function policy(selector: string, src: string, dst: string, more = ''): string {
	return `xfrm policy add ${selector} tmpl src ${src} dst ${dst} proto esp ${more} mode tunnel`;
}

/** A gateway with lan 10.1.0.1/16 and wan 192.0.2.1/24, and these rules. */
export function gateway(...rules: readonly string[]): Explainer {
	return gatewayAt('10.1.0.1/16', '192.0.2.1/24', rules);
}

/** A gateway with these addresses. */
export function gatewayAt(
	lan: string,
	wan: string,
	rules: readonly string[],
	profile: KernelProfile = linux61,
): Explainer {
	const explainer = new Explainer({
		profile,
		provider: nodeProvider(),
		random: (bytes) => bytes.fill(0x5a),
		startUs: 1_700_000_000_000_000,
	});
	const setup = [`addr add ${lan} dev lan`, `addr add ${wan} dev wan`, 'route add default dev wan'];
	for (const command of [...setup, ...rules]) {
		const { status, stderr } = explainer.run(command);
		if (status !== 0) {
			throw new Error(`${command}: ${stderr}`);
		}
	}
	explainer.takeEvents();
	return explainer;
}

/** Asks about a flow. */
export function ask(explainer: Explainer, flow: string, options: PacketOptions = {}): Answer {
	const { direction, mark, ifId, device, ...rest } = parseFlow(splitWords(flow));
	return explainer.ask(makePacket(rest as ReturnType<typeof parseFlow>), {
		...options,
		...(direction === undefined ? {} : { direction }),
		...(mark === undefined ? {} : { mark }),
		...(ifId === undefined ? {} : { ifId }),
		...(device === undefined ? {} : { device }),
	});
}

/** All near misses of an answer as `object field want have`. */
export function misses(answer: Answer): string[] {
	return answer.steps.flatMap((step) =>
		(step.near ?? []).map(({ object, field, want, have }) => {
			const name = object.spi ?? `${object.dir} ${object.index}`;
			return `${step.step} ${name} ${field}: ${want}, ${have}`;
		}),
	);
}
