/**
 * Everything that lint may find: a stable id, how bad it is, what Linux does because of it and what to do.
 * docs/lint.md is this table for people. An id is never renamed or given another meaning.
 *
 * error    traffic that was meant to pass is lost, or protection is broken, whatever the packet
 * warning  some traffic is lost or unprotected, or soon will be; or the rules do not say what they seem to
 * info     right as it is, but worth knowing
 */
import type { Severity } from './finding.ts';

export interface FindingPage {
	readonly severity: Severity;
	readonly title: string;
	readonly consequence: string;
	readonly advice: string;
}

function page(severity: Severity, title: string, consequence: string, advice: string): FindingPage {
	return { severity, title, consequence, advice };
}

export const PAGES: Readonly<Record<string, FindingPage>> = {
	// Templates and the states that should serve them.
	'template-reqid': page(
		'error',
		'A state fits a template but for its reqid',
		'Output finds no state (XfrmOutNoStates, an ACQUIRE), input refuses what came by the state (XfrmInTmplMismatch).',
		'Give template and state the same reqid. Outward, reqid 0 matches 0 only; inward it matches any.',
	),
	'template-mark': page(
		'error',
		'A state fits a template but for its mark',
		'The state is never chosen: its mark is compared with the policy’s mark, not with the packet’s (XfrmOutNoStates).',
		'Add the state with the policy’s mark and mask, or without mark.',
	),
	'template-if-id': page(
		'error',
		'A state fits a template but for its if_id',
		'States are chosen by the policy’s if_id, exactly: XfrmOutNoStates, or XfrmInTmplMismatch for what arrives by the interface.',
		'Give policy and state the same if_id, that of the XFRM interface.',
	),
	'template-spi': page(
		'error',
		'A template names an SPI that no state has',
		'No other state may serve it: XfrmOutNoStates, or EEXIST (XfrmOutPolError) where a state with this SPI differs otherwise.',
		'Leave spi out of the template, or update the policy when the state is replaced.',
	),
	'template-endpoints': page(
		'error',
		'A state fits a template but for its addresses',
		'Outward both ends have to be equal (XfrmOutNoStates), inward the source (XfrmInTmplMismatch).',
		'Make the template’s src and dst those of the state.',
	),
	'template-mode': page(
		'error',
		'A state fits a template but for its mode',
		'A tunnel template is never served by a transport state or the other way round: XfrmOutNoStates, XfrmInTmplMismatch.',
		'Give template and state the same mode; the default of both is transport.',
	),
	'template-proto': page(
		'error',
		'A state fits a template but for its protocol',
		'ESP does not serve a template for AH, nor the other way round: XfrmOutNoStates, XfrmInTmplMismatch.',
		'Give template and state the same proto.',
	),
	'template-selector': page(
		'error',
		'The selector of the only state keeps the policy’s traffic out',
		'The state is passed over for flows outside of its selector: XfrmOutNoStates; inward XfrmInStateMismatch.',
		'Widen the state’s sel, or leave it out in tunnel mode.',
	),
	'template-selector-partial': page(
		'warning',
		'The selector of the only state is narrower than the policy',
		'Flows of the policy outside of the state’s selector find no state (XfrmOutNoStates; inward XfrmInStateMismatch).',
		'Make sel as wide as the policy’s selector, or narrow the policy.',
	),
	'template-no-state': page(
		'info',
		'No state for a template',
		'The first packet asks a key manager (ACQUIRE); it and all others are dropped until there is a state (XfrmOutNoStates).',
		'Right for a trap policy. Otherwise add the states, or see why the key manager does not.',
	),
	'template-in-trigger': page(
		'error',
		'A required template of mode in_trigger',
		'No state can have this mode: output always ends in XfrmOutNoStates, input in XfrmInTmplMismatch.',
		'Use in_trigger with level use only.',
	),
	'template-transport-address': page(
		'info',
		'A transport template with addresses of its own',
		'They are ignored when a state is chosen; without one every packet makes another larval state and ACQUIRE.',
		'Leave src and dst out of transport templates.',
	),
	'template-local-address': page(
		'error',
		'A template’s own end is no address of this host',
		'The outer packet cannot be sent from there (XfrmOutBundleGenError), and nothing for there arrives here.',
		'Add the address to a device, or use one that the host has.',
	),
	'templates-six': page(
		'error',
		'Six templates',
		'The policy can be installed, but every lookup that meets it fails: XfrmOutPolError, XfrmInBufferError.',
		'Use at most five, those of a SUB and a MAIN policy together.',
	),
	'state-direction': page(
		'error',
		'The newest state that fits an out template has direction in',
		'It hides older ones, and output refuses it: XfrmOutStateDirError and XfrmOutPolError.',
		'Add the outward state with dir out, and other reqids or addresses for the inward one.',
	),

	// States.
	'state-unused': page(
		'warning',
		'No policy uses a state',
		'Nothing is sent by it; what arrives by it in tunnel mode is dropped (XfrmInNoPols).',
		'Delete it, or add the policy it was made for.',
	),
	'state-larval': page(
		'warning',
		'A larval state was left over',
		'While it is there nobody is asked again, and packets for it are dropped (XfrmOutNoStates; inward XfrmAcquireError).',
		'See why the key manager did not answer; it goes by itself after xfrm_acq_expires seconds.',
	),
	'state-source-any': page(
		'info',
		'A state whose source is any',
		'Any state with the concrete source beats it, however old; inward it takes packets of every sender.',
		'Name the peer’s address unless it is not known.',
	),
	'state-spi-zero': page(
		'warning',
		'A state of ESP or AH without SPI',
		'It is not found by incoming packets, and outward sends SPI 0, which peers drop.',
		'Add it with an SPI of 256 or more.',
	),
	'state-wildrecv': page(
		'info',
		'A state with flag wildrecv',
		'It is never used on output.',
		'Add another state for output.',
	),
	'state-not-local': page(
		'warning',
		'Neither end of a state is an address of this host',
		'Its packets are not ours: nothing is sent from there, and nothing for there is decrypted here.',
		'Use an address that the host has; behind NAT that is the private one.',
	),
	'spi-twice': page(
		'warning',
		'Two states share destination, protocol and SPI',
		'Only their marks tell them apart: the newer one whose mark fits takes the packet.',
		'Use different SPIs.',
	),
	'spi-mirrored': page(
		'info',
		'Both directions have the same SPI',
		'It works, and makes captures and counters hard to read.',
		'Choose SPIs at random.',
	),
	'key-twice': page(
		'error',
		'Two states have the same key',
		'With a counter mode (GCM, CCM, CTR, ChaCha20) the same key stream is used twice: both plaintexts can be recovered.',
		'Give every state a key of its own, also the two directions.',
	),
	'algorithm-weak': page(
		'warning',
		'A weak algorithm',
		'The kernel uses it as it is told; the traffic can be read or forged with moderate effort.',
		'Use rfc4106(gcm(aes)) or rfc7539esp(chacha20,poly1305).',
	),
	'algorithm-null': page(
		'warning',
		'No encryption',
		'The payload travels readable; only its integrity is protected.',
		'Add a cipher, or use AH if that is meant.',
	),
	'algorithm-no-integrity': page(
		'error',
		'Encryption without integrity',
		'Anyone on the path can change packets unnoticed; CBC then gives the plaintext away.',
		'Add auth, or use an AEAD.',
	),
	'algorithm-sha256-96': page(
		'warning',
		'SHA-256 truncated to 96 bits',
		'The kernel’s old default; peers that keep to RFC 4868 send 128 bits, and every packet fails (XfrmInStateProtoError).',
		'Use auth-trunc hmac(sha256) KEY 128.',
	),
	'algorithms-one-sided': page(
		'warning',
		'The two directions use different algorithms',
		'Right only if the peer does the same the other way round; otherwise every packet fails (XfrmInStateProtoError).',
		'Compare with the peer’s states.',
	),
	'integrity-failures': page(
		'warning',
		'A state has refused packets',
		'Failed integrity means other keys or algorithms at the peer, or changed packets; replays mean a small window or repeats.',
		'See stats in ip -s xfrm state; compare keys; enlarge the window.',
	),

	// Sequence numbers and lifetimes.
	'window-zero': page(
		'warning',
		'No replay window on an incoming state',
		'Packets may be repeated by anyone on the path: there is no replay check at all.',
		'Set replay-window 32 or more (with flag esn or replay-window 128 and up on fast links).',
	),
	'window-small': page(
		'warning',
		'A replay window of at most 32 packets',
		'Packets that are overtaken by more than that are dropped (XfrmInStateSeqError); at 1 Gbit/s 32 packets are 0.4 ms.',
		'Use a larger window: strongSwan replay_window, libreswan replay-window.',
	),
	'esn-one-sided': page(
		'warning',
		'Extended sequence numbers in one direction only',
		'If the peer uses ESN where we do not, every packet fails its integrity check (XfrmInStateProtoError).',
		'Negotiate ESN for both directions.',
	),
	'sequence-near-end': page(
		'error',
		'The sequence numbers of a state run out',
		'After 2^32 - 1 packets the state sends nothing any more: XfrmOutStateSeqError.',
		'Rekey now; use ESN; set limits on packets.',
	),
	'lifetime-near': page(
		'warning',
		'A hard limit of a state is near or past',
		'At the limit the state is deleted: XfrmOutStateExpired or XfrmInStateExpired once, then no state.',
		'Rekey in time: set soft limits well below the hard ones.',
	),
	'lifetime-none': page(
		'info',
		'A state without any limit',
		'It is used with the same keys until somebody deletes it.',
		'Use a key manager, or limits.',
	),

	// Policies.
	'fwd-missing': page(
		'error',
		'A tunnel for others ends here, and no fwd policy lets it go on',
		'What came out of the tunnel for hosts behind this one is dropped: XfrmInNoPols.',
		'Add a policy with dir fwd, the selector and template of the in policy.',
	),
	'in-missing': page(
		'warning',
		'No in or fwd policy for the way back',
		'What comes back through a tunnel is dropped (XfrmInNoPols), and the same in clear is taken.',
		'Add policies with dir in, and fwd for hosts behind this one, with the selector mirrored.',
	),
	'plaintext-optional': page(
		'warning',
		'An incoming policy with optional templates only',
		'Level use accepts the same traffic unprotected.',
		'Use level required, but for IPComp.',
	),
	'plaintext-no-policy': page(
		'warning',
		'An incoming transport state without in policy',
		'Protected packets pass, and the same packets in clear pass too.',
		'Add a policy with dir in and a required template.',
	),
	'optional-transport-inbound': page(
		'info',
		'An optional transport template beside others inward',
		'Inward it never takes a state: protection beyond the required is neither demanded nor noticed.',
		'Nothing, if level use is meant; otherwise level required.',
	),
	'priority-tie': page(
		'warning',
		'Policies of equal priority overlap and differ',
		'The one added first wins, whatever is more specific; up to 6.11 host-to-host ones beat others. After a reload it may be the other.',
		'Give overlapping policies different priorities.',
	),
	shadowed: page(
		'warning',
		'A policy that never decides',
		'Every flow it is for meets policies of better priority first, and these treat the flow in another way.',
		'Delete it, or give it a lower priority number.',
	),
	redundant: page(
		'info',
		'A policy that changes nothing',
		'Every flow it is for meets policies of better priority first, and these treat the flow alike.',
		'Delete it, or keep it as a reserve.',
	),
	'host-bits': page(
		'info',
		'A selector with host bits beyond its prefix',
		'They are ignored in matching but part of the identity: delete and update need the same bits, and twins may coexist.',
		'Write the network address.',
	),
	'port-without-protocol': page(
		'warning',
		'Ports without a protocol',
		'They match every protocol whose flow has such numbers: SCTP ports, ICMP types and codes, GRE keys too.',
		'Name the protocol.',
	),
	'ports-unmirrored': page(
		'warning',
		'The ports of in and out policies are not each other’s',
		'Answers leave in clear, or are refused when they arrive: XfrmInNoPols, XfrmInTmplMismatch.',
		'The source port of one direction is the destination port of the other.',
	),
	'dccp-ports': page(
		'warning',
		'Ports of DCCP',
		'The kernel reads them as 0: the policy never matches.',
		'Leave the ports out.',
	),
	'dev-inbound': page(
		'warning',
		'A device in the selector of an in policy',
		'Compared is the device of the packet’s route, which is lo for what is delivered here: the arrival device never matches.',
		'Leave dev out, or use dev lo.',
	),
	'ipcomp-required-inbound': page(
		'warning',
		'IPComp required inward',
		'Packets that do not get smaller are sent uncompressed, and are refused here: XfrmInTmplMismatch.',
		'Add level use to the template for comp.',
	),
	'ipcomp-window': page(
		'error',
		'A replay window for IPComp inward',
		'IPComp has no sequence numbers, so with a window the check refuses every packet: XfrmInStateSeqError.',
		'Leave replay-window out of comp states; it belongs to the ESP or AH around them.',
	),
	'beet-selector': page(
		'error',
		'A BEET state without inner addresses',
		'Inward the inner addresses come from the state’s selector, which has to be host to host.',
		'Add sel src ADDRESS dst ADDRESS with full prefixes.',
	),
	'gap-in-clear': page(
		'info',
		'Without this policy its traffic goes in clear',
		'While it is replaced, migrated or its daemon is down, no block policy and no default stops its flows.',
		'Add a block policy of worse priority for the same selector, or setdefault out block.',
	),
	'if-id-no-device': page(
		'info',
		'An if_id without XFRM interface',
		'Only traffic of an XFRM interface with this if_id meets it; all other traffic goes in clear.',
		'ip link add NAME type xfrm dev DEV if_id N.',
	),
	'mobility-unpaired': page(
		'warning',
		'Route optimization in one direction only',
		'A home address option without the type 2 routing header of the way back, or the reverse: that way goes by the home agent.',
		'See that the mobility daemon has registered both.',
	),

	// What surrounds XFRM.
	'encap-swapped': page(
		'error',
		'The ports of UDP encapsulation are the same in both directions',
		'One direction’s are swapped: packets go to, or are expected from, the wrong port.',
		'The source port of one direction is the destination port of the other.',
	),
	'encap-one-sided': page(
		'warning',
		'UDP encapsulation in one direction only',
		'What arrives in the other form is refused: XfrmInStateMismatch.',
		'Use encap in both directions, or in none.',
	),
	'output-mark-loop': page(
		'error',
		'The outer packets lead back into the device they came from',
		'The route to the tunnel’s end leads into the XFRM interface or VTI itself: collisions, nothing is sent.',
		'Route the peer’s address by the outer device, or use an output-mark and a rule for it.',
	),
	'nat-before-lookup': page(
		'error',
		'Source NAT before the policy lookup',
		'After masquerade or SNAT the source is another one, the packet is looked up anew, no policy matches: it goes in clear.',
		'Before it, let protected traffic go on: nft meta ipsec … accept, or iptables -m policy --dir out --pol ipsec -j ACCEPT.',
	),
	'mtu-chain': page(
		'info',
		'Room that the transforms of a policy leave',
		'Larger packets get ICMP "fragmentation needed", or are fragmented outside; where ICMP is filtered, connections hang.',
		'Clamp TCP’s MSS as told, or lower the MTU inside.',
	),
};
