export { type ClientOptions, NetlinkClient } from './client.ts';
export { NetlinkServer } from './server.ts';
