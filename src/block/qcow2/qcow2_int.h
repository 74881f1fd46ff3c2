/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of the qcow2 format. Terms and layouts are those of QEMU's docs/interop/qcow2.txt,
 * "the specification" here. Seen in this folder only.
 *
 * Threads: `lock` guards the tables, in memory and in the file. It is held for look-ups and
 * changes, and while a table that is not in memory is read; never while data is transferred, and
 * never over a flush but where the refcount table grows. Functions want it held where nothing else
 * is said. Exclusive calls (open, check, resize, snapshots) do without.
 *
 * What orders the writes is in flush.c, and so is what a power cut may lose.
 */
#ifndef VIV_BLOCK_QCOW2_INT_H
#define VIV_BLOCK_QCOW2_INT_H

#include "block/format.h"
#include "block/qcow2/table.h"

#define QCOW2_MAGIC	       0x514649fbu
#define QCOW2_MIN_CLUSTER_BITS 9u
#define QCOW2_MAX_CLUSTER_BITS 21u
#define QCOW2_MAX_L1_BYTES     (32u << 20)
#define QCOW2_MAX_REFTABLE     (8u << 20)
#define QCOW2_MAX_SNAPSHOTS    65536u
#define QCOW2_MAX_BITMAPS      65535u
#define QCOW2_MAX_NAME	       1023u
#define QCOW2_OFFSET_MASK      0x00fffffffffffe00ull /* of L1 and L2 entries: bits 9 to 55 */
#define QCOW2_COPIED	       (1ull << 63)	     /* L1 and L2: the refcount is exactly one */
#define QCOW2_COMPRESSED       (1ull << 62)
#define QCOW2_ZERO	       1ull

enum qcow2_incompatible {
	QCOW2_DIRTY = 1 << 0, /* refcounts are not up to date */
	QCOW2_CORRUPT = 1 << 1,
	QCOW2_DATA_FILE = 1 << 2,
	QCOW2_COMPRESSION = 1 << 3,
	QCOW2_EXTENDED_L2 = 1 << 4,
	QCOW2_INCOMPATIBLE_KNOWN = 0x1f,
};
enum qcow2_compatible { QCOW2_LAZY_REFCOUNTS = 1 << 0 };
enum qcow2_autoclear { QCOW2_BITMAPS = 1 << 0, QCOW2_RAW_DATA_FILE = 1 << 1 };
enum qcow2_crypt { QCOW2_PLAIN, QCOW2_AES, QCOW2_LUKS };
enum qcow2_compression { QCOW2_ZLIB, QCOW2_ZSTD };

enum qcow2_extension {
	QCOW2_EXT_END = 0,
	QCOW2_EXT_BACKING_FORMAT = 0xe2792aca,
	QCOW2_EXT_FEATURE_NAMES = 0x6803f857,
	QCOW2_EXT_BITMAPS = 0x23852875,
	QCOW2_EXT_LUKS = 0x0537be77,
	QCOW2_EXT_DATA_FILE = 0x44415441,
};

struct qcow2_header {
	uint32_t version;
	uint32_t cluster_bits, refcount_order;
	uint64_t size;
	uint32_t crypt;
	uint32_t l1_size; /* entries */
	uint64_t l1_offset;
	uint64_t reftable_offset;
	uint32_t reftable_clusters;
	uint32_t n_snapshots;
	uint64_t snapshots_offset;
	uint64_t incompatible, compatible, autoclear;
	uint8_t compression;
	char *backing_name, *backing_format, *data_file;
	uint32_t n_bitmaps;
	uint64_t bitmaps_size, bitmaps_offset; /* of the directory, in bytes */
	uint64_t luks_offset, luks_len;
	GByteArray *others; /* extensions that are kept as they are, feature names among them */
};

struct qcow2_snapshot {
	char *id, *name;
	uint64_t l1_offset;
	uint32_t l1_size; /* entries */
	uint32_t date_s, date_ns;
	uint64_t vm_clock_ns;
	uint64_t vm_state_size, disk_size; /* bytes */
	GBytes *extra;			   /* what follows these in the extra data */
};

