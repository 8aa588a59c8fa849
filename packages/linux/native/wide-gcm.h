/*
 * AES-GCM (NIST SP 800-38D) with the 512-bit forms of x86's AES and carry-less multiplication, which the OpenSSL
 * of Node 20 does not know yet: a packet of 1400 octets takes a third of the time. Four vectors of four blocks are
 * worked on at once; a nonce has 12 octets, additional data at most 16, as in ESP (RFC 4106). Nothing here depends
 * on secrets but data: no table, no branch. Whoever uses it compares it with OpenSSL first, key by key.
 *
 * GHASH is computed on blocks whose octets are reversed, where bit 127 - i is the coefficient of x^i, with powers of
 * H·x instead of H: the product of two such blocks is then in place without a shift. Sixteen blocks are multiplied
 * by H^16 … H^1 and their sum reduced once:
 *
 *     ((y ^ b1)·H^16 ^ b2·H^15 ^ … ^ b16·H^1) mod x^128 + x^7 + x^2 + x + 1
 */
#ifndef XFRM_WIDE_GCM_H
#define XFRM_WIDE_GCM_H

/* GCC before 11 cannot ask a processor for these instructions. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 11
#define WITH_WIDE_GCM

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace wide_gcm {

#define WIDE __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,vaes,vpclmulqdq,aes,pclmul,bmi2")))
#define WIDE_INLINE WIDE __attribute__((always_inline)) inline

constexpr int BLOCK = 16, VECTOR = 64, VECTORS = 4, STRIDE = VECTORS * VECTOR, BLOCKS = STRIDE / BLOCK;
/* Rounds of the shortest key, which all keys have. */
constexpr int ROUNDS_LEAST = 10, ROUNDS_MOST = 14;

struct Key {
	/* Of H·x: from the sixteenth to the first, and zeros behind for the last vector of a message. */
	alignas(VECTOR) uint8_t powers[STRIDE + VECTOR];
	uint8_t round_keys[(ROUNDS_MOST + 1) * BLOCK];
	int rounds;
};

inline bool is_supported() {
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
		__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("vaes") && __builtin_cpu_supports("vpclmulqdq") &&
		__builtin_cpu_supports("bmi2");
}

