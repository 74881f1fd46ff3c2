/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VHDX's headers and its log ([MS-VHDX] 2.3).
 *
 * Each change of ours is one entry, which is its own tail: what came before it is in its place by
 * then. The one before stays whole while an entry is written, so that there always is one to
 * replay.
 */
#include "block/vhdx_int.h"

#include <errno.h>
#include <string.h>

#include "base/le.h"

/* Log entry header, and descriptors (2.3.1). */
enum {
	E_CHECKSUM = 4,
	E_LENGTH = 8,
	E_TAIL = 12,
	E_SEQUENCE = 16,
	E_COUNT = 24, /* of descriptors */
	E_LOG_GUID = 32,
	E_FLUSHED = 48, /* bytes that the file had when it was written */
	E_LAST = 56,	/* and those that it needs */
	E_BYTES = 64,
	D_TRAILING = 4, /* the last four bytes of the page; in "zero": nothing */
	D_LEADING = 8,	/* the first eight; in "zero": how many */
	D_OFFSET = 16,
	D_SEQUENCE = 24,
	D_BYTES = 32,
	S_HIGH = 4, /* data sector */
	S_DATA = 8,
	S_DATA_BYTES = 4084,
	S_LOW = 4092,
};
enum { MAX_LOG = 64 << 20 };
#define MAX_FILE (128ull << 40)

/* ---- headers ---- */

