/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/luks.h"

#include <errno.h>
#include <gcrypt.h>
#include <string.h>

#include "base/be.h"
#include "base/error.h"
#include "block/format.h"
#include "block/image.h"

enum {
	SECTOR = IMAGE_SECTOR_SIZE,
	CHUNK = 256 << 10,
	/* Specification 1.2.3, table 1 and table 2 */
	HEADER_LEN = 592,
	CIPHER_NAME = 8,
	CIPHER_MODE = 40,
	HASH_SPEC = 72,
	PAYLOAD_OFFSET = 104,
	KEY_BYTES = 108,
	MK_DIGEST = 112,
	MK_DIGEST_SALT = 132,
	MK_DIGEST_ITERATIONS = 164,
	UUID = 168,
	SLOTS = 208,
	N_SLOTS = 8,
	SLOT_LEN = 48,
	SLOT_ITERATIONS = 4,
	SLOT_SALT = 8,
	SLOT_MATERIAL = 40,
	SLOT_STRIPES = 44,
	NAME_LEN = 32,
	SALT_LEN = 32,
	DIGEST_LEN = 20,
	STRIPES = 4000,
	MAX_KEY = 64,
	MAX_ITERATIONS = 1 << 26, /* a minute of work; more is an attack */
	/* Of what we write: key material begins at a block of the host's disk. */
	ALIGN = 4096,
	MIN_ITERATIONS = 1000,
	PROBE_ITERATIONS = 20000,
};

#define SLOT_ENABLED  0x00ac71f3u
#define SLOT_DISABLED 0x0000deadu

static const uint8_t magic[8] = {'L', 'U', 'K', 'S', 0xba, 0xbe, 0, 1};

struct cipher {
	int algorithm, mode; /* libgcrypt's */
	int essiv;	     /* the cipher of its tweak; 0: the sector's number is it */
	int essiv_hash;	     /* of the key, which is that cipher's */
	bool is_32_bits;     /* of the number: plain, not plain64 */
	size_t key_len, block_len;
	uint8_t key[MAX_KEY];
	uint8_t essiv_key[MAX_KEY];
};

struct luks {
	struct cipher cipher;
	uint64_t payload;
};

static const struct {
	const char *name;
	unsigned key_bits;
	int algorithm;
} algorithms[] = {
	{"aes", 128, GCRY_CIPHER_AES128},	  {"aes", 192, GCRY_CIPHER_AES192},
	{"aes", 256, GCRY_CIPHER_AES256},	  {"serpent", 128, GCRY_CIPHER_SERPENT128},
	{"serpent", 192, GCRY_CIPHER_SERPENT192}, {"serpent", 256, GCRY_CIPHER_SERPENT256},
	{"twofish", 128, GCRY_CIPHER_TWOFISH128}, {"twofish", 256, GCRY_CIPHER_TWOFISH},
	{"cast5", 128, GCRY_CIPHER_CAST5},
};

static const struct {
	const char *name;
	int mode;
} modes[] = {
	{"xts-", GCRY_CIPHER_MODE_XTS},
	{"cbc-", GCRY_CIPHER_MODE_CBC},
	{"ctr-", GCRY_CIPHER_MODE_CTR},
	{"ecb-", GCRY_CIPHER_MODE_ECB},
};

static void init_library(void)
{
	if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P))
		return;
	gcry_check_version(NULL);
	gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
	gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
}

static bool bad(const char *name, GError **error, const char *why, const char *what)
{
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "encrypted disk '%s': %s%s%s%s", name, why,
		    *what ? " '" : "", what, *what ? "'" : "");
	return false;
}

static int find_algorithm(const char *name, unsigned key_bits)
{
	for (size_t i = 0; i < G_N_ELEMENTS(algorithms); i++)
		if (!strcmp(algorithms[i].name, name) && algorithms[i].key_bits == key_bits)
			return algorithms[i].algorithm;
	return 0;
}

