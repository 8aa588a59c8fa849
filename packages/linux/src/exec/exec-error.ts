/** Why `xfrm exec` does not become the program: a sentence, and the status to end with. */
export class ExecError extends Error {
	/** 127 no such program, 126 it cannot be executed, 2 anything before that. */
	readonly status: number;

	constructor(message: string, status: number = 2) {
		super(message);
		this.name = 'ExecError';
		this.status = status;
	}
}
