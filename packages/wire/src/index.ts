export * from './flow.ts';
export * from './packet-buffer.ts';
export * from './route.ts';
