/**
 * What `xfrm help` says, short, with examples that work; one table for the help, the manual page and the
 * completion of shells, which find commands and options in it by its layout.
 */
const MAIN = `xfrm: Linux's IPsec and Mobile IPv6 framework in user space, and answers about it

  xfrm explain --rules FILE [HOST] [[OPTIONS] PACKET]…   what happens to a packet, and why
  xfrm decrypt IN -o OUT --rules FILE                    a capture with what was inside its packets
  xfrm lookup --rules FILE FLOW | --batch FILE           which policies and states a flow meets
  xfrm prove --rules FILE QUESTION…                      does a claim hold for all flows of a set?
  xfrm diff BEFORE AFTER                                 flows that other rules treat otherwise
  xfrm lint FILE… | --kernel | --daemon                  what is wrong about rules
  xfrm [OPTIONS] state|policy|monitor …                  as ip xfrm, on the daemon or the kernel
  xfrm save [-o FILE]                                    states and policies in force as JSON
  xfrm load [--dry-run] FILE                             rules into kernel or daemon, all or none
  xfrm stat [--watch]                                    the counters, and what they mean
  xfrm top                                               states by traffic, drops by cause, live
  xfrm doctor                                            what this machine lacks or has wrong
  xfrm daemon                                            a kernel's XFRM in user space
  xfrm exec -- PROGRAM ARGS                              a program that the daemon serves
  xfrm demo                                              three packets, told from end to end
  xfrm completion bash|zsh|fish                          a script for your shell
  xfrm help [COMMAND], xfrm COMMAND --help
  xfrm --version

Exit status: 0 done, 1 the answer is no (dropped, no state), 2 bad usage or unreadable input.

Try
  xfrm demo
  xfrm help explain`;

const EXPLAIN = `xfrm explain --rules FILE [HOST] [[OPTIONS] PACKET]…

Asks a Linux host with these rules what happens to each packet: which policy and state it meets and
why not the others, what is done to its bytes, why it is dropped. State carries over from packet to
packet.

RULES  --rules FILE      ip xfrm commands, one a line; or what ip [-s|-o] xfrm state and policy
                         print, pasted as it is; or JSON of xfrm. Repeatable, - for stdin;
                         FILE#HOST where the text holds dumps of several hosts;
                         times in it are read in the time zone of TZ
       --kernel          in place of rules: those of the running kernel, and its addresses (root);
                         --daemon: those of the daemon of this network namespace
       --last-drop       with --daemon, in place of a packet: the one that it dropped last, with the
                         rules as they were; --drop N the Nth newest of those that it has kept
       --strict          a rule that Linux would refuse ends with status 2
HOST   --host FILE       ip address, route, rule, link commands, or what they print; modprobe
       --local ADDR[/LEN]  --route "PREFIX [via GW] [dev DEV]"  --sysctl KEY=VALUE
       --encap PORT[/espinudp|espinudp-nonike]   a UDP socket with UDP_ENCAP, beside those that
                         states with encap imply; --encap none: none is implied
       --tcp OURS:PORT,PEER:PORT   a TCP connection that carries ESP; its segments are packets too
       --listen udp/PORT|PROTOCOL   a socket that takes packets, and none is where none is named
                         (none: nowhere); without it somebody is taken to listen everywhere
       --no-listener     no key manager listens
OPTIONS hold for the packets after them
       --dir out|in|fwd  --mark M  --if-id I  --dev NAME  --time T|+SECONDS
       --sender socket|hdrincl|udp       a socket whose flow has ports, a raw one whose has none, or
                         a UDP socket, for which the host makes the headers;  --cpu N
       --iv HEX  --seq N  --ip-id N  --padding HEX   fix what is random or counted (outbound)
PACKET hex of an IP packet · @FILE (pcap, pcapng; @- is stdin) · a flow in quotes, as for lookup,
       for which one is made up (length OCTETS, df 0) · wait:SECONDS · do:COMMAND (of ip)
Anywhere
       --brief           the answer and the best fix, without the way
       --bytes           packets by header fields, before and after each transform; --steps in hex
       --why-not WHAT    why not this policy (out 9, fwd 2) or state (0x00000101); repeatable
       --both            the other end too: the packet there, its answer, the way back;
                         --peer-rules FILE are the peer's, else ours seen from there
       --no-fix          looks for no fix
       --profile linux61|linux619|linux72  --json  --show-keys

Examples, in a checkout
  xfrm explain --rules examples/site-a.xfrm --host examples/site-a.host \\
    'src 10.1.0.5 dst 10.2.0.9 proto udp dport 53'
  xfrm explain --rules examples/site-b.xfrm --host examples/site-b.host --dev wan \\
    @examples/site-b.pcap
  xfrm explain --json --rules examples/site-a.xfrm 'src 10.1.0.5 dst 10.3.0.9 proto tcp' \\
    wait:31 do:'xfrm policy flush' 'src 10.1.0.5 dst 10.3.0.9 proto tcp'`;

