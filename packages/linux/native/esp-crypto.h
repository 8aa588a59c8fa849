/*
 * ESP's arithmetic, many jobs a call (src/native/evp-crypto.ts): OpenSSL's, on contexts that are kept from packet to
 * packet, and for AES-GCM Intel's ipsec-mb where that is installed.
 */
#ifndef XFRM_ESP_CRYPTO_H
#define XFRM_ESP_CRYPTO_H

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdint.h>
#include <string.h>

#include <string>
#include <vector>

#include "arguments.h"

/* Intel's library for AES-GCM, several times as fast as an OpenSSL that does not know this machine's wide
   instructions: compiled for where its header is, used where the same version is installed. */
#ifdef WITH_IPSEC_MB
#include <dlfcn.h>
#include <intel-ipsec-mb.h>
#include <stdlib.h>
#endif

namespace {

constexpr int OK = 0, BAD_ICV = 74, INVALID = 22;
constexpr int AEAD_IV = 8, SALT = 4, NONCE = SALT + AEAD_IV, MAC_OCTETS_MAX = 64;

#ifdef WITH_IPSEC_MB
/* The library, nullptr where it is not; one for all threads, as the calls used here keep nothing in it. */
IMB_MGR *ipsec_mb() {
	static IMB_MGR *manager = []() -> IMB_MGR * {
		void *library = dlopen("libIPSec_MB.so.1", RTLD_NOW | RTLD_LOCAL);
		if (!library) return nullptr;
		auto version = reinterpret_cast<unsigned (*)()>(dlsym(library, "imb_get_version"));
		auto allocate = reinterpret_cast<IMB_MGR *(*)(uint64_t)>(dlsym(library, "alloc_mb_mgr"));
		auto initialize = reinterpret_cast<void (*)(IMB_MGR *, IMB_ARCH *)>(dlsym(library, "init_mb_mgr_auto"));
		// Where its tables are is a matter of the version.
		if (!version || !allocate || !initialize || version() != IMB_VERSION_NUM) return nullptr;
		IMB_MGR *made = allocate(0);
		if (made) initialize(made, nullptr);
		return made;
	}();
	return manager;
}

/* AES-GCM by it: the key's tables, and the calls for its length. */
struct MbGcm {
	gcm_key_data key;
	aes_gcm_enc_dec_t seal, open;
};

MbGcm *make_mb(const uint8_t *bytes, int octets) {
	IMB_MGR *manager = ipsec_mb();
	void *memory = nullptr;
	if (!manager || posix_memalign(&memory, 64, sizeof(MbGcm)) != 0) return nullptr;
	MbGcm *mb = static_cast<MbGcm *>(memory);
	(octets == 16 ? manager->gcm128_pre : octets == 24 ? manager->gcm192_pre : manager->gcm256_pre)(bytes, &mb->key);
	mb->seal = octets == 16 ? manager->gcm128_enc : octets == 24 ? manager->gcm192_enc : manager->gcm256_enc;
	mb->open = octets == 16 ? manager->gcm128_dec : octets == 24 ? manager->gcm192_dec : manager->gcm256_dec;
	return mb;
}
#endif

/* A combined mode, or a cipher in CBC with an HMAC; contexts are kept, a packet sets the nonce alone. */
struct Key {
	EVP_CIPHER_CTX *seal = nullptr, *open = nullptr;
	EVP_MAC_CTX *mac = nullptr;
#ifdef WITH_IPSEC_MB
	MbGcm *mb = nullptr;
#endif
	uint8_t nonce[NONCE] = {};
	int icv = 0;
	bool esn = false;
};

thread_local std::vector<Key *> keys;

int keep(Key *key) {
	for (size_t i = 0; i < keys.size(); i++) {
		if (!keys[i]) {
			keys[i] = key;
			return i;
		}
	}
	keys.push_back(key);
	return keys.size() - 1;
}

void forget(Key *key) {
	EVP_CIPHER_CTX_free(key->seal);
	EVP_CIPHER_CTX_free(key->open);
	EVP_MAC_CTX_free(key->mac);
#ifdef WITH_IPSEC_MB
	if (key->mb) OPENSSL_cleanse(key->mb, sizeof *key->mb);
	free(key->mb);
#endif
	OPENSSL_cleanse(key, sizeof *key);
	delete key;
}

bool make_cipher(Key *key, const char *name, const uint8_t *bytes) {
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(nullptr, name, nullptr);
	if (!cipher) return false;
	uint8_t iv[16] = {};
	key->seal = EVP_CIPHER_CTX_new();
	key->open = EVP_CIPHER_CTX_new();
	bool made = EVP_EncryptInit_ex2(key->seal, cipher, bytes, iv, nullptr) && EVP_DecryptInit_ex2(key->open, cipher, bytes, iv, nullptr);
	EVP_CIPHER_CTX_set_padding(key->seal, 0);
	EVP_CIPHER_CTX_set_padding(key->open, 0);
	EVP_CIPHER_free(cipher);
	return made;
}

bool make_mac(Key *key, const char *digest, const uint8_t *bytes, size_t octets) {
	EVP_MAC *mac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
	if (!mac) return false;
	key->mac = EVP_MAC_CTX_new(mac);
	OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, const_cast<char *>(digest), 0), OSSL_PARAM_construct_end()};
	// An empty key is told by its address.
	const uint8_t none = 0;
	bool made = EVP_MAC_init(key->mac, octets ? bytes : &none, octets, parameters);
	EVP_MAC_free(mac);
	return made;
}

