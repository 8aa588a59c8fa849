/** Bad usage, or input that cannot be read: a message for stderr, exit status 2. */
export class UsageError extends Error {
	constructor(message: string) {
		super(message);
		this.name = 'UsageError';
	}
}