/* As "xts-plain64" and "cbc-essiv:sha256". */
static bool set_cipher(struct cipher *c, const char *name, const char *mode, size_t key_len)
{
	const char *tweak;
	unsigned i = 0;

	while (i < G_N_ELEMENTS(modes) && !g_str_has_prefix(mode, modes[i].name))
		i++;
	if (i == G_N_ELEMENTS(modes))
		return false;
	tweak = mode + strlen(modes[i].name);
	c->mode = modes[i].mode;
	c->key_len = key_len;
	c->algorithm = find_algorithm(name, key_len * 8 / (c->mode == GCRY_CIPHER_MODE_XTS ? 2 : 1));
	if (!c->algorithm)
		return false;
	c->block_len = gcry_cipher_get_algo_blklen(c->algorithm);
	c->is_32_bits = !strcmp(tweak, "plain");
	if (!g_str_has_prefix(tweak, "essiv:"))
		return c->is_32_bits || !strcmp(tweak, "plain64");
	c->essiv_hash = gcry_md_map_name(tweak + strlen("essiv:"));
	if (c->essiv_hash)
		c->essiv = find_algorithm(name, 8 * gcry_md_get_algo_dlen(c->essiv_hash));
	return c->essiv;
}

static void set_key(struct cipher *c, const uint8_t *key)
{
	memcpy(c->key, key, c->key_len);
	if (c->essiv)
		gcry_md_hash_buffer(c->essiv_hash, c->essiv_key, key, c->key_len);
}

static bool make_tweak(const struct cipher *c, gcry_cipher_hd_t essiv, uint64_t sector,
		       uint8_t tweak[16])
{
	uint64_t number = GUINT64_TO_LE(c->is_32_bits ? (uint32_t)sector : sector);

	memset(tweak, 0, 16);
	memcpy(tweak, &number, sizeof(number));
	return !c->essiv || !gcry_cipher_encrypt(essiv, tweak, c->block_len, NULL, 0);
}

static bool set_tweak(const struct cipher *c, gcry_cipher_hd_t handle, const uint8_t *tweak)
{
	if (c->mode == GCRY_CIPHER_MODE_ECB)
		return true;
	return c->mode == GCRY_CIPHER_MODE_CTR ? !gcry_cipher_setctr(handle, tweak, c->block_len)
					       : !gcry_cipher_setiv(handle, tweak, c->block_len);
}

static bool crypt_sectors(const struct cipher *c, gcry_cipher_hd_t handle, gcry_cipher_hd_t essiv,
			  uint64_t sector, uint8_t *bytes, size_t len, bool encrypt)
{
	for (size_t at = 0; at < len; at += SECTOR, sector++) {
		uint8_t tweak[16];

		if (!make_tweak(c, essiv, sector, tweak) ||
		    !set_tweak(c, handle, tweak) ||
		    (encrypt ? gcry_cipher_encrypt(handle, bytes + at, SECTOR, NULL, 0)
			     : gcry_cipher_decrypt(handle, bytes + at, SECTOR, NULL, 0)))
			return false;
	}
	return true;
}

/* Handles are of one thread; to make one costs less than a sector does. */
static bool run_cipher(const struct cipher *c, uint64_t sector, uint8_t *bytes, size_t len,
		       bool encrypt)
{
	gcry_cipher_hd_t handle, essiv = NULL;
	bool ok;

	if (gcry_cipher_open(&handle, c->algorithm, c->mode, 0))
		return false;
	ok = !gcry_cipher_setkey(handle, c->key, c->key_len);
	if (ok && c->essiv)
		ok = !gcry_cipher_open(&essiv, c->essiv, GCRY_CIPHER_MODE_ECB, 0) &&
		     !gcry_cipher_setkey(essiv, c->essiv_key,
					 gcry_cipher_get_algo_keylen(c->essiv));
	ok = ok && crypt_sectors(c, handle, essiv, sector, bytes, len, encrypt);
	gcry_cipher_close(handle);
	gcry_cipher_close(essiv);
	return ok;
}

