export { type AckOptions, type ClientOptions, NetlinkClient } from './client.ts';
export { policyAnswer } from './policy-writer.ts';
export { NetlinkServer } from './server.ts';
export { stateAnswer } from './state-writer.ts';
