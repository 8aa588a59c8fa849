export { ffiNative } from '../native/ffi.ts';
export { become, findProgram } from './become.ts';
export { daemonAnswers, waitForDaemon } from './daemon-probe.ts';
export { ExecError } from './exec-error.ts';
export { preloadShim } from './preload-shim.ts';
