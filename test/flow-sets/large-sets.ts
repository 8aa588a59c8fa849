/**
 * `npm run test:flow-sets -- --large`: how long questions about practical sets of ten thousand policies take.
 * The bound is 10 s each, processor time; loading the rules is told apart.
 */
import { nodeProvider } from '@xfrm/crypto/node';
import { linux619 } from '@xfrm/engine';
import { diffRules, Explainer, prove, type World } from '@xfrm/explain';

const SECONDS_MAX = 10;
const HUB = '192.0.2.1';

function keyOf(spi: number): string {
	return `aead 'rfc4106(gcm(aes))' 0x${spi.toString(16).padStart(8, '0').repeat(5)} 128`;
}

function siteAddress(site: number): string {
	return `198.${18 + (site >> 15)}.${(site >> 7) & 255}.${(site & 127) + 1}`;
}

function states(site: number, generation: number): string[] {
	const peer = siteAddress(site);
	const spi = 0x01000000 * (generation + 1) + 2 * site;
	return [
		`state add src ${HUB} dst ${peer} proto esp spi ${spi} reqid ${site} mode tunnel ${keyOf(spi)}`,
		`state add src ${peer} dst ${HUB} proto esp spi ${spi + 1} reqid ${site} mode tunnel ${keyOf(spi + 1)}`,
	];
}

function triple(
	site: number,
	own: string,
	other: string,
	upper: string,
	priority: number,
): string[] {
	const peer = siteAddress(site);
	const template = (src: string, dst: string): string =>
		`tmpl src ${src} dst ${dst} proto esp reqid ${site} mode tunnel`;
	const back = upper.replace('dport', 'sport');
	return [
		`policy add src ${own} dst ${other} ${upper} dir out priority ${priority} ${template(HUB, peer)}`,
		`policy add src ${other} dst ${own} ${back} dir in priority ${priority} ${template(peer, HUB)}`,
		`policy add src ${other} dst ${own} ${back} dir fwd priority ${priority} ${template(peer, HUB)}`,
	];
}

function net(site: number): string {
	return `10.${64 + (site >> 8)}.${site & 255}.0/24`;
}

/** Every site's network to the hub's. */
function hub(generation: number): string[] {
	return Array.from({ length: 3400 }, (_, i) => [
		...states(i + 1, generation),
		...triple(i + 1, '10.0.0.0/16', net(i), '', 371327),
	]).flat();
}

/** Pods of forty nodes: pairs of addresses. */
function pods(generation: number): string[] {
	const pod = (i: number): string => `10.244.${i >> 6}.${i & 63}/32`;
	return Array.from({ length: 3400 }, (_, i) => [
		...(i < 40 ? states(i + 1, generation) : []),
		...triple((i % 40) + 1, pod(i % 64), pod(64 + i), '', 2000),
	]).flat();
}

/** As strongSwan installs them: services by port on every network, with priorities by how narrow they are. */
function services(generation: number): string[] {
	const uppers = [
		'proto tcp dport 443',
		'proto tcp dport 22',
		'proto udp dport 53',
		'proto icmp',
		'',
	];
	return Array.from({ length: 680 }, (_, i) => [
		...states(i + 1, generation),
		...uppers.flatMap((upper, j) =>
			triple(i + 1, `10.0.${i % 16}.0/24`, net(i), upper, 371327 + 64 * j + (i % 3)),
		),
	]).flat();
}

const QUESTIONS = [
	'src 10.0.0.0/8 dst 10.0.0.0/8 dir out never pass',
	'src 10.0.3.0/24 dst 10.64.0.0/12 proto tcp dport 443 dir out always transform',
	'dir in never pass',
	'dir fwd never drop',
	'dir out',
	'src 10.244.0.0/16 dst 10.244.0.0/16 proto tcp,udp dport 1-1023 dir out always protected',
];

function load(rules: readonly string[]): World {
	const explainer = new Explainer({
		profile: linux619,
		provider: nodeProvider(),
		random: (bytes) => bytes.fill(7),
		startUs: 1_700_000_000_000_000,
	});
	for (const rule of rules) {
		const { status, stderr } = explainer.run(`xfrm ${rule}`);
		if (status !== 0) {
			throw new RangeError(`${rule}: ${stderr}`);
		}
	}
	explainer.takeEvents();
	explainer.prepare();
	return explainer.world;
}

function secondsOf<T>(work: () => T): readonly [result: T, seconds: number] {
	const start = process.cpuUsage();
	const result = work();
	const { user, system } = process.cpuUsage(start);
	return [result, (user + system) / 1e6];
}

/** Prints the table; the number of rows that took too long. */
export function runLarge(): number {
	let slow = 0;
	const tell = (what: string, seconds: number, result: string): void => {
		slow += seconds > SECONDS_MAX ? 1 : 0;
		process.stdout.write(`  ${seconds.toFixed(2).padStart(6)} s  ${what.padEnd(88)} ${result}\n`);
	};
	for (const make of [hub, pods, services]) {
		const rules = make(0);
		const [world, seconds] = secondsOf(() => load(rules));
		const count = [...world.engine.policies()].length;
		process.stdout.write(`${make.name}: ${count} policies, loaded in ${seconds.toFixed(1)} s\n`);
		for (const question of QUESTIONS) {
			const [proof, took] = secondsOf(() => prove(world, question));
			const boxes = proof.boxes.length + proof.left_out;
			tell(question, took, `${proof.holds ?? ''} ${boxes} boxes, rest ${proof.rest.boxes}`);
		}
		const gone = rules.filter((_, i) => i !== rules.length - 2);
		const changes: readonly (readonly [string, readonly string[]])[] = [
			['diff: one policy removed', gone],
			['diff: everything rekeyed', make(1)],
			['diff: restarted, all in another order', [...rules].reverse()],
		];
		for (const [what, changed] of changes) {
			const after = load(changed);
			const [diff, took] = secondsOf(() => diffRules(world, after));
			const shown = `${diff.changes.length + diff.left_out} changes, ${diff.rekeyed.length} rekeyed`;
			tell(what, took, shown);
		}
	}
	return slow;
}