WIDE_INLINE __m128i load(const uint8_t *bytes) {
	return _mm_loadu_si128(reinterpret_cast<const __m128i *>(bytes));
}
WIDE_INLINE void store(uint8_t *bytes, __m128i block) {
	_mm_storeu_si128(reinterpret_cast<__m128i *>(bytes), block);
}
/* A block's octets the other way round. */
WIDE_INLINE __m128i order() {
	return _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
WIDE_INLINE __m128i reverse(__m128i block) {
	return _mm_shuffle_epi8(block, order());
}
WIDE_INLINE __m512i reverse(__m512i blocks) {
	return _mm512_shuffle_epi8(blocks, _mm512_broadcast_i32x4(order()));
}
WIDE_INLINE __m512i round_key(const Key &key, int round) {
	return _mm512_broadcast_i32x4(load(key.round_keys + round * BLOCK));
}

/* ---- GHASH ---- */

/* The four partial products of two pairs of 64-bit halves, the two in the middle as one. */
struct Product {
	__m512i low, middle, high;
};

WIDE_INLINE __m128i sum_blocks(__m512i blocks) {
	const __m256i two = _mm256_xor_si256(_mm512_castsi512_si256(blocks), _mm512_extracti64x4_epi64(blocks, 1));
	return _mm_xor_si128(_mm256_castsi256_si128(two), _mm256_extracti128_si256(two, 1));
}

/* Takes the lower 128 bits of a product, 64 at a time, to where the field's polynomial puts them. */
WIDE_INLINE __m128i reduce(__m128i low, __m128i middle, __m128i high) {
	const __m128i polynomial = _mm_set_epi64x(0, static_cast<long long>(0xc200000000000000));
	middle = _mm_xor_si128(_mm_xor_si128(middle, _mm_shuffle_epi32(low, 0x4e)), _mm_clmulepi64_si128(polynomial, low, 0x00));
	return _mm_xor_si128(_mm_xor_si128(high, _mm_shuffle_epi32(middle, 0x4e)), _mm_clmulepi64_si128(polynomial, middle, 0x00));
}

WIDE_INLINE __m128i reduce(const Product &product) {
	return reduce(sum_blocks(product.low), sum_blocks(product.middle), sum_blocks(product.high));
}

WIDE_INLINE __m128i multiply(__m128i a, __m128i b) {
	const __m128i middle = _mm_xor_si128(_mm_clmulepi64_si128(a, b, 0x01), _mm_clmulepi64_si128(a, b, 0x10));
	return reduce(_mm_clmulepi64_si128(a, b, 0x00), middle, _mm_clmulepi64_si128(a, b, 0x11));
}

WIDE_INLINE void add_product(Product &sum, __m512i a, __m512i b) {
	const __m512i one = _mm512_clmulepi64_epi128(a, b, 0x01), other = _mm512_clmulepi64_epi128(a, b, 0x10);
	sum.low = _mm512_xor_si512(sum.low, _mm512_clmulepi64_epi128(a, b, 0x00));
	sum.middle = _mm512_xor_si512(sum.middle, _mm512_xor_si512(one, other));
	sum.high = _mm512_xor_si512(sum.high, _mm512_clmulepi64_epi128(a, b, 0x11));
}

/* Takes sixteen blocks of ciphertext into the hash. */
WIDE_INLINE __m128i hash_stride(const Key &key, __m128i hash, const __m512i *blocks) {
	Product sum = {};
	add_product(sum, _mm512_xor_si512(reverse(blocks[0]), _mm512_zextsi128_si512(hash)), _mm512_load_si512(key.powers));
	add_product(sum, reverse(blocks[1]), _mm512_load_si512(key.powers + VECTOR));
	add_product(sum, reverse(blocks[2]), _mm512_load_si512(key.powers + 2 * VECTOR));
	add_product(sum, reverse(blocks[3]), _mm512_load_si512(key.powers + 3 * VECTOR));
	return reduce(sum);
}

/* ---- keys ---- */

WIDE_INLINE __m128i encrypt_block(const Key &key, __m128i block) {
	block = _mm_xor_si128(block, load(key.round_keys));
	for (int round = 1; round < key.rounds; round++) block = _mm_aesenc_si128(block, load(key.round_keys + round * BLOCK));
	return _mm_aesenclast_si128(block, load(key.round_keys + key.rounds * BLOCK));
}

/* AES's key expansion (FIPS 197 5.2); the instruction has the S-box, and rotates. */
WIDE inline void expand(Key &key, const uint8_t *bytes, int octets) {
	const int key_words = octets / 4;
	uint32_t words[(ROUNDS_MOST + 1) * 4], constant = 1;
	key.rounds = key_words + 6;
	memcpy(words, bytes, octets);
	for (int i = key_words; i < 4 * (key.rounds + 1); i++) {
		uint32_t word = words[i - 1];
		const __m128i substituted = _mm_aeskeygenassist_si128(_mm_set1_epi32(word), 0);
		if (i % key_words == 0) {
			word = _mm_extract_epi32(substituted, 1) ^ constant;
			constant = constant << 1 ^ (constant >> 7) * 0x11b;
		} else if (key_words > 6 && i % key_words == 4) {
			word = _mm_extract_epi32(substituted, 0);
		}
		words[i] = words[i - key_words] ^ word;
	}
	memcpy(key.round_keys, words, 4 * 4 * (key.rounds + 1));
	explicit_bzero(words, sizeof words);
}

/* Of 16, 24 or 32 octets. */
WIDE inline void set_key(Key &key, const uint8_t *bytes, int octets) {
	memset(&key, 0, sizeof key);
	expand(key, bytes, octets);
	uint64_t half[2];
	store(reinterpret_cast<uint8_t *>(half), reverse(encrypt_block(key, _mm_setzero_si128())));
	const uint64_t carry = -(half[1] >> 63);
	half[1] = (half[1] << 1 | half[0] >> 63) ^ (carry & 0xc200000000000000);
	half[0] = half[0] << 1 ^ (carry & 1);
	const __m128i first = load(reinterpret_cast<uint8_t *>(half));
	__m128i power = first;
	for (int i = BLOCKS - 1; i >= 0; i--) {
		store(key.powers + i * BLOCK, power);
		power = multiply(power, first);
	}
	explicit_bzero(half, sizeof half);
}

/* ---- messages ---- */

WIDE_INLINE void encrypt_round(__m512i *blocks, __m512i key) {
	blocks[0] = _mm512_aesenc_epi128(blocks[0], key);
	blocks[1] = _mm512_aesenc_epi128(blocks[1], key);
	blocks[2] = _mm512_aesenc_epi128(blocks[2], key);
	blocks[3] = _mm512_aesenc_epi128(blocks[3], key);
}

/* Counters of the next blocks, one more each, and the numbers to go on with. */
WIDE_INLINE __m512i next_counters(__m512i &counters) {
	const __m512i blocks = reverse(counters);
	counters = _mm512_add_epi32(counters, _mm512_broadcast_i32x4(_mm_set_epi32(0, 0, 0, VECTOR / BLOCK)));
	return blocks;
}

/* Less than a stride, vector by vector; what is not there counts as zero. */
template <bool SEALS>
WIDE_INLINE __m128i finish(const Key &key, __m512i counters, __m128i hash, uint8_t *text, size_t octets) {
	const uint8_t *powers = key.powers + STRIDE - (octets + BLOCK - 1) / BLOCK * BLOCK;
	__m512i before = _mm512_zextsi128_si512(hash);
	Product sum = {};
	for (size_t at = 0; at < octets; at += VECTOR) {
		const __mmask64 mask = _bzhi_u64(~0ull, octets - at < VECTOR ? octets - at : VECTOR);
		__m512i blocks = _mm512_xor_si512(next_counters(counters), round_key(key, 0));
		for (int round = 1; round < key.rounds; round++) blocks = _mm512_aesenc_epi128(blocks, round_key(key, round));
		blocks = _mm512_aesenclast_epi128(blocks, round_key(key, key.rounds));
		const __m512i given = _mm512_maskz_loadu_epi8(mask, text + at);
		const __m512i made = _mm512_maskz_mov_epi8(mask, _mm512_xor_si512(blocks, given));
		_mm512_mask_storeu_epi8(text + at, mask, made);
		add_product(sum, _mm512_xor_si512(reverse(SEALS ? made : given), before), _mm512_loadu_si512(powers + at));
		before = _mm512_setzero_si512();
	}
	return reduce(sum);
}

/* Encrypts or decrypts in place; writes the whole ICV. */
template <bool SEALS>
WIDE inline void run(const Key &key, uint8_t *text, size_t octets, const uint8_t *nonce, const uint8_t *aad, int aad_octets, uint8_t *icv) {
	uint8_t block[BLOCK] = {};
	memcpy(block, aad, aad_octets);
	const __m128i h = load(key.powers + STRIDE - BLOCK);
	__m128i hash = multiply(reverse(load(block)), h);
	memcpy(block, nonce, 12);
	memcpy(block + 12, "\0\0\0\1", 4);
	const __m128i first = load(block), icv_mask = encrypt_block(key, first);
	__m512i counters = _mm512_add_epi32(_mm512_broadcast_i32x4(reverse(first)),
		_mm512_set_epi32(0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1));
	__m512i keys[ROUNDS_LEAST];
#pragma GCC unroll 10
	for (int round = 0; round < ROUNDS_LEAST; round++) keys[round] = round_key(key, round);
	const __m512i last_key = round_key(key, key.rounds);
	/* Sealed text is hashed a stride later, so that the hash need not wait for it. */
	__m512i given[VECTORS], sealed[VECTORS] = {};
	size_t left = octets;
	for (; left >= STRIDE; left -= STRIDE, text += STRIDE) {
		__m512i blocks[VECTORS];
#pragma GCC unroll 4
		for (int i = 0; i < VECTORS; i++) {
			blocks[i] = _mm512_xor_si512(next_counters(counters), keys[0]);
			given[i] = _mm512_loadu_si512(text + i * VECTOR);
		}
		if (!SEALS) hash = hash_stride(key, hash, given);
		else if (left < octets) hash = hash_stride(key, hash, sealed);
#pragma GCC unroll 9
		for (int round = 1; round < ROUNDS_LEAST; round++) encrypt_round(blocks, keys[round]);
		for (int round = ROUNDS_LEAST; round < key.rounds; round++) encrypt_round(blocks, round_key(key, round));
#pragma GCC unroll 4
		for (int i = 0; i < VECTORS; i++) {
			sealed[i] = _mm512_xor_si512(_mm512_aesenclast_epi128(blocks[i], last_key), given[i]);
			_mm512_storeu_si512(text + i * VECTOR, sealed[i]);
		}
	}
	if (SEALS && left < octets) hash = hash_stride(key, hash, sealed);
	if (left > 0) hash = finish<SEALS>(key, counters, hash, text, left);
	hash = multiply(_mm_xor_si128(hash, _mm_set_epi64x(aad_octets * 8LL, static_cast<long long>(octets) * 8)), h);
	store(icv, _mm_xor_si128(reverse(hash), icv_mask));
}

}  // namespace wide_gcm

#endif
#endif