static bool derive(int hash, const void *secret, size_t secret_len, const uint8_t *salt,
		   uint32_t iterations, uint8_t *key, size_t key_len)
{
	return iterations && iterations <= MAX_ITERATIONS &&
	       !gcry_kdf_derive(secret, secret_len, GCRY_KDF_PBKDF2, hash, salt, SALT_LEN,
				iterations, key_len, key);
}

/* Specification, section 2.4: the hash of each piece, after its number. */
static void diffuse(int hash, uint8_t *key, size_t len)
{
	size_t digest_len = gcry_md_get_algo_dlen(hash);
	uint8_t in[4 + 64], out[64];

	for (size_t at = 0, i = 0; at < len; at += digest_len, i++) {
		size_t n = MIN(digest_len, len - at);

		be32_store(in, i);
		memcpy(in + 4, key + at, n);
		gcry_md_hash_buffer(hash, out, in, 4 + n);
		memcpy(key + at, out, n);
	}
}

static void mix(int hash, uint8_t *state, const uint8_t *stripe, size_t len)
{
	for (size_t i = 0; i < len; i++)
		state[i] ^= stripe[i];
	diffuse(hash, state, len);
}

static void merge(int hash, const uint8_t *material, uint32_t stripes, uint8_t *key, size_t len)
{
	memset(key, 0, len);
	for (uint32_t i = 0; i + 1 < stripes; i++)
		mix(hash, key, material + i * len, len);
	for (size_t i = 0; i < len; i++)
		key[i] ^= material[(stripes - 1) * len + i];
}

static void split(int hash, const uint8_t *key, uint8_t *material, size_t len)
{
	uint8_t state[MAX_KEY] = {};

	gcry_randomize(material, (STRIPES - 1) * len, GCRY_STRONG_RANDOM);
	for (uint32_t i = 0; i + 1 < STRIPES; i++)
		mix(hash, state, material + i * len, len);
	for (size_t i = 0; i < len; i++)
		material[(STRIPES - 1) * len + i] = key[i] ^ state[i];
}

static bool is_master_key(const uint8_t *header, int hash, const uint8_t *key, size_t len)
{
	uint8_t digest[DIGEST_LEN];

	return derive(hash, key, len, header + MK_DIGEST_SALT,
		      be32_load(header + MK_DIGEST_ITERATIONS), digest, DIGEST_LEN) &&
	       !memcmp(digest, header + MK_DIGEST, DIGEST_LEN);
}

/* The master key by one slot; false: by another, or none. */
static bool try_slot(struct luks *luks, struct file *file, uint64_t offset, const uint8_t *header,
		     const uint8_t *slot, int hash, const char *passphrase)
{
	struct cipher *c = &luks->cipher;
	uint32_t stripes = be32_load(slot + SLOT_STRIPES);
	size_t len = round_up(c->key_len * MIN(stripes, STRIPES), SECTOR);
	g_autofree uint8_t *material = NULL;
	uint8_t key[MAX_KEY];

	if (be32_load(slot) != SLOT_ENABLED || !stripes || stripes > STRIPES ||
	    !derive(hash, passphrase, strlen(passphrase), slot + SLOT_SALT,
		    be32_load(slot + SLOT_ITERATIONS), key, c->key_len))
		return false;
	material = g_malloc(len);
	if (file_load(file, offset + be32_load(slot + SLOT_MATERIAL) * (uint64_t)SECTOR, material,
		      len))
		return false;
	set_key(c, key);
	if (!run_cipher(c, 0, material, len, false))
		return false;
	merge(hash, material, stripes, key, c->key_len);
	if (!is_master_key(header, hash, key, c->key_len))
		return false;
	set_key(c, key);
	return true;
}

