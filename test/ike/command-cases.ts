/** What `xfrm` itself shows of a running daemon, beside `ip` by `xfrm exec`. */
import assert from 'node:assert/strict';
import { unpackedPackages } from './debian-package.ts';
import type { Case } from './scenario.ts';
import { withEnds, withLaboratory } from './scenario.ts';

const STATE =
	'state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x100 mode tunnel reqid 1 ' +
	'aead rfc4106(gcm(aes)) 0x0102030405060708090a0b0c0d0e0f1011121314 128';

/** Counts states by a socket of pyroute2's, as `ip xfrm state count` does. */
const COUNT_BY_PYROUTE2 = `from pyroute2.netlink import NETLINK_XFRM, NLM_F_REQUEST, nlmsg
from pyroute2.netlink.nlsocket import NetlinkSocket
class sadinfo(nlmsg):
    prefix = 'XFRMA_SAD_'
    fields = (('flags', 'I'),)
    nla_map = (('XFRMA_SAD_UNSPEC', 'none'), ('XFRMA_SAD_CNT', 'uint32'), ('XFRMA_SAD_HINFO', 'hex'))
s = NetlinkSocket(NETLINK_XFRM)
s.bind()
s.register_policy(0x22, sadinfo)
request = sadinfo()
request['flags'] = 0xffffffff
print([m.get_attr('XFRMA_SAD_CNT') for m in s.nlm_request(request, msg_type=0x23, msg_flags=NLM_F_REQUEST)])`;

export const commandCases: readonly Case[] = [
	{
		name: 'pyroute2 is a client as any, with its raw netlink socket',
		run: () =>
			withLaboratory(async (laboratory) => {
				const host = laboratory.host('a');
				await host.daemon();
				host.xfrmMust(...STATE.split(' '));
				const root = unpackedPackages('xfrm-pyroute2', ['python3-pyroute2']);
				const path = `PYTHONPATH=${root}/usr/lib/python3/dist-packages`;
				const python = ['env', path, '/usr/bin/python3', '-c', COUNT_BY_PYROUTE2];
				assert.equal(host.must([...host.configuring, ...python]), '[1]\n');
				// By itself it asks the kernel.
				assert.equal(host.must(python), '[0]\n');
			}),
	},
	{
		name: 'xfrm state and policy are on the daemon, with --kernel on the kernel',
		run: () =>
			withEnds(async ({ a, b, daemonB }) => {
				a.xfrmMust(...STATE.split(' '));
				a.xfrmMust(...'policy add src 10.1.0.0/16 dst 10.2.0.0/16 dir out action block'.split(' '));
				assert.equal(a.xfrmMust('state', '--show-keys'), a.mustExec('ip xfrm state'));
				assert.match(a.xfrmMust('state'), /<<key#1 hidden>>/);
				assert.equal(a.xfrmMust('policy'), a.mustExec('ip xfrm policy'));
				assert.equal(a.xfrmMust('state', '--kernel'), '');
				assert.equal(a.must('ip xfrm state'), '');
				assert.equal(a.xfrm(...STATE.split(' ')).status, 2, 'EEXIST');
				const monitor = b.start([
					process.execPath,
					...b.command('monitor', 'SA').split(' ').slice(1),
				]);
				await b.untilListening(0x4);
				b.mustExec('ip xfrm state flush');
				b.xfrmMust(...STATE.split(' '));
				await b.untilText(() => monitor.stdout, /spi 0x00000100/);
				const flow = 'src 10.1.0.1 dst 10.2.0.1 proto udp dport 53 dir out';
				const saved = a.xfrmMust('save');
				assert.match(saved, /"spi":"0x00000100"/);
				assert.ok(!saved.includes('0102030405060708'), 'no keys');
				assert.doesNotMatch(a.xfrmMust('save', '--kernel'), /0x00000100/);
				assert.match(a.xfrm('explain', '--daemon', flow).stdout, /block/);
				assert.equal(a.xfrm('lookup', '--daemon', ...flow.split(' ')).status, 1);
				assert.match(a.xfrm('lint', '--daemon', '--fail-on', 'never').stdout, /1 state/);
				daemonB.kill('SIGKILL');
				await daemonB.ended;
				const { status, stderr } = b.xfrm('state');
				assert.equal(status, 1);
				assert.match(stderr, /does not answer/);
			}),
	},
];
