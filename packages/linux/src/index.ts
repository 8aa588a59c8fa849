export * from './daemon-observation.ts';
export { daemonTransport, defaultTransport, hasDaemon } from './daemon-transport.ts';
export * from './interface-name.ts';
export { KernelSocket, type KernelSocketOptions } from './kernel-socket.ts';
export { linuxTransport } from './linux-transport.ts';
export { adviceFor } from './requirement.ts';
export { openScratchSocket } from './scratch-namespace.ts';
export { readXfrmStat } from './xfrm-stat.ts';