static bool parse_header(struct luks *luks, const char *name, const uint8_t *header, int *hash,
			 GError **error)
{
	g_autofree char *cipher = g_strndup((const char *)header + CIPHER_NAME, NAME_LEN);
	g_autofree char *mode = g_strndup((const char *)header + CIPHER_MODE, NAME_LEN);
	g_autofree char *spec = g_strndup((const char *)header + HASH_SPEC, NAME_LEN);
	uint32_t key_len = be32_load(header + KEY_BYTES);

	if (memcmp(header, magic, sizeof(magic)))
		return bad(name, error, "it has no LUKS header of version 1", "");
	*hash = gcry_md_map_name(spec);
	if (!*hash || gcry_md_test_algo(*hash) || gcry_md_get_algo_dlen(*hash) > 64)
		return bad(name, error, "its hash is not known:", spec);
	if (!key_len || key_len > MAX_KEY || !set_cipher(&luks->cipher, cipher, mode, key_len)) {
		g_autofree char *both = g_strdup_printf("%s-%s", cipher, mode);

		return bad(name, error, "its cipher is not known:", both);
	}
	luks->payload = be32_load(header + PAYLOAD_OFFSET) * (uint64_t)SECTOR;
	return true;
}

static bool unlock(struct luks *luks, struct file *file, uint64_t offset, const char *passphrase,
		   GError **error)
{
	uint8_t header[HEADER_LEN];
	int hash, status = file_load(file, offset, header, HEADER_LEN);

	if (status) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "encrypted disk '%s': cannot read its header: %s", file->name,
			    g_strerror(-status));
		return false;
	}
	if (!parse_header(luks, file->name, header, &hash, error))
		return false;
	for (unsigned i = 0; i < N_SLOTS; i++)
		if (try_slot(luks, file, offset, header, header + SLOTS + i * SLOT_LEN, hash,
			     passphrase))
			return true;
	return bad(file->name, error, "the passphrase is not the right one", "");
}

struct luks *luks_open(struct file *file, uint64_t offset, const char *passphrase, GError **error)
{
	struct luks *luks = g_new0(struct luks, 1);

	init_library();
	if (unlock(luks, file, offset, passphrase, error))
		return luks;
	luks_free(luks);
	return NULL;
}

bool luks_find(struct file *file, uint64_t offset, uint64_t *payload, GError **error)
{
	struct luks luks = {};
	uint8_t header[HEADER_LEN];
	int hash, status = file_load(file, offset, header, HEADER_LEN);

	init_library();
	if (status)
		memset(header, 0, sizeof(header));
	if (!parse_header(&luks, file->name, header, &hash, error))
		return false;
	*payload = luks.payload;
	return true;
}

struct luks *luks_open_legacy(const char *passphrase, GError **error)
{
	struct luks *luks = g_new0(struct luks, 1);
	uint8_t key[16] = {};

	init_library();
	memcpy(key, passphrase, MIN(strlen(passphrase), sizeof(key)));
	set_cipher(&luks->cipher, "aes", "cbc-plain64", sizeof(key));
	set_key(&luks->cipher, key);
	return luks;
}

void luks_free(struct luks *luks)
{
	if (luks)
		explicit_bzero(luks, sizeof(*luks));
	g_free(luks);
}

static int transfer(const struct luks *luks, struct file *file, uint64_t at, uint64_t tweak,
		    struct span span, bool write)
{
	g_autofree uint8_t *bytes = g_malloc(MIN(span.len, CHUNK));
	int status = 0;

	for (uint64_t done = 0, n; done < span.len && !status; done += n) {
		struct span part;

		n = MIN(span.len - done, CHUNK);
		part = span_part(span, done, n);
		if (write)
			span_load(part, bytes);
		else
			status = file_load(file, at + done, bytes, n);
		if (!status && !run_cipher(&luks->cipher, (tweak + done) / SECTOR, bytes, n, write))
			status = -EIO;
		if (!status && write)
			status = file_store(file, at + done, bytes, n);
		else if (!status)
			span_store(part, bytes);
	}
	return status;
}

int luks_read(const struct luks *luks, struct file *file, uint64_t at, uint64_t tweak,
	      struct span span)
{
	return transfer(luks, file, at, tweak, span, false);
}

int luks_write(const struct luks *luks, struct file *file, uint64_t at, uint64_t tweak,
	       struct span span)
{
	return transfer(luks, file, at, tweak, span, true);
}