/* Clusters whose last reference is gone from the tables in memory, but not yet from the file. */
struct qcow2_free {
	uint64_t offset, clusters;
	bool punch; /* the host is to have the space */
};

/* What an L2 entry says. A cluster has one part, or 32 (extended L2 entries); a bit each. */
struct qcow2_mapping {
	uint64_t host; /* of a compressed one the descriptor */
	bool has_host; /* 0 may be one, in a data file */
	uint32_t data, zero;
	bool copied, compressed;
	bool reserved; /* bits are set that mean nothing; encoded they are not */
};

/* Guest clusters that a write is giving host clusters: `n` from `first` on. */
struct qcow2_allocation {
	struct qcow2_allocation *next;
	uint64_t first, n;
};

struct qcow2 {
	struct image image;
	struct qcow2_header header;
	uint32_t cluster_bits;
	uint64_t cluster_size;
	uint32_t l2_bits;	/* log2 of the entries of an L2 table */
	uint32_t entry_size;	/* of an L2 entry, in bytes */
	uint32_t part_bits;	/* log2 of a part's bytes */
	uint32_t all_parts;	/* a bit each */
	uint32_t refblock_bits; /* log2 of the entries of a refcount block */
	uint64_t refcount_max;

	GMutex lock;
	GCond changed; /* allocations ended, or the last transfer of a generation */
	uint64_t *l1;
	struct qcow2_range l1_dirty; /* of entries */
	struct table_cache *l2, *refcounts;
	uint64_t *reftable;
	uint64_t n_reftable;
	struct qcow2_range reftable_dirty;
	uint64_t free_hint; /* no cluster below is free */
	uint64_t virgin;    /* clusters from here on were never written and read as zeroes */
	uint64_t packed_at; /* where the next compressed bytes go; 0: in a new cluster */
	struct qcow2_allocation *allocations;
	GArray *frees;	     /* of struct qcow2_free */
	_Atomic bool failed; /* a flush did, or the image is corrupt: nothing more is written */
	unsigned generation; /* transfers of data begin in it */
	_Atomic unsigned transfers[2];
	_Atomic bool waiting; /* somebody waits for a generation to end */

	GMutex flush_lock; /* one flush at a time; taken before `lock` */

	GPtrArray *snapshots;		 /* of struct qcow2_snapshot */
	uint64_t snapshots_len;		 /* of their table in the file, in bytes */
	struct qcow2_unpacked *unpacked; /* compress.c's */
	struct luks *luks;
	struct qcow2_bitmaps *bitmaps; /* bitmap.c's; NULL: none is kept */
};

static inline struct qcow2 *qcow2_of(struct image *image)
{
	return (struct qcow2 *)image;
}

/* The data file is what the disk is, without a look at the tables. */
static inline bool qcow2_data_is_raw(const struct qcow2 *q)
{
	return q->image.data && q->header.autoclear & QCOW2_RAW_DATA_FILE;
}

static inline uint64_t qcow2_clusters(const struct qcow2 *q, uint64_t bytes)
{
	return (bytes >> q->cluster_bits) + !!(bytes & (q->cluster_size - 1));
}

/* header.c; errors name the file */
bool qcow2_header_read(struct file *file, struct qcow2_header *header, GError **error);
void qcow2_header_fini(struct qcow2_header *header);
/* The fields, which are in the first sector. */
int qcow2_header_store(struct file *file, const struct qcow2_header *header);
/* All of it, with extensions and backing name; false: it does not fit into a cluster. */
bool qcow2_header_rewrite(struct file *file, const struct qcow2_header *header, GError **error);