const DECRYPT = `xfrm decrypt IN -o OUT --rules FILE

Opens the packets of a capture by the keys of the rules, both ways, and writes what was inside, in
order, with the link headers and times that they had. What cannot be opened stays as it was, and is
counted by reason. Marks, limits, windows and policies play no part: only keys do. ESP in UDP and
extended sequence numbers are found out.

IN     pcap or pcapng, - is stdin; OUT is pcap (pcapng for frames of several kinds), - is stdout
RULES  as for xfrm explain; states with their keys (ip xfrm state as root, xfrm save --show-keys)
       --json            the summary as a line of JSON
       --profile linux61|linux619|linux72

Exit status 0 all was opened, 1 some stayed closed, 2 bad usage or a damaged capture.

Example, in a checkout
  xfrm decrypt examples/site-b.pcap -o plain.pcap --rules examples/site-b.xfrm`;

const LOOKUP = `xfrm lookup --rules FILE FLOW
xfrm lookup --rules FILE --batch FILE

What ip route get is for routes: which policies and states a flow meets. No packet is made, and
nothing is changed: each flow meets the rules as they were loaded.

FLOW   src ADDRESS dst ADDRESS [proto NAME|N] [sport N] [dport N] [type N] [code N] dir out|in|fwd
       [mark M] [if_id I] [dev NAME] [via SPI…]
       in and fwd count as unprotected unless via names the states that it came through, outermost
       first; fwd is the check for forwarding, then the lookup for output
RULES  as for xfrm explain (--rules FILE, repeatable, - for stdin), or --kernel, --daemon
       --batch FILE      a flow a line in, a line of JSON out, in order; - is stdin
       --json            of a single flow too (packages/cli/schema/lookup.schema.json)
       --no-listener     no key manager listens
       --profile linux61|linux619|linux72   --strict

Exit status as of explain; with --batch 0 unless a line cannot be read.

Examples, in a checkout
  xfrm lookup --rules examples/site-a.xfrm src 10.1.0.5 dst 10.2.0.9 proto udp dport 53 dir fwd
  xfrm lookup --rules examples/site-a.xfrm --batch flows.txt | jq -r .outcome | sort | uniq -c`;

const PROVE = `xfrm prove --rules FILE QUESTION…

Does a claim hold for every flow of a set? Answers with the flows for which it does not, and an
example; exact, by cutting the set up, not by trying. Without a claim it tells what becomes of all.

QUESTION  [src PREFIX,…] [dst PREFIX,…] [proto NAME,…] [sport A-B,…] [dport A-B,…] [type …] [code …]
       [mark V/M] [if_id N] [dev NAME] dir in|out|fwd [via SPI…] [never|always OUTCOME,…]
       what is not named is any; but if_id is 0, and in and fwd are unprotected without via
OUTCOME   pass (clear), transform (protected), drop, acquire, consume
RULES  as for xfrm explain (--rules FILE), or --kernel, --daemon
       --boxes N         boxes of flows that are told (20)
       --json            packages/cli/schema/prove.schema.json
       --no-listener     no key manager listens
       --profile linux61|linux619|linux72   --strict

Exit status 0 it holds, 1 it does not, 2 bad usage.

Examples, in a checkout
  xfrm prove --rules examples/site-a.xfrm 'src 10.1.0.0/16 dst 10.0.0.0/8 dir out never pass'
  xfrm prove --rules examples/site-a.xfrm 'dst 10.1.0.0/16 dir fwd always drop'`;

const DIFF = `xfrm diff BEFORE AFTER

Which flows are treated in another way by other rules: boxes of flows with an example each, for
every direction, if_id and device; arriving ones also as they come through each association. New
SPIs and keys, numbers and order of policies are no difference; rekeyed associations are listed.

BEFORE, AFTER  rules as for xfrm explain: commands, dumps, snapshots of xfrm save
       --json            packages/cli/schema/diff.schema.json
       --no-listener     no key manager listens
       --profile linux61|linux619|linux72

Exit status 0 every flow is treated as before, 1 some are not, 2 bad usage.

Example
  sudo xfrm save -o before.json; sudo swanctl --reload-conns; sudo xfrm save -o after.json
  xfrm diff before.json after.json                  (examples: docs/what-changed.md)`;

