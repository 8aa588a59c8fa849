/** Deadlines of states, policies and queues: stub. */

export class TimerTable {}