static uint32_t crc32c(uint32_t crc, const uint8_t *bytes, size_t len)
{
	/* Of the reversed polynomial 0x82f63b78, by half bytes. */
	static const uint32_t table[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
		0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};

	for (size_t i = 0; i < len; i++) {
		crc ^= bytes[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return crc;
}

uint32_t vhdx_checksum(const uint8_t *bytes, size_t len, size_t field)
{
	uint32_t crc = crc32c(~0u, bytes, field);

	crc = crc32c(crc, (const uint8_t[4]){}, 4);
	return ~crc32c(crc, bytes + field + 4, len - field - 4);
}

void vhdx_make_guid(uint8_t *guid)
{
	for (unsigned i = 0; i < GUID_BYTES; i += 4)
		le32_store(guid + i, g_random_int());
	guid[7] = (guid[7] & 0x0f) | 0x40;
	guid[8] = (guid[8] & 0x3f) | 0x80;
}

static bool load_one(struct file *file, uint64_t at, uint8_t *header)
{
	return !file_load(file, at, header, VHDX_PAGE) && !memcmp(header, "head", 4) &&
	       le32_load(header + H_CHECKSUM) == vhdx_checksum(header, VHDX_PAGE, H_CHECKSUM) &&
	       le16_load(header + H_VERSION) == 1;
}

bool vhdx_load_header(struct file *file, uint8_t *header, bool *second)
{
	uint8_t other[VHDX_PAGE];
	bool one = load_one(file, HEADER_AT, header), two = load_one(file, HEADER_2_AT, other);

	*second = two && (!one || le64_load(other + H_SEQUENCE) > le64_load(header + H_SEQUENCE));
	if (*second)
		memcpy(header, other, VHDX_PAGE);
	return one || two;
}

int vhdx_store_header(struct vhdx *vhdx)
{
	struct file *file = vhdx->base.image.file;
	uint8_t *header = vhdx->header;
	int status;

	le64_store(header + H_SEQUENCE, le64_load(header + H_SEQUENCE) + 1);
	le32_store(header + H_CHECKSUM, vhdx_checksum(header, VHDX_PAGE, H_CHECKSUM));
	status = file_store(file, vhdx->second ? HEADER_AT : HEADER_2_AT, header, VHDX_PAGE);
	if (!status)
		status = file->ops->flush(file);
	vhdx->second ^= !status;
	return status;
}

/* ---- replay ---- */

struct entry {
	uint32_t len, tail; /* 0: no entry begins here */
	uint64_t sequence;
};

struct replay {
	struct vhdx *vhdx;
	uint8_t *log;	       /* twice, so that no entry is in two pieces */
	struct entry *entries; /* by page of the log */
	uint64_t budget;       /* of bytes to check: entries that overlap cannot all be real */
};

static unsigned descriptor_bytes(unsigned n)
{
	return (E_BYTES + n * D_BYTES + VHDX_PAGE - 1) / VHDX_PAGE * VHDX_PAGE;
}

static void look_at_entry(struct replay *replay, uint32_t pos)
{
	struct vhdx *vhdx = replay->vhdx;
	const uint8_t *head = replay->log + pos;
	uint32_t len = le32_load(head + E_LENGTH), tail = le32_load(head + E_TAIL);
	uint32_t n = le32_load(head + E_COUNT);

	if (memcmp(head, "loge", 4) || memcmp(head + E_LOG_GUID, vhdx->header + H_LOG_GUID, 16) ||
	    !len || len > vhdx->log_len || len % VHDX_PAGE || tail >= vhdx->log_len ||
	    tail % VHDX_PAGE || n > len / D_BYTES || descriptor_bytes(n) > len ||
	    len > replay->budget)
		return;
	replay->budget -= len;
	if (le32_load(head + E_CHECKSUM) == vhdx_checksum(head, len, E_CHECKSUM))
		replay->entries[pos / VHDX_PAGE] =
			(struct entry){len, tail, le64_load(head + E_SEQUENCE)};
}

/* Whether entries of consecutive numbers lead from a head's tail to it. */
static bool is_sequence(struct replay *replay, uint32_t head, uint64_t *budget)
{
	uint32_t pos = replay->entries[head / VHDX_PAGE].tail;

	while (pos != head) {
		const struct entry *entry = &replay->entries[pos / VHDX_PAGE];
		uint32_t next = (pos + entry->len) % replay->vhdx->log_len;

		if (!entry->len || !*budget ||
		    replay->entries[next / VHDX_PAGE].sequence != entry->sequence + 1)
			return false;
		--*budget;
		pos = next;
	}
	return true;
}

static bool find_head(struct replay *replay, uint32_t *head)
{
	uint32_t pages = replay->vhdx->log_len / VHDX_PAGE;
	uint64_t budget = 64ull * pages;
	bool found = false;

	for (uint32_t i = 0; i < pages; i++) {
		const struct entry *entry = &replay->entries[i];

		if (!entry->len ||
		    (found && entry->sequence <= replay->entries[*head / VHDX_PAGE].sequence) ||
		    !is_sequence(replay, i * VHDX_PAGE, &budget))
			continue;
		*head = i * VHDX_PAGE;
		found = true;
	}
	return found;
}

static int apply_descriptor(struct file *file, const uint8_t *desc, const uint8_t **data,
			    const uint8_t *end, uint64_t sequence, uint64_t last)
{
	uint64_t offset = le64_load(desc + D_OFFSET), len = le64_load(desc + D_LEADING);
	uint8_t page[VHDX_PAGE];

	if (le64_load(desc + D_SEQUENCE) != sequence || offset % VHDX_PAGE || offset >= last)
		return -EINVAL;
	if (!memcmp(desc, "zero", 4))
		return len % VHDX_PAGE || len > last - offset ? -EINVAL
							      : file_zero(file, offset, len, true);
	if (memcmp(desc, "desc", 4) || end - *data < VHDX_PAGE || memcmp(*data, "data", 4) ||
	    le32_load(*data + S_HIGH) != sequence >> 32 ||
	    le32_load(*data + S_LOW) != (uint32_t)sequence)
		return -EINVAL;
	memcpy(page, desc + D_LEADING, S_DATA);
	memcpy(page + S_DATA, *data + S_DATA, S_DATA_BYTES);
	memcpy(page + S_LOW, desc + D_TRAILING, 4);
	*data += VHDX_PAGE;
	return file_store(file, offset, page, VHDX_PAGE);
}

static int apply_entry(struct replay *replay, uint32_t pos)
{
	struct file *file = replay->vhdx->base.image.file;
	const uint8_t *head = replay->log + pos, *end = head + le32_load(head + E_LENGTH);
	uint64_t last = le64_load(head + E_LAST);
	uint32_t n = le32_load(head + E_COUNT);
	const uint8_t *data = head + descriptor_bytes(n);
	int status = 0;

	if (le64_load(head + E_FLUSHED) > file->size || last > MAX_FILE)
		return -EINVAL; /* somebody has cut it */
	if (last > file->size)
		status = file->ops->set_size(file, last);
	for (uint32_t i = 0; i < n && !status; i++)
		status = apply_descriptor(file, head + E_BYTES + i * D_BYTES, &data, end,
					  le64_load(head + E_SEQUENCE), last);
	return status;
}

static int apply_sequence(struct replay *replay, uint32_t head)
{
	struct file *file = replay->vhdx->base.image.file;
	uint32_t pos = replay->entries[head / VHDX_PAGE].tail;
	int status = apply_entry(replay, pos);

	while (!status && pos != head) {
		pos = (pos + replay->entries[pos / VHDX_PAGE].len) % replay->vhdx->log_len;
		status = apply_entry(replay, pos);
	}
	return status ? status : file->ops->flush(file);
}

bool vhdx_replay(struct vhdx *vhdx, GError **error)
{
	struct image *image = &vhdx->base.image;
	struct replay replay = {.vhdx = vhdx, .budget = 16ull * vhdx->log_len};
	uint32_t head = 0;
	int status;

	if (vhdx->log_len > MAX_LOG)
		return image_refuse(image, error,
				    "has a log of %u bytes to replay; let its own "
				    "program open it first",
				    vhdx->log_len);
	replay.log = g_malloc(2ull * vhdx->log_len);
	replay.entries = g_new0(struct entry, vhdx->log_len / VHDX_PAGE);
	status = file_load(image->file, vhdx->log_at, replay.log, vhdx->log_len);
	memcpy(replay.log + vhdx->log_len, replay.log, vhdx->log_len);
	for (uint32_t pos = 0; pos < vhdx->log_len && !status; pos += VHDX_PAGE)
		look_at_entry(&replay, pos);
	vhdx->torn = !status && !find_head(&replay, &head);
	if (!status && !vhdx->torn && !image->read_only)
		status = apply_sequence(&replay, head);
	if (!status && !vhdx->torn && !image->read_only)
		status = vhdx_end_log(vhdx);
	g_free(replay.log);
	g_free(replay.entries);
	if (!status && !vhdx->torn && image->read_only)
		return image_refuse(image, error,
				    "was not closed, and what is in its log has to be "
				    "written first; do that with: viv disk check "
				    "--repair all");
	return !status || image_fail(image_path(image), status, "cannot replay its log", error);
}

/* ---- writing ---- */

unsigned vhdx_log_batch(const struct vhdx *vhdx)
{
	/* Two entries fit, of which one sector is for descriptors. */
	unsigned pages = vhdx->log_len / VHDX_PAGE / 2 - 1;

	return MIN(pages, (VHDX_PAGE - E_BYTES) / D_BYTES);
}

static void make_entry(struct vhdx *vhdx, uint8_t *entry, unsigned n, const uint64_t *offsets,
		       const uint8_t *pages)
{
	uint64_t size = vhdx->base.image.file->size, sequence = ++vhdx->log_sequence;
	uint32_t len = (n + 1) * VHDX_PAGE;

	memcpy(entry, "loge", 4);
	le32_store(entry + E_LENGTH, len);
	le32_store(entry + E_TAIL, vhdx->log_pos);
	le64_store(entry + E_SEQUENCE, sequence);
	le32_store(entry + E_COUNT, n);
	memcpy(entry + E_LOG_GUID, vhdx->header + H_LOG_GUID, GUID_BYTES);
	le64_store(entry + E_FLUSHED, size / VHDX_MIB * VHDX_MIB);
	le64_store(entry + E_LAST, (size + VHDX_MIB - 1) / VHDX_MIB * VHDX_MIB);
	for (unsigned i = 0; i < n; i++) {
		uint8_t *desc = entry + E_BYTES + i * D_BYTES, *data = entry + (i + 1) * VHDX_PAGE;
		const uint8_t *page = pages + (size_t)i * VHDX_PAGE;

		memcpy(desc, "desc", 4);
		memcpy(desc + D_TRAILING, page + S_LOW, 4);
		memcpy(desc + D_LEADING, page, 8);
		le64_store(desc + D_OFFSET, offsets[i]);
		le64_store(desc + D_SEQUENCE, sequence);
		memcpy(data, "data", 4);
		le32_store(data + S_HIGH, sequence >> 32);
		memcpy(data + S_DATA, page + S_DATA, S_DATA_BYTES);
		le32_store(data + S_LOW, sequence);
	}
	le32_store(entry + E_CHECKSUM, vhdx_checksum(entry, len, E_CHECKSUM));
}

static int store_entry(struct vhdx *vhdx, const uint8_t *entry, uint32_t len)
{
	struct file *file = vhdx->base.image.file;
	uint32_t first = MIN(len, vhdx->log_len - vhdx->log_pos);
	int status = file_store(file, vhdx->log_at + vhdx->log_pos, entry, first);

	if (!status && first < len)
		status = file_store(file, vhdx->log_at, entry + first, len - first);
	vhdx->log_pos = (vhdx->log_pos + len) % vhdx->log_len;
	return status ? status : file->ops->flush(file);
}

int vhdx_change(struct vhdx *vhdx, unsigned n, const uint64_t *offsets, const uint8_t *pages)
{
	static const uint8_t none[GUID_BYTES];
	struct file *file = vhdx->base.image.file;
	g_autofree uint8_t *entry = g_malloc0((n + 1) * VHDX_PAGE);
	bool first = !memcmp(vhdx->header + H_LOG_GUID, none, GUID_BYTES);
	int status;

	g_mutex_lock(&vhdx->lock);
	if (first)
		vhdx_make_guid(vhdx->header + H_LOG_GUID);
	make_entry(vhdx, entry, n, offsets, pages);
	status = store_entry(vhdx, entry, (n + 1) * VHDX_PAGE);
	/* The header says that there is a log once there is an entry in it. */
	if (!status && first)
		status = vhdx_store_header(vhdx);
	if (status && first)
		memset(vhdx->header + H_LOG_GUID, 0, GUID_BYTES);
	for (unsigned i = 0; i < n && !status; i++)
		status = file_store(file, offsets[i], pages + (size_t)i * VHDX_PAGE, VHDX_PAGE);
	g_mutex_unlock(&vhdx->lock);
	return status;
}

int vhdx_end_log(struct vhdx *vhdx)
{
	memset(vhdx->header + H_LOG_GUID, 0, GUID_BYTES);
	vhdx_make_guid(vhdx->header + H_FILE_WRITE);
	return vhdx_store_header(vhdx);
}