const LINT = `xfrm lint FILE… [--host FILE] [--nft FILE]
xfrm lint --kernel|--daemon [--nft FILE]

Looks rules over without a packet: templates that no state can serve and what keeps them apart,
missing directions, shadowed policies, ties, plaintext that is taken, windows, limits, algorithms,
keys, NAT, MTU … Each finding names its objects, what Linux does because of it, and what to do; it
has a page in docs/lint.md.

RULES  files as for xfrm explain (also --rules FILE), - for stdin; --kernel reads the running kernel,
                         --daemon the daemon of this network namespace
       --host FILE       ip address, route, link, as commands or as printed; --local ADDR[/LEN]
       --nft FILE        nft list ruleset, or iptables-save: source NAT before the lookup
       --fail-on error|warning|info|never    exit status 1 from this severity on (error)
       --json            a line a finding (packages/cli/schema/lint.schema.json)
       --sarif           SARIF 2.1.0, for CI systems
       --profile linux61|linux619|linux72

Exit status 0, 1 something as bad as --fail-on was found, 2 bad usage. Keys are never shown.

Examples, in a checkout
  xfrm lint examples/site-a.xfrm --host examples/site-a.host
  sudo nft list ruleset | sudo xfrm lint --kernel --nft - --fail-on warning`;

const IP = `xfrm [OPTIONS] state|policy|monitor …

The language of ip xfrm, its text and its exit statuses: what works behind "ip xfrm" works behind
"xfrm", on the daemon of this network namespace if one runs, else on the kernel. See also: xfrm
state help, xfrm policy help, xfrm monitor help.

OPTIONS of ip: -s -s -d -o -t -ts -4 -6, -batch FILE (- is stdin) with -force
OPTIONS of ours, anywhere
       --json            a line of JSON for each object and event (packages/iproute/schema)
       --show-keys       keys as they are: they are shown as <<key#1 hidden>> otherwise, equal keys
                         alike; nokeys hides them as ip does
       --profile linux61 speaks as iproute2 6.1
       --kernel, --daemon  whose states and policies

XFRM needs CAP_NET_ADMIN, for reading too: run it as root, or in a namespace of your own.

Examples
  unshare -rn xfrm policy add src 10.1.0.0/16 dst 10.2.0.0/16 dir out action block
  xfrm -s state list proto esp
  xfrm --json policy list dir out | jq .priority
  xfrm -t monitor acquire expire`;

const SAVE = `xfrm save [--show-keys] [-o FILE] [--kernel|--daemon]

Writes states, policies and default policies as one JSON snapshot
(packages/iproute/schema/snapshot.schema.json): rules for xfrm explain, and for xfrm load if keys
are shown. They are those of the daemon of this network namespace if one runs, else the kernel's.
A file is readable by its owner only.

Examples
  sudo xfrm save -o site-a.json
  sudo xfrm save --show-keys -o site-a.json && sudo ip netns exec b xfrm load site-a.json`;

const LOAD = `xfrm load [--dry-run] [--json] [--kernel|--daemon] FILE…

Loads rules into the daemon of this network namespace if one runs, else into the kernel, all or
none: ip xfrm commands, a dump as ip xfrm prints it, or a snapshot; - is stdin. They are tried
elsewhere first, beside what is there already; what is refused then is reported, and nothing is
changed. Exit status 1 in that case.

       --dry-run         only tells what would be refused
       --json            refusals as JSON

Examples, in a checkout
  sudo xfrm load --dry-run examples/site-a.xfrm
  ip -s xfrm policy | ssh root@b xfrm load -`;

const STAT = `xfrm stat [--json] [--watch [SECONDS]] [--kernel|--daemon]

Prints the counters of this network namespace as /proc/net/xfrm_stat does, those of its daemon if
one runs; behind one that is not zero stands what it counts. With --watch it goes on, and tells
which counters move, why they usually do, and what to do next. Counters are told packet by packet by
xfrm explain.

Examples
  xfrm stat
  xfrm stat --watch 5`;