#ifdef WITH_IPSEC_MB
/* AES-GCM by ipsec-mb, if that is there; OpenSSL's contexts are kilobytes, and not kept beside it. */
void hasten(Key *key, const std::string &name, const uint8_t *bytes) {
	const int octets = name == "AES-128-GCM" ? 16 : name == "AES-192-GCM" ? 24 : name == "AES-256-GCM" ? 32 : 0;
	key->mb = octets ? make_mb(bytes, octets) : nullptr;
	if (!key->mb) return;
	EVP_CIPHER_CTX_free(key->seal);
	EVP_CIPHER_CTX_free(key->open);
	key->seal = key->open = nullptr;
}
#endif

/* OpenSSL's name, key with the salt behind it, octets of the ICV, ESN: a number, or -1. */
napi_value AeadKey(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	size_t octets;
	uint8_t *bytes = a.bytes(1, &octets);
	Key *key = new Key;
	key->icv = a.number(2);
	key->esn = a.number(3);
	memcpy(key->nonce, bytes + octets - SALT, SALT);
	if (make_cipher(key, a.text(0).c_str(), bytes)) {
#ifdef WITH_IPSEC_MB
		hasten(key, a.text(0), bytes);
#endif
		return a.plain(keep(key));
	}
	forget(key);
	return a.plain(-1);
}

/* OpenSSL's cipher, its key, digest, its key, octets of the ICV, ESN: a number, or -1. */
napi_value CbcKey(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	size_t octets;
	uint8_t *mac = a.bytes(3, &octets);
	Key *key = new Key;
	key->icv = a.number(4);
	key->esn = a.number(5);
	if (make_cipher(key, a.text(0).c_str(), a.bytes(1)) && make_mac(key, a.text(2).c_str(), mac, octets)) return a.plain(keep(key));
	forget(key);
	return a.plain(-1);
}

napi_value WipeKey(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	Key *&key = keys[a.number(0)];
	if (key) forget(key);
	key = nullptr;
	return a.plain(0);
}

/* Columns of a CryptoBatch with keys and memory as numbers, in the order in which they are registered. */
struct Jobs {
	int32_t *key;
	double *bytes, *out;
	int32_t *aad_at, *iv_at, *text_at, *text_end, *out_at, *seq_hi, *status;
};

thread_local std::vector<Jobs> job_columns;

napi_value RegisterJobs(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	auto column = [&](size_t i) { return reinterpret_cast<int32_t *>(a.bytes(i)); };
	auto wide = [&](size_t i) { return reinterpret_cast<double *>(a.bytes(i)); };
	job_columns.push_back({column(0), wide(1), wide(2), column(3), column(4), column(5), column(6), column(7), column(8), column(9)});
	return a.plain(job_columns.size() - 1);
}

napi_value AddressOf(napi_env env, napi_callback_info info) {
	Arguments a(env, info);
	napi_value result;
	napi_create_double(env, static_cast<double>(reinterpret_cast<uintptr_t>(a.bytes(0))), &result);
	return result;
}

struct Job {
	Key *key;
	uint8_t *aad, *iv, *text, *icv;
	int text_octets;
	uint8_t seq_hi[4];
};

Job job_of(const Jobs &jobs, int i) {
	uint8_t *bytes = reinterpret_cast<uint8_t *>(static_cast<uintptr_t>(jobs.bytes[i]));
	uint8_t *out = reinterpret_cast<uint8_t *>(static_cast<uintptr_t>(jobs.out[i]));
	uint32_t high = static_cast<uint32_t>(jobs.seq_hi[i]);
	return {keys[jobs.key[i]], bytes + jobs.aad_at[i], bytes + jobs.iv_at[i], bytes + jobs.text_at[i], out + jobs.out_at[i],
		jobs.text_end[i] - jobs.text_at[i],
		{static_cast<uint8_t>(high >> 24), static_cast<uint8_t>(high >> 16), static_cast<uint8_t>(high >> 8), static_cast<uint8_t>(high)}};
}

/* SPI and number, with ESN the high half between them (RFC 4106 5). */
int write_aad(const Job &job, uint8_t *aad) {
	memcpy(aad, job.aad, 4);
	if (!job.key->esn) {
		memcpy(aad + 4, job.aad + 4, 4);
		return 8;
	}
	memcpy(aad + 4, job.seq_hi, 4);
	memcpy(aad + 8, job.aad + 4, 4);
	return 12;
}

