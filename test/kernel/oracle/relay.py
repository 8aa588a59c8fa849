"""The guest's half of test:kernel: carries bytes made on the host to the kernel and back.

It forks nothing and knows nothing of states and policies. Jobs come as files of JSON lines in the folder
$ORACLE_RUN (in.0, in.1, ...; an empty one: the end), answers leave by stdout, a line of JSON each.

A job is a case in a network namespace of its own with two TUN devices, `lan` and `wan`:

    {"n", "sysctl": {path: value}, "requests": [[family, hex]...], "encap": [...], "sockets": [...],
     "steps": [...], "after": [[6, hex]...]}

A request is a datagram for NETLINK_ROUTE (0) or NETLINK_XFRM (6); its answer is the list of datagrams that
came back. `[6, null]` stands for a dialogue: the answer {"n", "ask": true} asks the host for a datagram
({"n", "send": hex}), and tells what came back, until the host sends null; meanwhile other jobs go on.
A step is {"at", "packet", ...}, or {"requests": [...]}, or either with "sleep_ms". The answer to a job is
{"n", "answers": [...], "steps": [{emit, deliver, stat, events, error?, answers?}...], "after": [...]}.
Needs root and a kernel with TUN; forms of packets and deliveries are those of golden/README.md.
"""
import ctypes, errno, fcntl, heapq, json, os, select, socket, struct, sys, time

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454ca, 1, 0x1000
SO_MARK, SO_BINDTODEVICE, SOL_UDP, UDP_ENCAP = 36, 25, 17, 100
IP_XFRM_POLICY, IPV6_XFRM_POLICY = 17, 35
ENCAP = {'espinudp-nonike': 1, 'espinudp': 2}
NETLINK_ROUTE, NETLINK_XFRM, SOL_NETLINK = 0, 6, 270
NETLINK_CAP_ACK, NETLINK_EXT_ACK = 10, 11
NAMES = {0x17: 'ACQUIRE', 0x18: 'EXPIRE', 0x1b: 'POLEXPIRE', 0x1e: 'NEWAE', 0x20: 'REPORT', 0x26: 'MAPPING'}
LISTEN = 0x1 | 0x2 | 0x20 | 0x40 | 0x80      # acquire, expire, report, migrate, mapping
GUEST = os.environ.get('ORACLE_GUEST') == '1'      # else the machine's own kernel, which others use too
COLUMNS = ('rx_bytes rx_packets rx_errors rx_dropped - - - - tx_bytes tx_packets tx_errors tx_dropped - '
           'collisions carrier -').split()      # of /proc/net/dev
# Of the guest's first namespace, where all others take them from, and of each. On a machine of its own
# kernel all of them are set in each.
INHERITED = [('core/devconf_inherit_init_net', '1'), ('ipv4/ip_forward', '1'), ('ipv6/conf/all/forwarding', '1'),
             ('ipv6/conf/default/forwarding', '1'), ('ipv6/conf/default/accept_dad', '0'),
             ('ipv6/conf/all/accept_dad', '0'), ('ipv6/conf/default/addr_gen_mode', '1'),
             ('ipv4/conf/all/rp_filter', '0'), ('ipv4/conf/default/rp_filter', '0')]
SYSCTL = [('ipv4/icmp_echo_ignore_all', '1'), ('ipv6/icmp/echo_ignore_all', '1'),
          ('ipv4/icmp_ratelimit', '0'), ('ipv6/icmp/ratelimit', '0')]
NEIGHBOUR = (130, 131, 132, 133, 134, 135, 136, 143)      # ICMPv6 that the kernel sends of itself
YIELDS_S = (0.0001, 0.0001, 0.001)      # before looking again, as long as nothing is new
LISTEN_RAW = ((socket.AF_INET, (1, 253)), (socket.AF_INET6, (58, 253)))
NAP_MS = 60      # others go on during a sleep as long as this


def write(path, value):
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, str(value).encode())
    finally:
        os.close(fd)


