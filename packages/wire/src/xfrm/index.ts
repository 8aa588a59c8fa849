export * from './address.ts';
export * from './constants.ts';
export * from './errno.ts';
export * from './lifetime.ts';
export * from './policy-config.ts';
export * from './selector.ts';
export * from './state-config.ts';
