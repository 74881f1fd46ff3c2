/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A CD-ROM drive's packets: MMC-6, and SPC-3 for what is not only a CD's. A disc is one data track
 * of sectors of 2048 bytes, a CD-ROM or, where it is larger than one, a DVD-ROM.
 */
#include "base/le.h"
#include "dev/storage/storage_int.h"

#define CD_SECTOR      2048u
#define CD_SECTOR_512  (CD_SECTOR / ATA_SECTOR)
#define CD_MAX_SECTORS (90 * 60 * 75) /* of the longest CD, in sectors of 1/75 s */
#define LEAD_IN	       150	      /* sectors between the time 0:0:0 and address 0 */
#define TRACK_LEAD_OUT 0xaa

enum {
	KEY_NONE = 0x0,
	KEY_NOT_READY = 0x2,
	KEY_MEDIUM_ERROR = 0x3,
	KEY_ILLEGAL_REQUEST = 0x5,
	KEY_UNIT_ATTENTION = 0x6,
};

/* Additional sense codes, with qualifier. */
enum {
	ASC_UNRECOVERED_READ = 0x1100,
	ASC_INVALID_COMMAND = 0x2000,
	ASC_LBA_OUT_OF_RANGE = 0x2100,
	ASC_INVALID_FIELD = 0x2400,
	ASC_MEDIUM_CHANGED = 0x2800,
	ASC_NO_MEDIUM_TRAY_CLOSED = 0x3a01,
	ASC_NO_MEDIUM_TRAY_OPEN = 0x3a02,
	ASC_REMOVAL_PREVENTED = 0x5302,
};

/* Media events, MMC-6 6.6.2.7. */
enum { EVENT_NONE = 0, EVENT_EJECT_REQUEST = 1, EVENT_NEW_MEDIUM = 2, EVENT_REMOVAL = 3 };

enum { PROFILE_CD_ROM = 0x0008, PROFILE_DVD_ROM = 0x0010 };

static void be16_store(uint8_t *p, uint16_t v)
{
	le16_store(p, GUINT16_SWAP_LE_BE(v));
}

static void be32_store(uint8_t *p, uint32_t v)
{
	le32_store(p, GUINT32_SWAP_LE_BE(v));
}

static uint32_t be_load(const uint8_t *p, unsigned size)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < size; i++)
		v = v << 8 | p[i];
	return v;
}

static bool has_medium(const struct ata_drive *drive)
{
	return drive->block && block_size(drive->block) >= CD_SECTOR && !drive->packet.open;
}

static uint32_t n_sectors(const struct ata_drive *drive)
{
	return MIN(block_size(drive->block) / CD_SECTOR, UINT32_MAX);
}

static uint16_t profile(const struct ata_drive *drive)
{
	if (!has_medium(drive))
		return 0;
	return n_sectors(drive) > CD_MAX_SECTORS ? PROFILE_DVD_ROM : PROFILE_CD_ROM;
}

/* SFF-8020i 2.5.1: status and interrupt reason at the end of a packet command. */
void atapi_end(struct ata_drive *drive)
{
	ata_end(drive);
	drive->regs.status = ATA_STATUS_DRDY;
	drive->regs.count = ATA_REASON_CD | ATA_REASON_IO;
}

/* Returns what a command's function returns that has nothing to send. */
static int fail(struct ata_drive *drive, uint8_t key, uint16_t asc)
{
	drive->packet.sense_key = key;
	drive->packet.asc = asc >> 8;
	drive->packet.ascq = asc & 0xff;
	atapi_end(drive);
	drive->regs.status |= ATA_STATUS_ERR;
	drive->regs.error = key << 4 | (key == KEY_ILLEGAL_REQUEST ? ATA_ERROR_ABRT : 0);
	return -1;
}

void atapi_read_failed(struct ata_drive *drive)
{
	fail(drive, KEY_MEDIUM_ERROR, ASC_UNRECOVERED_READ);
}

static void clear_sense(struct ata_drive *drive)
{
	drive->packet.sense_key = drive->packet.asc = drive->packet.ascq = 0;
}