static size_t material_len(void)
{
	return round_up(MAX_KEY * STRIPES, ALIGN);
}

uint64_t luks_header_len(void)
{
	return ALIGN + N_SLOTS * material_len();
}

static uint32_t iterations_for(unsigned ms)
{
	uint8_t salt[SALT_LEN] = {}, key[MAX_KEY];
	int64_t start = g_get_monotonic_time(), us;

	derive(GCRY_MD_SHA256, "probe", 5, salt, PROBE_ITERATIONS, key, sizeof(key));
	us = MAX(g_get_monotonic_time() - start, 1);
	return CLAMP((uint64_t)ms * 1000 * PROBE_ITERATIONS / us, MIN_ITERATIONS, MAX_ITERATIONS);
}

static void fill_header(uint8_t *header, const uint8_t *master, uint32_t iterations)
{
	g_autofree char *uuid = g_uuid_string_random();

	memcpy(header, magic, sizeof(magic));
	strcpy((char *)header + CIPHER_NAME, "aes");
	strcpy((char *)header + CIPHER_MODE, "xts-plain64");
	strcpy((char *)header + HASH_SPEC, "sha256");
	be32_store(header + PAYLOAD_OFFSET, luks_header_len() / SECTOR);
	be32_store(header + KEY_BYTES, MAX_KEY);
	gcry_randomize(header + MK_DIGEST_SALT, SALT_LEN, GCRY_STRONG_RANDOM);
	be32_store(header + MK_DIGEST_ITERATIONS, MAX(iterations / 8, MIN_ITERATIONS));
	derive(GCRY_MD_SHA256, master, MAX_KEY, header + MK_DIGEST_SALT,
	       be32_load(header + MK_DIGEST_ITERATIONS), header + MK_DIGEST, DIGEST_LEN);
	strcpy((char *)header + UUID, uuid);
	for (unsigned i = 0; i < N_SLOTS; i++) {
		uint8_t *slot = header + SLOTS + i * SLOT_LEN;

		be32_store(slot, SLOT_DISABLED);
		be32_store(slot + SLOT_MATERIAL, (ALIGN + i * material_len()) / SECTOR);
		be32_store(slot + SLOT_STRIPES, STRIPES);
	}
}

bool luks_format(struct file *file, uint64_t offset, const char *passphrase, unsigned guess_ms,
		 GError **error)
{
	struct cipher c = {};
	uint8_t header[HEADER_LEN] = {}, master[MAX_KEY], key[MAX_KEY], *slot = header + SLOTS;
	g_autofree uint8_t *material = g_malloc0(material_len());
	uint32_t iterations;
	int status;

	init_library();
	iterations = iterations_for(guess_ms);
	gcry_randomize(master, sizeof(master), GCRY_STRONG_RANDOM);
	fill_header(header, master, iterations);
	be32_store(slot, SLOT_ENABLED);
	be32_store(slot + SLOT_ITERATIONS, iterations);
	gcry_randomize(slot + SLOT_SALT, SALT_LEN, GCRY_STRONG_RANDOM);
	derive(GCRY_MD_SHA256, passphrase, strlen(passphrase), slot + SLOT_SALT, iterations, key,
	       sizeof(key));
	split(GCRY_MD_SHA256, master, material, sizeof(master));
	set_cipher(&c, "aes", "xts-plain64", sizeof(key));
	set_key(&c, key);
	status = run_cipher(&c, 0, material, round_up(MAX_KEY * STRIPES, SECTOR), true) ? 0 : -EIO;
	if (!status)
		status = file_store(file, offset + ALIGN, material, material_len());
	if (!status)
		status = file_store(file, offset, header, sizeof(header));
	explicit_bzero(master, sizeof(master));
	explicit_bzero(key, sizeof(key));
	explicit_bzero(&c, sizeof(c));
	if (status)
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "encrypted disk '%s': cannot write its header: %s", file->name,
			    g_strerror(-status));
	return !status;
}
