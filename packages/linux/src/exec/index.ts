export { ffiNative } from '../native/ffi.ts';
export { become, findProgram } from './become.ts';
export { preloadShim, supervisor } from './compiled-parts.ts';
export { daemonAnswers, waitForDaemon } from './daemon-probe.ts';
export { ExecError } from './exec-error.ts';
export { shimHindrance } from './reach.ts';
