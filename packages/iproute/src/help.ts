/** Help of the language: what commands there are and what they are made of (spec 5.1). */

const PARTS = `
ID := [ src ADDR ] [ dst ADDR ] [ proto { esp | ah | comp | route2 | hao } ] [ spi SPI ]
ALGO := { enc | auth } NAME KEY | { auth-trunc | aead } NAME KEY BITS | comp NAME
MODE := transport | tunnel | ro | in_trigger | beet
SELECTOR := [ src ADDR[/LEN] ] [ dst ADDR[/LEN] ] [ dev DEV ] [ UPSPEC ]
UPSPEC := proto PROTO [ sport PORT ] [ dport PORT ] [ type N ] [ code N ] [ key KEY ]
LIMIT := { time-soft | time-hard | time-use-soft | time-use-hard } SECONDS |
         { byte-soft | byte-hard } OCTETS | { packet-soft | packet-hard } COUNT`;

const HELP: Readonly<Record<'xfrm' | 'state' | 'policy' | 'monitor', string>> = {
	// This one is printed for every unknown object, so it is ip's word by word.
	xfrm: `Usage: ip xfrm XFRM-OBJECT { COMMAND | help }
where  XFRM-OBJECT := state | policy | monitor`,
	state: `Usage: ip xfrm state { add | update } ID [ ALGO ]... [ mode MODE ] [ reqid N ] [ seq N ]
        [ mark V [ mask M ] ] [ dir { in | out } ] [ replay-window N ] [ replay-seq N ]
        [ replay-oseq N ] [ replay-seq-hi N ] [ replay-oseq-hi N ] [ flag FLAG... ]
        [ extra-flag FLAG... ] [ sel SELECTOR ] [ limit LIMIT ]... [ coa ADDR ] [ ctx LABEL ]
        [ encap { espinudp | espinudp-nonike | espintcp } SPORT DPORT ADDR ]
        [ offload [ crypto | packet ] dev DEV dir { in | out } ] [ output-mark V [ mask M ] ]
        [ if_id N ] [ tfcpad N ] [ pcpu-num N ]
       ip xfrm state allocspi ID [ mode MODE ] [ reqid N ] [ seq N ] [ min SPI max SPI ] ...
       ip xfrm state { delete | get } ID [ mark V [ mask M ] ]
       ip xfrm state { deleteall | list [ nokeys ] } [ ID ] [ mode MODE ] [ reqid N ] [ flag FLAG ]
       ip xfrm state flush [ proto PROTO ]
       ip xfrm state count${PARTS}
FLAG := noecn | decap-dscp | nopmtudisc | wildrecv | icmp | af-unspec | align4 | esn |
        dont-encap-dscp | oseq-may-wrap
Beyond ip (what its kernel can and it cannot):
       ... add ... [ iptfs ] [ iptfs-drop-time US ] [ iptfs-reorder-window PACKETS ]
        [ iptfs-dont-frag ] [ iptfs-init-delay US ] [ iptfs-max-queue-size OCTETS ]
        [ iptfs-pkt-size OCTETS ] [ nat-keepalive SECONDS ]
       ip xfrm state migrate-state ID [ mark V [ mask M ] ] to src ADDR dst ADDR [ reqid N ]
        [ sel SELECTOR | host-sel ] [ mark V [ mask M ] ] [ output-mark V [ mask M ] ]
        [ encap TYPE SPORT DPORT ADDR ] [ nat-keepalive SECONDS ] [ no-offload ]`,
	policy: `Usage: ip xfrm policy { add | update } SELECTOR dir DIR [ ctx LABEL ] [ mark V [ mask M ] ]
        [ index N ] [ ptype { main | sub } ] [ action { allow | block } ] [ priority N ]
        [ flag { localok | icmp } ] [ if_id N ] [ limit LIMIT ]... [ offload packet dev DEV ]
        [ tmpl ID [ mode MODE ] [ reqid N ] [ level { required | use } ] ]...
       ip xfrm policy { delete | get } { SELECTOR | index N } dir DIR [ ctx LABEL ] [ mark ... ]
        [ ptype ... ] [ if_id N ]
       ip xfrm policy { deleteall | list } [ nosock ] [ SELECTOR ] [ dir DIR ] [ index N ]
        [ ptype ... ] [ action ... ] [ priority N ] [ flag ... ]
       ip xfrm policy flush [ ptype ... ]
       ip xfrm policy count
       ip xfrm policy set [ hthresh4 LBITS RBITS ] [ hthresh6 LBITS RBITS ]
       ip xfrm policy setdefault DIR { block | accept } [ DIR { block | accept } ]...
       ip xfrm policy getdefault${PARTS}
DIR := in | out | fwd
Beyond ip (what its kernel can and it cannot):
       ip xfrm policy migrate SELECTOR dir DIR [ ptype ... ] [ if_id N ]
        [ kmaddress local ADDR remote ADDR ] [ encap TYPE SPORT DPORT ADDR ]
        { from ID [ mode MODE ] [ reqid N ] to src ADDR dst ADDR }...
       ... tmpl ID iptfs ...`,
	monitor: `Usage: ip xfrm monitor [ nokeys ] [ all-nsid ] [ all | OBJECTS ] [ file NAME ]
OBJECTS := { acquire | expire | SA | aevent | policy | report }
(nokeys does not hide keys of states here, as in ip.)`,
};

/** The help text of a topic, without a newline at its end. */
export function helpText(topic: keyof typeof HELP): string {
	return HELP[topic];
}
