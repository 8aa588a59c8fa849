/** Traffic that is more than pings. */
import assert from 'node:assert/strict';
import { type Host, pause, until } from './laboratory.ts';

const PORT = 4711;
const SERVER = `import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], ${PORT})); s.listen(); print("listening", flush=True)
c, _ = s.accept(); n = 0
while True:
    got = c.recv(65536)
    if not got: break
    n += len(got)
print("got", n, flush=True)`;
const CLIENT = `import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family); s.settimeout(20); s.bind((sys.argv[1], 0)); s.connect((sys.argv[2], ${PORT}))
s.sendall(bytes(int(sys.argv[3]))); s.shutdown(socket.SHUT_WR); s.recv(1)`;

/** Sends so many octets by TCP from one address to another; throws when they do not arrive. */
export async function sendTcp(
	from: Host,
	source: string,
	to: Host,
	destination: string,
	octets: number,
): Promise<void> {
	const server = to.start(['python3', '-S', '-c', SERVER, destination]);
	await until('a TCP server', () => server.stdout.includes('listening'), 10_000);
	from.must(['python3', '-S', '-c', CLIENT, source, destination, String(octets)]);
	await pause(50);
	await until('octets by TCP', () => server.stdout.includes('got'), 10_000);
	assert.equal(Number(/got (\d+)/.exec(server.stdout)?.[1]), octets);
}