def messages(b):
    at = 0
    while at + 16 <= len(b):
        length, kind = struct.unpack_from('=IH', b, at)
        if length < 16:
            break
        yield kind, b[at:at + length]
        at += (length + 3) & ~3


def text(b, family):
    return socket.inet_ntop(family, bytes(b[:4] if family == socket.AF_INET else b[:16]))


def netlink(family, groups=0):
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, family)
    s.bind((0, groups))
    return s


class Lab:
    """One case's host."""

    def __init__(self, job):
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), 'unshare')
        self.ns = os.open('/proc/self/ns/net', os.O_RDONLY)
        self.held = job.get('sysctl', {}).get('net/core/xfrm_larval_drop') == 0
        for path, value in SYSCTL if GUEST else INHERITED[1:] + SYSCTL:
            write('/proc/sys/net/' + path, value)
        self.devices = {}
        for name in ('lan', 'wan'):
            fd = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(fd, TUNSETIFF, struct.pack('16sH22x', name.encode(), IFF_TUN | IFF_NO_PI))
            self.devices[name] = fd
        for path, value in job.get('sysctl', {}).items():
            write('/proc/sys/' + path, value)
        self.links = job.get('links', False)
        self.talk = {family: netlink(family) for family in (NETLINK_ROUTE, NETLINK_XFRM)}
        for s in self.talk.values():
            s.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
            s.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        self.listener = netlink(NETLINK_XFRM, LISTEN)
        self.receivers, self.swallow, self.senders = {}, [], {}
        self.encap_errors = []
        self.stat_fd = os.open('/proc/self/net/xfrm_stat', os.O_RDONLY)
        self.stat_text = os.pread(self.stat_fd, 4096, 0)
        self.waits = []

    def enter(self):
        if libc.setns(self.ns, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), 'setns')

    # -- netlink -------------------------------------------------------------
    def exchange(self, family, datagram):
        """Everything that comes back is there when send returns."""
        s, out = self.talk[family], []
        try:
            s.send(datagram)
            while True:
                out.append(s.recv(1 << 17).hex())
        except BlockingIOError:
            return out

    def requests(self, n, requests):
        """A generator, since the host may want to think in between; its value is the answers."""
        answers = []
        for family, datagram in requests:
            if datagram is None:
                back = None
                while True:
                    say({'n': n, 'ask': True, **({} if back is None else {'back': back})})
                    message = yield
                    if message['send'] is None:
                        break
                    back = self.exchange(family, bytes.fromhex(message['send']))
                answers.append([])
            else:
                answers.append(self.exchange(family, bytes.fromhex(datagram)))
        return answers

    @staticmethod
    def wait_addresses():
        """IPv6 addresses come into use by a work item, some time after they were added."""
        for _ in range(2000):
            with open('/proc/self/net/if_inet6') as f:
                addresses = [line.split() for line in f]
            with open('/proc/self/net/ipv6_route') as f:
                routes = f.read()
            if all(not int(a[4], 16) & 0x40 and a[0] + ' 80 ' in routes for a in addresses):
                break
            time.sleep(0.0005)

    # -- sockets -------------------------------------------------------------
    def listen(self, job):
        """Sockets that see what is delivered locally, after the policy check."""
        for family, protos in LISTEN_RAW:
            for proto in protos:
                s = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, proto)
                if family == socket.AF_INET6:
                    for option in (49, 51, 66):      # RECVPKTINFO, RECVHOPLIMIT, RECVTCLASS
                        s.setsockopt(41, option, 1)
                self.receiver(family, proto, 0, s)
            for port in (4242, 4243):
                s = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
                if family == socket.AF_INET6:
                    s.setsockopt(41, 26, 1)
                for option in (49, 51, 66) if family == socket.AF_INET6 else (8, 12, 13):
                    s.setsockopt(41 if family == socket.AF_INET6 else 0, option, 1)
                s.bind(('', port))
                self.receiver(family, 17, port, s)
        for e in job.get('encap', ()):
            family = socket.AF_INET6 if e['family'] == 6 else socket.AF_INET
            s = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            if family == socket.AF_INET6:
                s.setsockopt(41, 26, 1)
            s.bind(('', e['port']))
            s.setsockopt(SOL_UDP, UDP_ENCAP, ENCAP[e['type']])
            self.swallow.append(s)
        out = []
        for e in job.get('policies', ()):
            family = socket.AF_INET6 if e['family'] == 6 else socket.AF_INET
            for f, proto, port, s in self.receivers.values():
                if f == family and (port or proto) == e['socket']:
                    out.append(self.set_policy(s, family, e['policy']))
        return out

    def receiver(self, family, proto, port, s):
        self.receivers[s.fileno()] = (family, proto, port, s)

    @staticmethod
    def set_policy(s, family, policy):
        level, option = (41, IPV6_XFRM_POLICY) if family == socket.AF_INET6 else (0, IP_XFRM_POLICY)
        try:
            s.setsockopt(level, option, bytes.fromhex(policy))
        except OSError as e:
            return errno.errorcode[e.errno]
        return ''

    def delivered(self, ready, out):
        for fd, (family, proto, port, s) in self.receivers.items():
            while fd in ready:
                try:
                    data, ancillary, _, source = s.recvmsg(70000, 1024)
                except BlockingIOError:
                    break
                except OSError:      # an ICMP error about something that was sent
                    continue
                self.delivery(family, proto, port, data, ancillary, source, out)
        for s in self.swallow:
            while s.fileno() in ready:
                try:
                    s.recv(70000)
                except BlockingIOError:
                    break
                except OSError:
                    continue

    @staticmethod
    def delivery(family, proto, port, data, ancillary, source, out):
        if family == socket.AF_INET and not port:
            out.append({'family': 4, 'proto': proto, 'packet': data.hex()})
            return
        if family == socket.AF_INET:
            d = {'family': 4, 'proto': 17, 'src': source[0], 'sport': source[1], 'dport': port}
            for _, kind, value in ancillary:
                if kind == 8: d['dst'] = socket.inet_ntoa(value[8:12])
                if kind == 2: d['ttl'] = struct.unpack('=i', value)[0]
                if kind == 1: d['tos'] = value[0]
        else:
            d = {'family': 6, 'proto': proto, 'src': source[0]}
            for _, kind, value in ancillary:
                if kind == 50: d['dst'] = socket.inet_ntop(socket.AF_INET6, value[:16])
                if kind == 52: d['hlim'] = struct.unpack('=i', value)[0]
                if kind == 67: d['tclass'] = struct.unpack('=i', value)[0]
            if proto == 58 and data[:1] and data[0] in NEIGHBOUR:
                return
            if port: d['sport'], d['dport'] = source[1], port
        d['payload'] = data.hex()
        out.append(d)

    def emitted(self, ready, out):
        for name, fd in self.devices.items():
            while fd in ready:
                try:
                    p = os.read(fd, 70000)
                except BlockingIOError:
                    break
                # the kernel's own multicast chatter (MLD, RS, IGMP)
                if not (p[0] >> 4 == 6 and p[24:26] == b'\xff\x02' or p[0] >> 4 == 4 and p[16] >= 224):
                    out.append({'dev': name, 'packet': p.hex()})

    def events(self):
        out = []
        try:
            while True:
                for kind, message in messages(self.listener.recv(65536)):
                    out.append({'msg': NAMES.get(kind, kind), 'hex': message.hex()})
        except BlockingIOError:
            return out

    # -- a packet --------------------------------------------------------------
    def raw_sender(self, family, proto, source, step):
        s = socket.socket(family, socket.SOCK_RAW, proto)
        s.setsockopt(*((0, 3, 1) if family == socket.AF_INET else (41, 36, 1)))      # HDRINCL
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
        try:
            s.bind((source, 0))      # else the kernel looks up policies with its own source
        except OSError as e:
            return errno.errorcode[e.errno]
        return self.options(s, family, step) or s

    def options(self, s, family, step):
        """The error of a policy that the kernel refuses; the packet is not sent then."""
        if step.get('mark'):
            s.setsockopt(socket.SOL_SOCKET, SO_MARK, step['mark'])
        if step.get('bind_dev'):
            s.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, step['bind_dev'].encode())
        if step.get('policy'):
            refused = self.set_policy(s, family, step['policy'])
            if refused:
                return 'policy ' + refused
        return None

    def send_udp(self, packet, family, step):
        """A UDP socket sends the payload: the flow has ports, the kernel makes the headers."""
        at = 20 if family == socket.AF_INET else 40
        source, target = ends(packet, family)
        sport, dport = struct.unpack_from('!HH', packet, at)
        s = socket.socket(family, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((source, sport))
            refused = self.options(s, family, step)
            if refused:
                return refused
            s.sendto(packet[at + 8:], (target, dport))
        except OSError as e:
            return errno.errorcode[e.errno]
        finally:
            s.close()

    def inject(self, step):
        """The errno that the sender gets, by name."""
        packet, at = bytes.fromhex(step['packet']), step['at']
        if at in self.devices:
            try:
                os.write(self.devices[at], packet)
            except OSError as e:
                return errno.errorcode[e.errno]
            return None
        family = socket.AF_INET if packet[0] >> 4 == 4 else socket.AF_INET6
        if step.get('sender') == 'udp':
            return self.send_udp(packet, family, step)
        proto = packet[9] if family == socket.AF_INET else packet[6]
        if proto == 0 or (family == socket.AF_INET6 and proto in (43, 44, 60)):
            proto = 255      # no raw sockets for extension headers, nor for 0
        source, target = ends(packet, family)
        key = (family, proto, source, step.get('mark'), step.get('bind_dev'), step.get('policy'))
        if key not in self.senders:
            s = self.raw_sender(family, proto, source, step)
            if isinstance(s, str):
                return s
            self.senders[key] = s
        try:
            self.senders[key].sendto(packet, (target, 0))
        except OSError as e:
            return errno.errorcode[e.errno]
        return None

    # -- a step ----------------------------------------------------------------
    def link_counters(self):
        out = {}
        if self.links:
            with open('/proc/self/net/dev') as f:
                for line in f.readlines()[2:]:
                    name, values = line.split(':')
                    if name.strip() not in ('lo', 'lan', 'wan'):
                        out[name.strip()] = {k: int(v) for k, v in zip(COLUMNS, values.split()) if k != '-'}
        return out

    def look(self, result):
        """Transport-mode input and GRO cells go through work queues: gives the processor away until some
        rounds in a row bring nothing new."""
        watched = [*self.devices.values(), *self.receivers, *(s.fileno() for s in self.swallow),
                   self.listener.fileno()]
        quiet, lock = 0, self.listener
        while quiet < len(YIELDS_S):
            # takes a lock and lets it go: a pending softirq, which user-mode Linux may leave lying, runs then
            lock.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, 0)
            ready = select.select(watched, (), (), YIELDS_S[quiet])[0]
            quiet = 0 if ready else quiet + 1
            if ready:
                self.emitted(ready, result['emit'])
                self.delivered(ready, result['deliver'])
            if self.listener.fileno() in ready:
                result['events'] = result.get('events', []) + self.events()

    def finish(self, result, before):
        result['emit'].sort(key=lambda one: one['dev'])      # the order among devices says nothing
        now = os.pread(self.stat_fd, 4096, 0)
        result['stat'] = {} if now == self.stat_text else difference(self.stat_text, now)
        self.stat_text = now
        after = self.link_counters()
        links = {}
        for name in after:
            if name in before:
                changed = {k: v - before[name][k] for k, v in after[name].items() if v != before[name][k]}
                if changed: links[name] = changed
        if links: result['links'] = links
        return result

    def step(self, n, step):
        result, before = {'emit': [], 'deliver': []}, self.link_counters()
        if 'requests' in step:
            result['answers'] = yield from self.requests(n, step['requests'])
            if step.get('addresses'):
                self.wait_addresses()
        if 'packet' in step:
            error = self.inject(step)
            if error: result['error'] = error
        nap = step.get('sleep_ms', 0)
        if nap >= NAP_MS:
            yield time.monotonic() + nap / 1000
        elif nap:
            time.sleep(nap / 1000)
        self.look(result)
        return self.finish(result, before)

    def close(self):
        """False where it has to be left open: Linux 6.1 loses references of held packets, and closing a
        device would wait for them for ever."""
        os.close(self.stat_fd)
        if self.held:
            return False
        for fd in self.devices.values():
            os.close(fd)
        for s in [*(r[3] for r in self.receivers.values()), *self.swallow, *self.senders.values(),
                  *self.talk.values(), self.listener]:
            s.close()
        os.close(self.ns)
        return True


