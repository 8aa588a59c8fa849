/**
 * Numbers that stand for IPv6 source addresses in the SPIs of IPComp's helper states, since an IPv6 address
 * is too long to be one (net/ipv6/xfrm6_tunnel.c). See helper-states.ts.
 */
import { Family } from '@xfrm/wire/xfrm';
import { wordsEqual } from './sad.ts';

interface HelperSpi {
	readonly source: Int32Array;
	readonly spi: number;
	users: number;
}

/**
 * Numbers for IPv6 sources, which are too long to be an SPI.
 *
 * @spec T-32
 */
export class HelperSpis {
	private readonly bySource: Map<number, HelperSpi[]> = new Map();
	private spiLast: number = 0;

	/** The number of this source, 0 for none. */
	spiOf(source: Int32Array): number {
		return this.find(source)?.spi ?? 0;
	}

	/** The number of this source, a new one if it has none yet. */
	take(source: Int32Array): number {
		const known = this.find(source);
		if (known !== undefined) {
			known.users++;
			return known.spi;
		}
		const spi = ++this.spiLast;
		const key = source[3] ?? 0;
		const bucket = this.bySource.get(key) ?? [];
		bucket.push({ source: source.slice(), spi, users: 1 });
		this.bySource.set(key, bucket);
		return spi;
	}

	/** Gives one use back; the last one frees the number. */
	release(source: Int32Array): void {
		const key = source[3] ?? 0;
		const bucket = this.bySource.get(key);
		const known = this.find(source);
		if (bucket !== undefined && known !== undefined && --known.users === 0) {
			bucket.splice(bucket.indexOf(known), 1);
			if (bucket.length === 0) {
				this.bySource.delete(key);
			}
		}
	}

	private find(source: Int32Array): HelperSpi | undefined {
		const bucket = this.bySource.get(source[3] ?? 0);
		return bucket?.find((entry) => wordsEqual(entry.source, source, Family.Ipv6));
	}
}
