/**
 * `xfrm daemon --metrics ADDR:PORT`: one page over HTTP, for Prometheus. Served by the main thread, which asks
 * the data plane as any program would. On loopback anybody of this machine may read it; elsewhere whoever has
 * the token. Browsers may not: other hosts' pages could make them ask (DNS rebinding), so that the host that
 * is asked for has to be this one, and no request comes from a page.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { lstatSync, readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { XfrmClient } from '@xfrm/netlink';
import { DaemonObserver } from '../daemon-observation.ts';
import { daemonTransport } from '../daemon-transport.ts';
import { StartError } from './start-error.ts';

const PATH = '/metrics';
const CONNECTIONS_MAX = 16;
const TIMEOUT_MS = 5000;
const HEADER_OCTETS_MAX = 8192;
/** Shorter tokens can be guessed. */
const TOKEN_CHARACTERS_MIN = 16;

export interface MetricsAddress {
	readonly host: string;
	readonly port: number;
}

export interface MetricsOptions {
	readonly address: MetricsAddress;
	/** A file with the token that readers have to bring. */
	readonly tokenFile: string | undefined;
	/** Makes the page. */
	readonly page: () => Promise<string>;
}

/** `127.0.0.1:9100` or `[::1]:9100`; undefined for what is none. Port 0 is any free one. */
export function parseMetricsAddress(text: string): MetricsAddress | undefined {
	const match = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)|(localhost)):(\d{1,5})$/.exec(text);
	const [, ipv6, ipv4, name, port = ''] = match ?? [];
	const host = ipv6 ?? ipv4 ?? (name === undefined ? '' : '127.0.0.1');
	return isIP(host) === 0 || Number(port) > 65_535 ? undefined : { host, port: Number(port) };
}

function isLoopback(host: string): boolean {
	return host === '::1' || /^127\./.test(host);
}

/** A server that listens. Rejects with StartError when it may or can not. */
export async function openMetrics(options: MetricsOptions): Promise<Server> {
	const { address, tokenFile, page } = options;
	if (tokenFile === undefined && !isLoopback(address.host)) {
		throw new StartError(
			`--metrics ${address.host} is not this machine alone: name a file with a token by --metrics-token`,
		);
	}
	const token = tokenFile === undefined ? undefined : digest(readToken(tokenFile));
	let making: Promise<string> | undefined;
	// Readers that come together get the same page.
	const shared = (): Promise<string> => {
		making ??= page().finally(() => {
			making = undefined;
		});
		return making;
	};
	const server = createServer(
		{ maxHeaderSize: HEADER_OCTETS_MAX, headersTimeout: TIMEOUT_MS, requestTimeout: TIMEOUT_MS },
		(request, response) => {
			const refusal = refusalOf(request, address, token);
			if (refusal !== undefined) {
				send(response, refusal, 'no\n');
				return;
			}
			shared().then(
				(text) => send(response, 200, text),
				(error) => send(response, 503, `${error instanceof Error ? error.message : error}\n`),
			);
		},
	);
	server.maxConnections = CONNECTIONS_MAX;
	server.keepAliveTimeout = TIMEOUT_MS;
	await new Promise<void>((resolve, reject) => {
		server.once('error', (error) =>
			reject(new StartError(`--metrics ${address.host}:${address.port}: ${error.message}`)),
		);
		server.listen(address.port, address.host, resolve);
	});
	return server;
}

/** Why a request is refused, as a status; undefined when it is not. */
function refusalOf(
	request: IncomingMessage,
	address: MetricsAddress,
	token: Buffer | undefined,
): number | undefined {
	const { method, url, headers } = request;
	if (headers.origin !== undefined || (token === undefined && !isOwnHost(headers.host, address))) {
		return 403;
	}
	if (token !== undefined) {
		const [, brought = ''] = /^Bearer (\S+)$/.exec(headers.authorization ?? '') ?? [];
		if (!timingSafeEqual(digest(brought), token)) {
			return 401;
		}
	}
	if (url !== PATH) {
		return 404;
	}
	return method === 'GET' || method === 'HEAD' ? undefined : 405;
}

/** Is it this machine's loopback that was asked for? */
function isOwnHost(header: string | undefined, { host }: MetricsAddress): boolean {
	const [, name = ''] = /^(\[[0-9a-fA-F:.]+\]|[^:]+)(?::\d+)?$/.exec(header ?? '') ?? [];
	return ['localhost', '127.0.0.1', '[::1]', host, `[${host}]`].includes(name.toLowerCase());
}

function send(response: ServerResponse, status: number, text: string): void {
	const headers = {
		'Content-Type': status === 200 ? 'text/plain; version=0.0.4; charset=utf-8' : 'text/plain',
		'X-Content-Type-Options': 'nosniff',
		'Cache-Control': 'no-store',
	};
	response.writeHead(status, headers);
	response.end(text);
}

/** @throws StartError for a file that others can read or write, or that has no token worth the name */
function readToken(path: string): string {
	try {
		const { uid, mode } = lstatSync(path);
		if (uid !== process.geteuid?.() || (mode & 0o077) !== 0) {
			throw new StartError(`${path} is not the daemon's alone: make it root's, with mode 0600`);
		}
		const token = readFileSync(path, 'utf8').trim();
		if (token.length < TOKEN_CHARACTERS_MIN || /\s/.test(token)) {
			throw new StartError(
				`${path} has no token: expected one word of ${TOKEN_CHARACTERS_MIN} characters or more`,
			);
		}
		return token;
	} catch (error) {
		if (error instanceof StartError) {
			throw error;
		}
		const why = error instanceof Error ? error.message : String(error);
		throw new StartError(`the token cannot be read: ${why}`);
	}
}

function digest(text: string): Buffer {
	return createHash('sha256').update(text).digest();
}

/** The page of the daemon that runs in this network namespace. Rejects with TransportError, NetlinkError. */
export async function daemonPage(): Promise<string> {
	const { metricsPage } = await import('./metrics-page.ts');
	const observer = new DaemonObserver();
	const client = new XfrmClient(daemonTransport());
	try {
		const states = await client.states.dump();
		const numbers = await observer.numbers();
		return await metricsPage({ numbers, states, residentOctets: process.memoryUsage.rss() });
	} finally {
		observer.close();
		client.close();
	}
}