def ends(packet, family):
    return ((text(packet[12:16], family), text(packet[16:20], family)) if family == socket.AF_INET
            else (text(packet[8:24], family), text(packet[24:40], family)))


def difference(before, after):
    out = {}
    for old, new in zip(before.decode().splitlines(), after.decode().splitlines()):
        if old != new:
            name, value = new.split()
            out[name] = int(value) - int(old.split()[1])
    return out


def say(message):
    sys.stdout.write(json.dumps(message, separators=(',', ':')) + '\n')
    sys.stdout.flush()


class Case:
    """A job under way: a generator that yields a time to be woken at, or None to wait for the host."""
    left = 0      # that could not be closed

    def __init__(self, job):
        self.n = job['n']
        self.lab = Lab(job)
        self.run = self.carry_out(job)

    def carry_out(self, job):
        lab, n = self.lab, self.n
        answer = {'n': n, 'answers': (yield from lab.requests(n, job['requests']))}
        answer['sockets'] = lab.listen(job)
        if job.get('addresses'):
            lab.wait_addresses()
        lab.look({'emit': [], 'deliver': []})
        lab.stat_text = os.pread(lab.stat_fd, 4096, 0)
        answer['steps'] = []
        begun = time.monotonic()
        for step in job['steps']:
            answer['steps'].append((yield from lab.step(n, step)))
        naps = sum(step.get('sleep_ms', 0) for step in job['steps']) / 1000
        answer['late'] = time.monotonic() - begun - naps
        answer['after'] = yield from lab.requests(n, job.get('after', ()))
        return answer

    def go_on(self, message=None):
        """Until it waits or is done: what it waits for, or False."""
        try:
            return self.run.send(message)
        except StopIteration as done:
            answer = done.value
        except Exception as e:
            answer = {'n': self.n, 'failed': repr(e)}
        if not self.lab.close():
            Case.left += 1
        answer['left'] = Case.left
        say(answer)
        return False


