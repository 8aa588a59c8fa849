/**
 * `npm run test:doctor`: `xfrm doctor` on machines with one thing wrong each, made in user-mode Linux guests:
 * what is wrong has to be told first, and on healthy ones nothing. Needs root and test/kernel/oracle/setup.
 */
import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { BASE, SET_UPS, type SetUp } from './set-ups.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const boot = `${root}test/kernel/oracle/boot`;
/** Seconds that a guest may take. */
const GUEST_SECONDS = 600;

/** What is done inside of the machine's namespace: made, looked at, taken away; `$DIR` is a folder for it. */
function machineOf({ script, tries, unprivileged }: SetUp): string {
	const drop = 'setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps -all';
	const doctor = `${unprivileged === true ? `${drop} ` : ''}node packages/cli/bin/xfrm.js doctor --json`;
	return `${BASE}
DAY=$(date +%s)
{ ${script}
} 2>$DIR/refused
cat $DIR/refused
${doctor}${tries === true ? '' : ' --no-try'} 2>&1
[ "$(date +%Y)" -gt 2000 ] || date -s @$DAY >/dev/null
[ -f $DIR/owners ] && kill $(cat $DIR/owners)
true`;
}

/** A machine in the guest; what is said about it stands behind a line with its number. */
function inNamespaces(setUp: SetUp, number: number): string {
	return `echo "set-up ${number}"; ip netns add a; ip netns add b; export DIR=$(mktemp -d)
ip netns exec a bash <<'MACHINE'
${machineOf(setUp)}
MACHINE
ip netns del a; ip netns del b`;
}

/** Makes a machine on the running kernel. */
function here(setUp: SetUp): readonly string[] {
	const script = `export DIR=$(mktemp -d)\n${machineOf(setUp)}\nrm -r $DIR`;
	const options = { cwd: root, encoding: 'utf8', timeout: GUEST_SECONDS * 1000 } as const;
	return spawnSync('unshare', ['-rn', 'bash', '-c', script], options).stdout.trim().split('\n');
}

/** Makes all machines in one guest; lines that were printed, by number of the set-up. */
async function inGuest(
	setUps: readonly (readonly [number, SetUp])[],
): Promise<ReadonlyMap<number, readonly string[]>> {
	const script = `cd ${JSON.stringify(root)}; mkdir -p /run/netns
modprobe -d "$UML_ROOT/usr/lib/uml" -S "$(uname -r)" -a nf_tables dummy veth
${setUps.map(([number, setUp]) => inNamespaces(setUp, number)).join('\n')}`;
	const args = ['-t', String(GUEST_SECONDS), '--', 'bash', '-c', script];
	const child = spawn(boot, args, { stdio: ['ignore', 'pipe', 'inherit'] });
	const told = new Map<number, string[]>();
	let lines: string[] = [];
	let rest = '';
	child.stdout.setEncoding('utf8');
	for await (const text of child.stdout as AsyncIterable<string>) {
		rest += text;
		for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
			const line = rest.slice(0, end);
			rest = rest.slice(end + 1);
			const number = /^set-up (\d+)$/.exec(line)?.[1];
			if (number === undefined) {
				lines.push(line);
			} else {
				lines = [];
				told.set(Number(number), lines);
				process.stderr.write(`\r${told.size} of ${setUps.length} `);
			}
		}
	}
	process.stderr.write('\r                \r');
	return told;
}

interface Told {
	readonly id: string;
	readonly severity: string;
	readonly text: string;
}

/** The first finding that is more than a note, or what went wrong. */
function firstOf(lines: readonly string[]): Told | undefined {
	const findings: Told[] = [];
	let ended = false;
	for (const line of lines) {
		if (!line.startsWith('{')) {
			return { id: '?', severity: '?', text: line };
		}
		const told = JSON.parse(line) as Told & { readonly object: string };
		ended ||= told.object === 'diagnosis';
		if (told.object === 'finding' && told.severity !== 'note') {
			findings.push(told);
		}
	}
	return ended ? findings[0] : { id: '?', severity: '?', text: 'no diagnosis' };
}

const numbered = SET_UPS.map((setUp, number) => [number, setUp] as const);
const only = process.argv[2];
const chosen = numbered.filter(([, { name }]) => only === undefined || name.includes(only));
const guests = chosen.filter(([, setUp]) => setUp.here !== true);
const told = new Map(guests.length === 0 ? [] : await inGuest(guests));
for (const [number, setUp] of chosen) {
	if (setUp.here === true) {
		told.set(number, here(setUp));
	}
}
let failed = 0;
for (const [number, { name, first }] of chosen) {
	const found = firstOf(told.get(number) ?? ['the guest did not come so far']);
	const good = found?.id === first;
	failed += good ? 0 : 1;
	const shown = found === undefined ? 'nothing' : `${found.id}: ${found.text}`;
	process.stdout.write(`${good ? 'ok  ' : 'FAIL'} ${name.padEnd(42)} ${shown.slice(0, 110)}\n`);
	if (!good) {
		process.stdout.write(`     expected ${first ?? 'nothing'}\n`);
	}
}
process.stdout.write(`${chosen.length - failed} of ${chosen.length}\n`);
process.exitCode = failed === 0 ? 0 : 1;
