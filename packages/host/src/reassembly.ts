export class Reassembly {
	deadlineUs(): number {
		return Number.POSITIVE_INFINITY;
	}
}