void atapi_reset(struct ata_drive *drive)
{
	drive->packet.locked = false;
	clear_sense(drive);
}

void atapi_set_medium(struct ata_drive *drive)
{
	drive->packet.open = false;
	drive->packet.attention = drive->block != NULL;
	drive->packet.event = drive->block ? EVENT_NEW_MEDIUM : EVENT_REMOVAL;
}

static int end_ok(struct ata_drive *drive, const uint8_t *cdb)
{
	return 0;
}

static int request_sense(struct ata_drive *drive, const uint8_t *cdb)
{
	struct atapi *packet = &drive->packet;
	uint8_t *sense = drive->buffer;

	if (packet->attention && !packet->sense_key) {
		packet->sense_key = KEY_UNIT_ATTENTION;
		packet->asc = ASC_MEDIUM_CHANGED >> 8;
		packet->ascq = ASC_MEDIUM_CHANGED & 0xff;
		packet->attention = false;
	}
	sense[0] = 0x70;
	sense[2] = packet->sense_key;
	sense[7] = 10;
	sense[12] = packet->asc;
	sense[13] = packet->ascq;
	clear_sense(drive);
	return 18;
}

static int inquiry(struct ata_drive *drive, const uint8_t *cdb)
{
	uint8_t *data = drive->buffer;

	if (cdb[1] & 1 || cdb[2]) /* vital product data */
		return fail(drive, KEY_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
	data[0] = 0x05; /* CD or DVD */
	data[1] = 0x80; /* removable */
	data[3] = 0x21; /* ATAPI, response format 1 */
	data[4] = 31;
	ata_pad(data + 8, 8, "Vivarium");
	ata_pad(data + 16, 16, "CD-ROM");
	ata_pad(data + 32, 4, "1.0");
	return 36;
}

static int read_capacity(struct ata_drive *drive, const uint8_t *cdb)
{
	be32_store(drive->buffer, n_sectors(drive) - 1);
	be32_store(drive->buffer + 4, CD_SECTOR);
	return 8;
}

static uint32_t byte_count_limit(const struct ata_drive *drive)
{
	uint32_t limit = (drive->regs.lba[1] & 0xff) | (drive->regs.lba[2] & 0xff) << 8;

	return limit < 2 ? 0xfffe : limit & ~1u;
}

static int read_sectors(struct ata_drive *drive, uint32_t lba, uint32_t n)
{
	uint32_t size = n_sectors(drive);

	if (lba > size || n > size - lba)
		return fail(drive, KEY_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
	if (!n)
		return 0;
	ata_transfer(drive, (uint64_t)lba * CD_SECTOR_512, (uint64_t)n * CD_SECTOR_512, false,
		     byte_count_limit(drive), drive->regs.feature & 1);
	return -1;
}

static int read10(struct ata_drive *drive, const uint8_t *cdb)
{
	return read_sectors(drive, be_load(cdb + 2, 4), be_load(cdb + 7, 2));
}

static int read12(struct ata_drive *drive, const uint8_t *cdb)
{
	return read_sectors(drive, be_load(cdb + 2, 4), be_load(cdb + 6, 4));
}

/* MMC-6 6.19, of sectors in mode 1 their user data only. */
static int read_cd(struct ata_drive *drive, const uint8_t *cdb)
{
	enum { ANY_TYPE = 0, MODE_1 = 2, USER_DATA = 0x10, NOTHING = 0 };
	uint8_t type = cdb[1] >> 2 & 7, parts = cdb[9] & 0xf8;

	if ((type != ANY_TYPE && type != MODE_1) || (parts != USER_DATA && parts != NOTHING) ||
	    cdb[10] & 7)
		return fail(drive, KEY_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
	return read_sectors(drive, be_load(cdb + 2, 4), parts == NOTHING ? 0 : be_load(cdb + 6, 3));
}

static void put_address(uint8_t *to, uint32_t lba, bool msf)
{
	uint32_t time = lba + LEAD_IN;

	if (!msf) {
		be32_store(to, lba);
		return;
	}
	to[0] = 0;
	to[1] = time / 75 / 60;
	to[2] = time / 75 % 60;
	to[3] = time % 75;
}

static uint8_t *put_track(uint8_t *to, uint8_t track, uint32_t lba, bool msf)
{
	to[1] = 0x14; /* a data track, address in the Q channel */
	to[2] = track;
	put_address(to + 4, lba, msf);
	return to + 8;
}

/* MMC-6 6.25: table of contents, or where the last session begins. */
static int read_toc(struct ata_drive *drive, const uint8_t *cdb)
{
	enum { FORMAT_TOC = 0, FORMAT_SESSION = 1 };
	uint8_t *data = drive->buffer, *at = data + 4;
	/* SFF-8020i has the format in the control byte. */
	uint8_t format = cdb[2] & 0xf ? cdb[2] & 0xf : cdb[9] >> 6;
	uint8_t first = cdb[6];
	bool msf = cdb[1] & 2;

	data[2] = data[3] = 1;
	if (format == FORMAT_TOC && (first <= 1 || first == TRACK_LEAD_OUT)) {
		if (first <= 1)
			at = put_track(at, 1, 0, msf);
		at = put_track(at, TRACK_LEAD_OUT, n_sectors(drive), msf);
	} else if (format == FORMAT_SESSION) {
		at = put_track(at, 1, 0, msf);
	} else {
		return fail(drive, KEY_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
	}
	be16_store(data, at - data - 2);
	return at - data;
}

/* Error recovery, and what CD drives can do: MMC-3 5.3.10, as hosts still read it. */
static int mode_sense(struct ata_drive *drive, const uint8_t *cdb)
{
	enum { PAGE_ERROR_RECOVERY = 0x01, PAGE_CAPABILITIES = 0x2a, PAGE_ALL = 0x3f };
	static const uint8_t recovery[8] = {PAGE_ERROR_RECOVERY, 6, 0, 5};
	uint8_t capabilities[20] = {
		PAGE_CAPABILITIES,
		18,
		[2] = 0x08 /* DVD-ROM */,
		[4] = 0x70 /* mode 2, sessions */,
		[6] = 0x29 /* a tray that can be locked and opened */,
		[8] = 0x15,
		0x90 /* KB/s */,
		[12] = ATA_BUFFER_SIZE / 1024 >> 8,
		ATA_BUFFER_SIZE / 1024 & 0xff,
		0x15,
		0x90,
	};
	uint8_t *data = drive->buffer, page = cdb[2] & 0x3f;
	unsigned len = 8;

	capabilities[6] |= drive->packet.locked ? 0x02 : 0;
	if (page == PAGE_ERROR_RECOVERY || page == PAGE_ALL) {
		memcpy(data + len, recovery, sizeof(recovery));
		len += sizeof(recovery);
	}
	if (page == PAGE_CAPABILITIES || page == PAGE_ALL) {
		memcpy(data + len, capabilities, sizeof(capabilities));
		len += sizeof(capabilities);
	}
	if (len == 8 || cdb[2] >> 6 == 3) /* saved values */
		return fail(drive, KEY_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
	be16_store(data, len - 2);
	data[2] = drive->packet.open ? 0x71 : drive->block ? 0x01 : 0x70;
	return len;
}

static int start_stop(struct ata_drive *drive, const uint8_t *cdb)
{
	enum { START = 1, LOAD_EJECT = 2 };
	struct atapi *packet = &drive->packet;
	bool open = !(cdb[4] & START);

	if (!(cdb[4] & LOAD_EJECT) || open == packet->open)
		return 0;
	if (open && packet->locked)
		return fail(drive, KEY_ILLEGAL_REQUEST, ASC_REMOVAL_PREVENTED);
	packet->open = open;
	packet->attention = !open && drive->block;
	packet->event = packet->attention ? EVENT_NEW_MEDIUM : EVENT_REMOVAL;
	return 0;
}

static int prevent_allow(struct ata_drive *drive, const uint8_t *cdb)
{
	drive->packet.locked = cdb[4] & 1;
	return 0;
}

struct feature {
	uint16_t code;
	uint8_t flags, len;
	uint8_t data[8];
};

/* MMC-6 5.3. */
static const struct feature features[] = {
	{0x0000, 0x03, 8, {PROFILE_DVD_ROM >> 8, PROFILE_DVD_ROM, 0, 0, 0, PROFILE_CD_ROM}},
	{0x0001, 0x0b, 8, {0, 0, 0, 2, 1}}, /* core, over ATAPI */
	{0x0002, 0x07, 4, {0}},		    /* morphing: events are polled for */
	{0x0003, 0x03, 4, {0x29}},	    /* a tray that can be locked and opened */
	{0x0010, 0x01, 8, {0, 0, CD_SECTOR >> 8, 0, 0, 1}}, /* random readable */
	{0x001e, 0x09, 4, {0}},				    /* CD read */
	{0x001f, 0x09, 4, {0}},				    /* DVD read */
	{0x0105, 0x07, 4, {0}},				    /* timeout */
};

static int get_configuration(struct ata_drive *drive, const uint8_t *cdb)
{
	enum { ALL = 0, CURRENT = 1, ONE = 2 };
	uint8_t *data = drive->buffer, *at = data + 8;
	uint16_t first = be_load(cdb + 2, 2), current = profile(drive);
	unsigned how = cdb[1] & 3;

	be16_store(data + 6, current);
	for (const struct feature *f = features; f < features + G_N_ELEMENTS(features); f++) {
		bool is_current = f->code == 0x1e   ? current == PROFILE_CD_ROM
				  : f->code == 0x1f ? current == PROFILE_DVD_ROM
				  : f->code == 0x10 ? current != 0
						    : true;

		if (how == ONE ? f->code != first
			       : f->code < first || (how == CURRENT && !is_current))
			continue;
		be16_store(at, f->code);
		at[2] = (f->flags & ~1) | is_current;
		at[3] = f->len;
		memcpy(at + 4, f->data, f->len);
		if (f->code == 0) {
			at[4 + 2] = current == PROFILE_DVD_ROM;
			at[4 + 6] = current == PROFILE_CD_ROM;
		}
		at += 4 + f->len;
	}
	be32_store(data, at - data - 4);
	return at - data;
}

/* MMC-6 6.6: polled, of the class of media only. */
static int get_event(struct ata_drive *drive, const uint8_t *cdb)
{
	enum { POLLED = 1, CLASS_MEDIA = 4 };
	struct atapi *packet = &drive->packet;
	uint8_t *data = drive->buffer;

	if (!(cdb[1] & POLLED))
		return fail(drive, KEY_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
	data[3] = 1 << CLASS_MEDIA;
	if (!(cdb[4] & 1 << CLASS_MEDIA)) {
		data[1] = 2;
		data[2] = 0x80; /* no event of a class that was asked for */
		return 4;
	}
	data[1] = 6;
	data[2] = CLASS_MEDIA;
	data[4] = packet->event;
	data[5] = (packet->open ? 1 : 0) | (has_medium(drive) ? 2 : 0);
	packet->event = EVENT_NONE;
	return 8;
}

/* MMC-6 6.22: one complete session of one track. */
static int read_disc_information(struct ata_drive *drive, const uint8_t *cdb)
{
	uint8_t *data = drive->buffer;

	if (cdb[1] & 7)
		return fail(drive, KEY_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
	be16_store(data, 32);
	data[2] = 0x0e; /* last session complete, disc finalized */
	data[3] = data[4] = data[5] = data[6] = 1;
	data[7] = 0x20;		    /* unrestricted use */
	memset(data + 16, 0xff, 8); /* no lead-in or lead-out to record */
	return 34;
}

static int mechanism_status(struct ata_drive *drive, const uint8_t *cdb)
{
	drive->buffer[1] = drive->packet.open ? 0x10 : 0;
	return 8;
}

enum {
	MEDIUM = 1 << 0,  /* needs one */
	NO_TELL = 1 << 1, /* is carried out, whatever attention is due (SPC-3 5.6) */
};

/* Returns how many bytes there are to send, at most the allocation length: `size` bytes of the
 * packet at `at`; 0: the command has ended; -1: it was dealt with. */
static const struct packet_command {
	uint8_t code, flags, at, size;
	int (*run)(struct ata_drive *drive, const uint8_t *cdb);
} packet_commands[] = {
	{0x00, MEDIUM, 0, 0, end_ok}, /* TEST UNIT READY */
	{0x03, NO_TELL, 4, 1, request_sense},
	{0x12, NO_TELL, 4, 1, inquiry},
	{0x1b, 0, 0, 0, start_stop},
	{0x1e, 0, 0, 0, prevent_allow},
	{0x25, MEDIUM, 0, 0, read_capacity},
	{0x28, MEDIUM, 0, 0, read10},
	{0x2b, MEDIUM, 0, 0, end_ok}, /* SEEK */
	{0x43, MEDIUM, 7, 2, read_toc},
	{0x46, NO_TELL, 7, 2, get_configuration},
	{0x4a, NO_TELL, 7, 2, get_event},
	{0x51, MEDIUM, 7, 2, read_disc_information},
	{0x5a, 0, 7, 2, mode_sense},
	{0xa8, MEDIUM, 0, 0, read12},
	{0xbb, 0, 0, 0, end_ok}, /* SET CD SPEED */
	{0xbd, 0, 8, 2, mechanism_status},
	{0xbe, MEDIUM, 0, 0, read_cd},
};

enum { REPLY_MAX = 256 }; /* the longest is GET CONFIGURATION's */

static void run(struct ata_drive *drive, const struct packet_command *command, const uint8_t *cdb)
{
	int len;

	if (drive->packet.attention && !(command->flags & NO_TELL)) {
		drive->packet.attention = false;
		fail(drive, KEY_UNIT_ATTENTION, ASC_MEDIUM_CHANGED);
		return;
	}
	if (command->flags & MEDIUM && !has_medium(drive)) {
		fail(drive, KEY_NOT_READY,
		     drive->packet.open ? ASC_NO_MEDIUM_TRAY_OPEN : ASC_NO_MEDIUM_TRAY_CLOSED);
		return;
	}
	memset(drive->buffer, 0, REPLY_MAX);
	len = command->run(drive, cdb);
	if (len > 0 && command->size)
		len = MIN(len, (int)be_load(cdb + command->at, command->size));
	if (len > 0)
		ata_send_buffer(drive, len, byte_count_limit(drive), drive->regs.feature & 1);
	else if (len == 0)
		atapi_end(drive);
}

void atapi_run(struct ata_drive *drive)
{
	uint8_t cdb[ATA_PACKET_SIZE];

	memcpy(cdb, drive->buffer, sizeof(cdb));
	for (size_t i = 0; i < G_N_ELEMENTS(packet_commands); i++) {
		if (packet_commands[i].code == cdb[0]) {
			/* Sense data are those of the last command, SPC-3 4.5.1. */
			if (cdb[0] != 0x03)
				clear_sense(drive);
			run(drive, &packet_commands[i], cdb);
			return;
		}
	}
	fail(drive, KEY_ILLEGAL_REQUEST, ASC_INVALID_COMMAND);
}

/* Waits for the packet, without an interrupt, as word 0 of IDENTIFY PACKET DEVICE says. */
void atapi_start(struct ata_drive *drive)
{
	drive->len = drive->block_len = ATA_PACKET_SIZE;
	ata_set_phase(drive, ATA_PACKET);
	drive->regs.count = ATA_REASON_CD;
}

/* ATA8-ACS 7.17. */
void atapi_identify(struct ata_drive *drive)
{
	uint16_t words[256] = {};

	ata_identify_words(drive, words, "Vivarium CD-ROM");
	words[0] = 0x85c0;  /* ATAPI, CD-ROM, removable, DRQ within 50 us, packets of 12 bytes */
	words[82] = 0x4210; /* NOP, DEVICE RESET, PACKET */
	words[83] = 0x4000;
	words[84] = 0x4000;
	words[85] = 0x4210;
	words[87] = 0x4000;
	memcpy(drive->buffer, words, sizeof(words));
	ata_send_buffer(drive, ATA_SECTOR, ATA_SECTOR, false);
}
