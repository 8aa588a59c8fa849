/** Why the daemon cannot start: a sentence that says what to do. The command ends with status 2. */
export class StartError extends Error {
	constructor(message: string) {
		super(message);
		this.name = 'StartError';
	}
}
