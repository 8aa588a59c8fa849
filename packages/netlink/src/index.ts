export * from './ack.ts';
export * from './attribute.ts';
export * from './message.ts';
export * from './message-writer.ts';
export * from './xfrm/index.ts';
