export * from './host-command.ts';
export * from './host-setup.ts';
export * from './input.ts';
export * from './world.ts';