/* refcount.c; integers are 0 or a negative errno */
int qcow2_refcount(struct qcow2 *q, uint64_t cluster, uint64_t *count);
int qcow2_refcount_add(struct qcow2 *q, uint64_t cluster, uint64_t n, int by);
uint64_t qcow2_refcount_load(const struct qcow2 *q, const uint8_t *block, uint64_t index);
void qcow2_refcount_store(const struct qcow2 *q, uint8_t *block, uint64_t index, uint64_t count);
/* One to `want` clusters in a piece; `virgin`: they read as zeroes. */
int qcow2_alloc(struct qcow2 *q, uint64_t want, uint64_t *offset, uint64_t *got, bool *virgin);
/* All of them in a piece. */
int qcow2_alloc_table(struct qcow2 *q, uint64_t clusters, uint64_t *offset);
/* Bytes that may share clusters with other compressed ones. */
int qcow2_alloc_bytes(struct qcow2 *q, uint64_t len, uint64_t *offset);
/* References that no table in the file has, or never had. */
int qcow2_free_now(struct qcow2 *q, uint64_t offset, uint64_t clusters);
/* After the next flush. */
void qcow2_free_later(struct qcow2 *q, uint64_t offset, uint64_t clusters, bool punch);

/* mapping.c */
struct qcow2_mapping qcow2_decode(const struct qcow2 *q, const struct table *table, unsigned index);
void qcow2_encode(struct qcow2 *q, struct table *table, unsigned index, struct qcow2_mapping m);
/* The L2 table of a byte of the disk; NULL: there is none. `may_read`: from the file, else it is
 * -EAGAIN. */
int qcow2_l2(struct qcow2 *q, uint64_t offset, bool may_read, struct table **table);
/* Such that it may be changed; made if need be. */
int qcow2_l2_for_write(struct qcow2 *q, uint64_t offset, struct table **table);
unsigned qcow2_l2_index(const struct qcow2 *q, uint64_t offset);
/* Where the bytes of a compressed cluster are: whole sectors, the last of which may be cut by the
 * file's end. */
void qcow2_packed(const struct qcow2 *q, uint64_t descriptor, uint64_t *offset, uint64_t *len);
/* Gives up what an entry refers to; what is in a data file is the caller's care. */
void qcow2_release(struct qcow2 *q, struct qcow2_mapping m, bool punch);
/* Whether the entry, of the cluster of a byte of the disk, is one that the specification allows and
 * lies where it can. */
bool qcow2_mapping_is_sane(const struct qcow2 *q, uint64_t offset, struct qcow2_mapping m);
/* Says that the image is corrupt, to the user and in the file; nothing is written from now on.
 * -EIO. */
