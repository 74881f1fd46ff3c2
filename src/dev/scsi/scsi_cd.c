/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CD-ROM drives: MMC-6. A disc is one data track; one larger than a CD is a DVD-ROM.
 */
#include "dev/scsi/scsi_int.h"

#define MAX_CD_BLOCKS  (90 * 60 * 75) /* minutes, seconds, blocks of 1/75 s */
#define LEAD_IN	       150	      /* blocks between the time 0:0:0 and address 0 */
#define TRACK_LEAD_OUT 0xaa

/* Media events, table 323. */
enum { EVENT_NONE = 0, EVENT_NEW_MEDIUM = 2, EVENT_REMOVAL = 3 };

enum { PROFILE_NONE = 0, PROFILE_CD_ROM = 0x0008, PROFILE_DVD_ROM = 0x0010 };

const struct scsi_mode_page scsi_cd_pages[] = {
	{0x01, 6, {}}, /* read error recovery */
	/* Capabilities (MMC-3, 5.3.10): DVD-ROM; mode 2 and sessions; a tray that locks and opens;
	   speeds. */
	{0x2a, 18, {0x08, 0, 0x70, 0, 0x29, 0, 0x15, 0x90, 0, 0, 0, 0, 0x15, 0x90}},
	{},
};

bool scsi_unit_set_medium(struct scsi_unit *unit, struct block *medium)
{
	if (!unit->cdrom)
		return false;
	unit->block = medium;
	unit->open = false;
	unit->attention = SCSI_MEDIUM_CHANGED;
	unit->event = medium ? EVENT_NEW_MEDIUM : EVENT_REMOVAL;
	return true;
}

static uint16_t profile(const struct scsi_unit *unit)
{
	if (!scsi_has_medium(unit))
		return PROFILE_NONE;
	return scsi_blocks(unit) > MAX_CD_BLOCKS ? PROFILE_DVD_ROM : PROFILE_CD_ROM;
}

static bool start_stop(struct scsi_command *command)
{
	enum { START = 1, LOAD_EJECT = 2 };
	struct scsi_unit *unit = command->unit;
	bool open = !(command->cdb[4] & START);

	if (!(command->cdb[4] & LOAD_EJECT) || open == unit->open)
		return scsi_good(command);
	if (open && unit->locked)
		return scsi_fail(command, KEY_ILLEGAL_REQUEST, ASC_REMOVAL_PREVENTED);
	unit->open = open;
	unit->event = EVENT_REMOVAL;
	if (scsi_has_medium(unit)) {
		unit->attention = SCSI_MEDIUM_CHANGED;
		unit->event = EVENT_NEW_MEDIUM;
	}
	return scsi_good(command);
}

static bool prevent_allow(struct scsi_command *command)
{
	command->unit->locked = command->cdb[4] & 1;
	return scsi_good(command);
}

/* An address as blocks, or as minutes, seconds and blocks since the lead-in. */
static void put_address(uint8_t *at, uint32_t lba, bool msf)
{
	uint32_t time = lba + LEAD_IN;

	if (msf)
		lba = (time / 75 / 60 & 0xff) << 16 | time / 75 % 60 << 8 | time % 75;
	be32_store(at, lba);
}

static size_t put_track(uint8_t *at, uint8_t track, uint32_t lba, bool msf)
{
	at[1] = 0x14; /* a data track */
	at[2] = track;
	put_address(at + 4, lba, msf);
	return 8;
}

static bool read_toc(struct scsi_command *command)
{
	enum { TOC = 0, SESSIONS = 1 };
	const uint8_t *cdb = command->cdb;
	bool msf = cdb[1] & 2;
	/* Drivers of before MMC have the format in the control byte. */
	uint8_t format = cdb[2] & 0xf ? cdb[2] & 0xf : cdb[9] >> 6, first = cdb[6];
	uint8_t data[SCSI_REPLY_MAX] = {[2] = 1, [3] = 1};
	size_t len = 4;

	if (format > SESSIONS || (format == TOC && first > 1 && first != TRACK_LEAD_OUT))
		return scsi_invalid(command);
	if (format == SESSIONS || first <= 1)
		len += put_track(data + len, 1, 0, msf);
	if (format == TOC)
		len += put_track(data + len, TRACK_LEAD_OUT, scsi_blocks(command->unit), msf);
	be16_store(data, len - 2);
	return scsi_reply(command, data, len, be16_load(cdb + 7));
}

enum { PERSISTENT = 2, ALWAYS = 1 };

/* Section 5.3. `profile`: with what medium it is current, if not always. */
static const struct feature {
	uint16_t code, profile;
	uint8_t flags; /* version and PERSISTENT */
	uint8_t len;
	uint8_t data[8];
} features[] = {
	{0x0000, ALWAYS, PERSISTENT, 8, {0, PROFILE_DVD_ROM, 0, 0, 0, PROFILE_CD_ROM}},
	{0x0001, ALWAYS, 2 << 2 | PERSISTENT, 8, {0, 0, 0, 1, 1}}, /* core, over SCSI */
	{0x0002, ALWAYS, 1 << 2 | PERSISTENT, 4, {}},		   /* morphing: polled for */
	{0x0003, ALWAYS, PERSISTENT, 4, {0x29}},		   /* a tray that locks and opens */
	{0x0010, PROFILE_NONE, 0, 8, {0, 0, 0x08, 0, 0, 1}},	   /* random readable: 2048 bytes */
	{0x001e, PROFILE_CD_ROM, 2 << 2, 4, {}},		   /* CD read */
	{0x001f, PROFILE_DVD_ROM, 1 << 2, 4, {}},		   /* DVD read */
};

