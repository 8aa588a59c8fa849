export * from './algorithm.ts';
export * from './attributes.ts';
export * from './codec.ts';
export * from './info.ts';
export * from './messages.ts';
export * from './policy.ts';
export * from './selector.ts';
export * from './state.ts';