def serve(folder):
    number, waiting, sleeping, order = 0, {}, [], 0

    def proceed(case, message=None):
        nonlocal order
        wake = case.go_on(message)
        if wake is None:
            waiting[case.n] = case
        elif wake is not False:
            order += 1
            heapq.heappush(sleeping, (wake, order, case))

    while True:
        while sleeping and sleeping[0][0] <= time.monotonic():
            case = heapq.heappop(sleeping)[2]
            case.lab.enter()
            proceed(case)
        path = '%s/in.%d' % (folder, number)
        try:
            with open(path) as f:
                lines = f.read()
        except FileNotFoundError:
            time.sleep(0.001)
            continue
        os.unlink(path)
        number += 1
        if not lines:
            return
        for line in lines.splitlines():
            message = json.loads(line)
            if 'send' in message:
                case = waiting.pop(message['n'])
                case.lab.enter()
                proceed(case, message)
                continue
            try:
                case = Case(message)
            except Exception as e:
                say({'n': message['n'], 'failed': repr(e)})
                continue
            proceed(case)


if __name__ == '__main__':
    run = os.environ['ORACLE_RUN']
    # whatever the kernel has to do in work queues goes first
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    for path, value in INHERITED if GUEST else ():
        write('/proc/sys/net/' + path, value)
    serve(run)
    if GUEST and Case.left:      # the end of this process would not come either
        with open(run + '/rc', 'w') as f:
            f.write('0')
        write('/proc/sysrq-trigger', 'o')
        time.sleep(60)
