/** The set of states and its four indexes: stub. */

export class Sad {}