const TOP = `xfrm top [--once] [--json] [--kernel|--daemon] [SECONDS]

Shows states by traffic, with their rates, counters that are not zero, and what was dropped: by
counter, policy (direction and index), state and reason. Every two seconds, or as told, until it is
ended. Of the daemon of this network namespace if one runs, else of the kernel, which does not say
why it drops. What has become of a dropped packet: xfrm explain --daemon --last-drop.

       --once            one frame, without rates
       --json            a line of JSON for each frame

Examples
  xfrm top
  xfrm top --json 10 | jq -c '.drops[]'`;

const DAEMON = `xfrm daemon [OPTIONS]

A kernel's XFRM in user space, for this network namespace: programs that are started by xfrm exec,
charon and pluto among them, configure it as they would the kernel, and packets go through it. Stays
in the foreground, logs to stderr, and prints "ready pid=N" when it is up. SIGTERM ends it; what it
has set up against plaintext stays as long as policies demand protection.

       --state-dir DIR   where its journal is kept (/run/xfrm): a successor goes on from it
       --provider auto|addon|ffi|node   how it reaches the operating system
       --no-guard        nothing is set up against plaintext
       --cleanup         takes away what a daemon that is gone has left, and ends
       --log json|text   a line of JSON for each message, or text
       --ready-fd N      writes the line "ready" there too; systemd is told as well
       --interface NAME=if_id:N   the device of an if_id, made at once (otherwise xfrm-N, when states or
                         policies first have it); repeatable
       --metrics ADDR:PORT   serves /metrics for Prometheus: on loopback, or elsewhere with
                         --metrics-token FILE, a word that readers bring (Authorization: Bearer)

Needs root, /dev/net/tun and nf_tables. Exit status 0 it was ended, 2 it cannot start, with the reason.

Examples
  sudo xfrm daemon &
  sudo xfrm exec -- /usr/lib/ipsec/charon`;

const EXEC = `xfrm exec [--wait SECONDS] [--seccomp] [--verbose] -- PROGRAM ARGS

Becomes the program, with the daemon of this network namespace in the place of the kernel's XFRM.
Waits up to five seconds for a daemon. What the program starts is served as well.

A program that is loaded by the C library's loader is reached by a library (LD_PRELOAD). Others, such as
static ones, Go's, and those that run as another user, are reached by their system calls, which a
process beside them looks after: slower, with the same result. What would configure the kernel past
that is refused: PF_KEY, and with the latter io_uring; 32-bit programs are not served.

       --seccomp         by system calls in any case: for a program that clears the environment of
                         what it starts, or makes its system calls itself
       --verbose         says which of the two it is

Exit status is the program's; 127 it is not there, 126 it cannot be run, 2 no daemon answers.

Examples
  sudo xfrm exec -- ip xfrm state
  sudo xfrm exec -- /usr/sbin/swanctl --list-sas`;

const DOCTOR = `xfrm doctor [--no-try] [--json]

Examines this machine and network namespace: what the kernel can do (tried in a namespace of its
own, which loads modules as their first use does), endpoints, routes, sysctls, packet filter, NAT,
ports, key managers, counters, the rules themselves. Worst first, each with what to do. Exit status
1 if something is broken. As root it sees most; without root it says what it could not see.

       --no-try          tries nothing, so that no module is loaded
       --json            a line of JSON for each finding

Examples
  sudo xfrm doctor
  sudo ip netns exec site-a xfrm doctor --json | jq -r 'select(.severity == "fail").id'`;

const DEMO = `xfrm demo

Tells the way of three packets through a small world on the real engine: one protected and
delivered, one that no state fits, one replayed. Needs no root and no network. NO_COLOR turns
colours off.

Example
  xfrm demo`;

const COMPLETION = `xfrm completion bash|zsh|fish

Prints a script that completes commands and options.

Examples
  source <(xfrm completion bash)
  xfrm completion fish | source`;

/** Help by command; `help` is the overview. */
export const HELP: Readonly<Record<string, string>> = {
	explain: EXPLAIN,
	decrypt: DECRYPT,
	lookup: LOOKUP,
	prove: PROVE,
	diff: DIFF,
	lint: LINT,
	state: IP,
	policy: IP,
	monitor: IP,
	save: SAVE,
	load: LOAD,
	stat: STAT,
	top: TOP,
	daemon: DAEMON,
	exec: EXEC,
	doctor: DOCTOR,
	demo: DEMO,
	completion: COMPLETION,
	help: MAIN,
};
