// A client of NETLINK_XFRM without a C library: adds a state and a policy, lists both, deletes them.
package main

import (
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
)

func must(what string, err error) {
	if err != nil {
		fmt.Println(what, err)
		os.Exit(1)
	}
}

func main() {
	src, dst := net.ParseIP("192.0.2.1"), net.ParseIP("192.0.2.2")
	key := make([]byte, 20)
	state := &netlink.XfrmState{Src: src, Dst: dst, Proto: netlink.XFRM_PROTO_ESP, Mode: netlink.XFRM_MODE_TUNNEL,
		Spi: 0x1234, Reqid: 7, Aead: &netlink.XfrmStateAlgo{Name: "rfc4106(gcm(aes))", Key: key, ICVLen: 128}}
	_, a, _ := net.ParseCIDR("10.1.0.0/16")
	_, b, _ := net.ParseCIDR("10.2.0.0/16")
	policy := &netlink.XfrmPolicy{Src: a, Dst: b, Dir: netlink.XFRM_DIR_OUT, Priority: 5,
		Tmpls: []netlink.XfrmPolicyTmpl{{Src: src, Dst: dst, Proto: netlink.XFRM_PROTO_ESP, Mode: netlink.XFRM_MODE_TUNNEL, Reqid: 7}}}
	must("state add", netlink.XfrmStateAdd(state))
	fmt.Println("again:", netlink.XfrmStateAdd(state))
	must("policy add", netlink.XfrmPolicyAdd(policy))
	states, err := netlink.XfrmStateList(netlink.FAMILY_ALL)
	must("state list", err)
	policies, err := netlink.XfrmPolicyList(netlink.FAMILY_ALL)
	must("policy list", err)
	fmt.Println(len(states), states[0].Spi, len(policies), policies[0].Dst)
	if len(os.Args) > 1 {
		return
	}
	must("policy delete", netlink.XfrmPolicyDel(policy))
	must("state delete", netlink.XfrmStateDel(state))
	fmt.Println("done")
}