int qcow2_corrupt(struct qcow2 *q, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Bytes of the disk that stand alike. */
struct qcow2_piece {
	enum image_extent_kind kind;
	uint64_t host; /* of data the first byte, of a compressed cluster the descriptor */
	uint64_t len;
	bool copied; /* all of its clusters are its own */
};

/* io.c */
/* Those at `offset`, of at most `len`. */
int qcow2_resolve(struct qcow2 *q, uint64_t offset, uint64_t len, bool may_read,
		  struct qcow2_piece *piece);
/* The rest without the lock. */
int qcow2_read(struct image *image, uint64_t offset, struct span span);
int qcow2_write(struct image *image, uint64_t offset, struct span span);
int qcow2_write_compressed(struct image *image, uint64_t offset, struct span span);
/* zero.c */
int qcow2_discard(struct image *image, uint64_t offset, uint64_t len);
int qcow2_write_zeroes(struct image *image, uint64_t offset, uint64_t len, bool unmap);
/* They are unallocated then, whatever the backing image has there. */
int qcow2_forget(struct qcow2 *q, uint64_t first, uint64_t n);
int qcow2_map(struct image *image, uint64_t offset, uint64_t len, struct image_extent *extent);
bool qcow2_locate(struct image *image, uint64_t offset, uint64_t len, bool write,
		  uint64_t *file_offset);
/* With the lock: waits until no write that gives host clusters to these is on its way; whether it
 * had to. */
bool qcow2_wait_allocations(struct qcow2 *q, uint64_t first, uint64_t n);
unsigned qcow2_transfer_begin(struct qcow2 *q);		       /* with the lock */
void qcow2_transfer_end(struct qcow2 *q, unsigned generation); /* without the lock */

/* flush.c; without the lock */
int qcow2_flush(struct image *image);
/* Writes refcounts that were left to the next flush; for close. */
int qcow2_write_refcounts(struct qcow2 *q);
/* Flushes if more waits for it than memory should hold. */
int qcow2_relieve(struct qcow2 *q);

/* compress.c; any thread, without the lock */
/* Bytes of `to`, which has room for a cluster less one; 0: it does not get smaller. */
size_t qcow2_pack(const struct qcow2 *q, const uint8_t *cluster, uint8_t *to);
/* Of a compressed cluster the bytes from the from-th on. */
int qcow2_read_packed(struct qcow2 *q, uint64_t descriptor, uint64_t from, struct span span);
struct qcow2_unpacked *qcow2_unpacked_new(void);
void qcow2_unpacked_free(struct qcow2_unpacked *unpacked);
/* What was unpacked of clusters that may be others by now is forgotten. */
void qcow2_unpacked_forget(struct qcow2 *q);

/* snapshot.c; exclusive calls */
/* Says in image->damage if the table is not one. */
int qcow2_snapshots_load(struct qcow2 *q);
/* Writes the table of q->snapshots to new clusters, and the header that names it. */
int qcow2_snapshots_store(struct qcow2 *q);
uint64_t *qcow2_l1_load(struct qcow2 *q, uint64_t offset, uint32_t n); /* NULL: it cannot be read */
int qcow2_l1_store(struct qcow2 *q, uint64_t offset, const uint64_t *l1, uint32_t n);
/*
 * Adds `by` to the counts of all that an L1 table refers to, the table's own clusters not among
 * it; nothing if that fails.
 */
int qcow2_references_add(struct qcow2 *q, const uint64_t *l1, uint32_t n, int by);
/* Another active L1 table, in new clusters, which becomes q->l1 unless that fails; and with it, at
 * once, another size of the disk. What the old one referred to is the caller's care. */
int qcow2_l1_replace(struct qcow2 *q, uint64_t *l1, uint32_t n, uint64_t disk_size);
/* Marks in the active tables what is their own and what is shared. */
int qcow2_mark_copied(struct qcow2 *q);
bool qcow2_fail(const struct qcow2 *q, GError **error, int status, const char *what);
extern const struct image_snapshot_ops qcow2_snapshot_ops;

/* check.c */
bool qcow2_check(struct image *image, enum image_repair repair, struct image_check *report,
		 GError **error);

/* resize.c */
bool qcow2_resize(struct image *image, uint64_t size, GError **error);
int qcow2_empty(struct image *image);
/* Gives all of a new image's disk its clusters: "metadata", "falloc" or "full". */
bool qcow2_preallocate(struct file *file, const char *how, GError **error);

/* bitmap.c; exclusive calls where nothing else is said */
int qcow2_bitmaps_load(struct qcow2 *q);
void qcow2_bitmaps_free(struct qcow2 *q);
/* Before the disk is written: from now on those that are enabled have what is marked. */
int qcow2_bitmaps_keep(struct qcow2 *q);
bool qcow2_bitmaps_are_kept(const struct qcow2 *q);
/* Any thread, without the lock: these bytes change. */
void qcow2_bitmaps_mark(struct qcow2 *q, uint64_t offset, uint64_t len);
int qcow2_bitmaps_store(struct qcow2 *q);
void qcow2_bitmaps_info(const struct qcow2 *q, struct image_info *info);
/* Tells `fn` of all bytes of the file that bitmaps have. */
int qcow2_bitmaps_each(struct qcow2 *q, void (*fn)(void *opaque, uint64_t offset, uint64_t len),
		       void *opaque);

/* create.c */
bool qcow2_create(struct file *file, const struct image_create *create, GError **error);
extern const struct image_option qcow2_options[];

#endif
