/** Bad usage, or input that cannot be read: a message for stderr, exit status 2. */
export class UsageError extends Error {
	constructor(message: string) {
		super(message);
		this.name = 'UsageError';
	}
}

/** What parseArgs complains of, without the advice behind its first sentence; `help` names the command's page. */
export function usageErrorOf(error: unknown, help: string): UsageError {
	const message = error instanceof Error ? error.message : String(error);
	return new UsageError(`${message.split('. ')[0] ?? message} (see xfrm help ${help})`);
}