static bool is_current(const struct feature *feature, uint16_t profile)
{
	if (feature->profile == PROFILE_NONE)
		return profile != PROFILE_NONE;
	return feature->profile == ALWAYS || feature->profile == profile;
}

static bool get_configuration(struct scsi_command *command)
{
	enum { ALL = 0, CURRENT = 1, ONE = 2 };
	const uint8_t *cdb = command->cdb;
	uint16_t first = be16_load(cdb + 2), now = profile(command->unit);
	unsigned wanted = cdb[1] & 3;
	uint8_t data[SCSI_REPLY_MAX] = {};
	size_t len = 8;

	if (wanted > ONE)
		return scsi_invalid(command);
	be16_store(data + 6, now);
	for (const struct feature *f = features; f < features + G_N_ELEMENTS(features); f++) {
		uint8_t *at = data + len;

		if (f->code < first || (wanted == ONE && f->code != first) ||
		    (wanted == CURRENT && !is_current(f, now)))
			continue;
		be16_store(at, f->code);
		at[2] = f->flags | is_current(f, now);
		at[3] = f->len;
		memcpy(at + 4, f->data, f->len);
		if (f->code == 0) {
			at[4 + 2] = now == PROFILE_DVD_ROM;
			at[4 + 6] = now == PROFILE_CD_ROM;
		}
		len += 4 + f->len;
	}
	be32_store(data, len - 4);
	return scsi_reply(command, data, len, be16_load(cdb + 7));
}

/* Section 6.6: polled, of the class of media only. */
static bool get_event_status(struct scsi_command *command)
{
	enum { POLLED = 1, CLASS_MEDIA = 4, NO_EVENT = 0x80, TRAY_OPEN = 1, PRESENT = 2 };
	struct scsi_unit *unit = command->unit;
	bool wanted = command->cdb[4] & 1 << CLASS_MEDIA;
	uint8_t data[8] = {0, wanted ? 6 : 2, wanted ? CLASS_MEDIA : NO_EVENT, 1 << CLASS_MEDIA};

	if (!(command->cdb[1] & POLLED))
		return scsi_invalid(command);
	if (wanted) {
		data[4] = unit->event;
		data[5] = (unit->open ? TRAY_OPEN : 0) | (scsi_has_medium(unit) ? PRESENT : 0);
		unit->event = EVENT_NONE;
	}
	return scsi_reply(command, data, wanted ? 8 : 4, be16_load(command->cdb + 7));
}

/* Section 6.22: one complete session of one track. */
static bool read_disc_information(struct scsi_command *command)
{
	uint8_t data[34] = {0, 32, 0x0e, 1, 1, 1, 1, 0x20};

	if (command->cdb[1] & 7)
		return scsi_invalid(command);
	memset(data + 16, 0xff, 8); /* no lead-in or lead-out to record */
	return scsi_reply(command, data, sizeof(data), be16_load(command->cdb + 7));
}

/* Section 6.19, of sectors in mode 1 their user data only. */
static bool read_cd(struct scsi_command *command)
{
	enum { ANY_TYPE = 0, MODE_1 = 2, NOTHING = 0, USER_DATA = 0x10 };
	const uint8_t *cdb = command->cdb;
	uint8_t type = cdb[1] >> 2 & 7, parts = cdb[9] & 0xf8;

	if ((type != ANY_TYPE && type != MODE_1) || (parts != NOTHING && parts != USER_DATA) ||
	    cdb[10] & 7)
		return scsi_invalid(command);
	return scsi_read_blocks(command, be32_load(cdb + 2),
				parts == NOTHING ? 0 : be32_load(cdb + 5) & 0xffffff);
}

static bool set_speed(struct scsi_command *command)
{
	return scsi_good(command);
}

static bool mechanism_status(struct scsi_command *command)
{
	uint8_t data[8] = {0, command->unit->open ? 0x10 : 0};

	return scsi_reply(command, data, sizeof(data), be16_load(command->cdb + 8));
}

const struct scsi_row scsi_cd_rows[] = {
	SCSI_COMMON_ROWS,
	{0x1b, 0, start_stop},
	{0x1e, 0, prevent_allow},
	{0x43, SCSI_NEEDS_MEDIUM, read_toc},
	{0x46, SCSI_NO_TELL, get_configuration},
	{0x4a, SCSI_NO_TELL, get_event_status},
	{0x51, SCSI_NEEDS_MEDIUM, read_disc_information},
	{0xbb, 0, set_speed},
	{0xbd, 0, mechanism_status},
	{0xbe, SCSI_NEEDS_MEDIUM, read_cd},
	{},
};