int seal_aead(Job &job) {
	Key &key = *job.key;
	uint8_t aad[12];
	int done, aad_octets = write_aad(job, aad);
	memcpy(key.nonce + SALT, job.iv, AEAD_IV);
#ifdef WITH_IPSEC_MB
	if (key.mb) {
		gcm_context_data context;
		key.mb->seal(&key.mb->key, &context, job.text, job.text, job.text_octets, key.nonce, aad, aad_octets, job.icv, key.icv);
		return OK;
	}
#endif
	bool good = EVP_EncryptInit_ex(key.seal, nullptr, nullptr, nullptr, key.nonce) &&
		EVP_EncryptUpdate(key.seal, nullptr, &done, aad, aad_octets) &&
		EVP_EncryptUpdate(key.seal, job.text, &done, job.text, job.text_octets) &&
		EVP_EncryptFinal_ex(key.seal, job.text + done, &done) &&
		EVP_CIPHER_CTX_ctrl(key.seal, EVP_CTRL_AEAD_GET_TAG, key.icv, job.icv);
	return good ? OK : INVALID;
}

int open_aead(Job &job) {
	Key &key = *job.key;
	uint8_t aad[12];
	int done, aad_octets = write_aad(job, aad);
	memcpy(key.nonce + SALT, job.iv, AEAD_IV);
#ifdef WITH_IPSEC_MB
	if (key.mb) {
		gcm_context_data context;
		uint8_t icv[16];
		key.mb->open(&key.mb->key, &context, job.text, job.text, job.text_octets, key.nonce, aad, aad_octets, icv, key.icv);
		return CRYPTO_memcmp(icv, job.icv, key.icv) == 0 ? OK : BAD_ICV;
	}
#endif
	bool ready = EVP_DecryptInit_ex(key.open, nullptr, nullptr, nullptr, key.nonce) &&
		EVP_CIPHER_CTX_ctrl(key.open, EVP_CTRL_AEAD_SET_TAG, key.icv, job.icv) &&
		EVP_DecryptUpdate(key.open, nullptr, &done, aad, aad_octets) &&
		EVP_DecryptUpdate(key.open, job.text, &done, job.text, job.text_octets);
	if (!ready) return INVALID;
	return EVP_DecryptFinal_ex(key.open, job.text + done, &done) > 0 ? OK : BAD_ICV;
}

/* Over SPI to the end of the text; with ESN the high half follows (RFC 4303 2.2.1). */
bool compute_mac(const Job &job, uint8_t *mac) {
	Key &key = *job.key;
	size_t octets;
	return EVP_MAC_init(key.mac, nullptr, 0, nullptr) &&
		EVP_MAC_update(key.mac, job.aad, job.text + job.text_octets - job.aad) &&
		(!key.esn || EVP_MAC_update(key.mac, job.seq_hi, 4)) &&
		EVP_MAC_final(key.mac, mac, &octets, MAC_OCTETS_MAX);
}

int seal_cbc(Job &job) {
	Key &key = *job.key;
	uint8_t mac[MAC_OCTETS_MAX];
	int done;
	bool good = EVP_EncryptInit_ex(key.seal, nullptr, nullptr, nullptr, job.iv) &&
		EVP_EncryptUpdate(key.seal, job.text, &done, job.text, job.text_octets) && compute_mac(job, mac);
	if (!good) return INVALID;
	memcpy(job.icv, mac, key.icv);
	return OK;
}

int open_cbc(Job &job) {
	Key &key = *job.key;
	uint8_t mac[MAC_OCTETS_MAX];
	int done;
	if (!compute_mac(job, mac)) return INVALID;
	if (CRYPTO_memcmp(mac, job.icv, key.icv) != 0) return BAD_ICV;
	bool good = EVP_DecryptInit_ex(key.open, nullptr, nullptr, nullptr, job.iv) &&
		EVP_DecryptUpdate(key.open, job.text, &done, job.text, job.text_octets);
	return good ? OK : INVALID;
}

/* columns, count: jobs whose key is -1 are somebody else's. */
napi_value run_jobs(napi_env env, napi_callback_info info, int (*cbc)(Job &), int (*aead)(Job &)) {
	Arguments a(env, info);
	const Jobs &jobs = job_columns[a.number(0)];
	for (int i = 0, count = a.number(1); i < count; i++) {
		if (jobs.key[i] < 0) continue;
		Job job = job_of(jobs, i);
		jobs.status[i] = (job.key->mac ? cbc : aead)(job);
	}
	return nullptr;
}
napi_value Seal(napi_env env, napi_callback_info info) { return run_jobs(env, info, seal_cbc, seal_aead); }
napi_value OpenSealed(napi_env env, napi_callback_info info) { return run_jobs(env, info, open_cbc, open_aead); }

/* Whose arithmetic AES-GCM is. */
napi_value CryptoLibrary(napi_env env, napi_callback_info info) {
	std::string name = std::string("OpenSSL ") + OpenSSL_version(OPENSSL_VERSION_STRING);
#ifdef WITH_IPSEC_MB
	if (ipsec_mb()) name = std::string("ipsec-mb ") + IMB_VERSION_STR;
#endif
	napi_value result;
	napi_create_string_utf8(env, name.c_str(), name.size(), &result);
	return result;
}

}  // namespace

#endif
