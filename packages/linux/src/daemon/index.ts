export { PROVIDERS, type ProviderName } from '../native/providers.ts';
export { cleanUp, Daemon, type DaemonEnd, type DaemonOptions } from './daemon.ts';
export { GuardError } from './guard.ts';
export {
	daemonPage,
	type MetricsAddress,
	openMetrics,
	parseMetricsAddress,
} from './metrics-server.ts';
export { notifyReady } from './ready.ts';
export { shedRights } from './rights.ts';
export { StartError } from './start-error.ts';
export { STATE_FOLDER } from './state-folder.ts';
export type { LogLevel } from './worker-protocol.ts';
