/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands of a drive, ATA8-ACS; those that it no longer has, of older systems, are ATA-4's.
 */
#include "base/le.h"
#include "dev/storage/storage_int.h"

#define MAX_MULTIPLE   16
#define MAX_TRIM       8 /* blocks of 512 bytes */
#define MAX_LBA28      0x0fffffffu
#define CHS_HEADS      16
#define CHS_SECTORS    63
#define CHS_CYLINDERS  16383
#define SERIAL_WORD    10
#define FIRMWARE_WORD  23
#define MODEL_WORD     27
#define IDENTIFY_WORDS 256

/* What SET FEATURES takes in the count register. */
enum {
	MODE_PIO_DEFAULT = 0x00,
	MODE_PIO_NO_IORDY = 0x01,
	MODE_PIO = 0x08,
	MODE_MWDMA = 0x20,
	MODE_UDMA = 0x40,
};
enum { PIO_MODES = 5, MWDMA_MODES = 3, UDMA_MODES = 6 };

/* How a command moves sectors. */
enum {
	EXT = 1 << 0,
	DMA = 1 << 1,
	WRITE = 1 << 2,
	MULTIPLE = 1 << 3,
};

/* Which drives have a command. */
enum { DISK = 1 << 0, CDROM = 1 << 1, BOTH = DISK | CDROM };

uint64_t ata_lba48(const struct ata_regs *regs)
{
	uint64_t lba = 0;

	for (unsigned i = 0; i < 3; i++)
		lba |= (uint64_t)(regs->lba[i] & 0xff) << 8 * i | (uint64_t)(regs->lba[i] >> 8)
									  << (24 + 8 * i);
	return lba;
}

static bool lba28(const struct ata_drive *drive, uint64_t *sector)
{
	const struct ata_regs *regs = &drive->regs;
	unsigned head = regs->device & 0xf, in_track = regs->lba[0] & 0xff;
	unsigned cylinder = (regs->lba[1] & 0xff) | (regs->lba[2] & 0xff) << 8;

	if (regs->device & ATA_DEVICE_LBA) {
		*sector = in_track | cylinder << 8 | head << 24;
		return true;
	}
	if (!in_track || in_track > drive->sectors || head >= drive->heads)
		return false;
	*sector = ((uint64_t)cylinder * drive->heads + head) * drive->sectors + in_track - 1;
	return true;
}

static bool command_range(const struct ata_drive *drive, bool ext, uint64_t *sector, uint32_t *n)
{
	const struct ata_regs *regs = &drive->regs;
	uint64_t size = ata_disk_sectors(drive);

	if (ext) {
		*sector = ata_lba48(regs);
		*n = regs->count ? regs->count : 65536;
	} else {
		*n = regs->count & 0xff ? regs->count & 0xff : 256;
		if (!lba28(drive, sector))
			return false;
	}
	return *sector < size && *n <= size - *sector;
}

/* Where a command failed, in the form of the command's own address. */
void ata_set_address(struct ata_drive *drive, uint64_t sector)
{
	struct ata_regs *regs = &drive->regs;

	if (!(regs->device & ATA_DEVICE_LBA)) {
		unsigned track = sector / drive->sectors;

		regs->lba[0] = sector % drive->sectors + 1;
		regs->lba[1] = track / drive->heads & 0xff;
		regs->lba[2] = track / drive->heads >> 8 & 0xff;
		regs->device = (regs->device & 0xf0) | track % drive->heads;
		return;
	}
	for (unsigned i = 0; i < 3; i++)
		regs->lba[i] = (sector >> 8 * i & 0xff) | (sector >> (24 + 8 * i) & 0xff) << 8;
	if (sector <= MAX_LBA28)
		regs->device = (regs->device & 0xf0) | sector >> 24;
}

static void run_transfer(struct ata_drive *drive, unsigned flags)
{
	unsigned per_block = flags & MULTIPLE ? drive->multiple : 1;
	uint64_t sector;
	uint32_t n;

	if (!per_block || (flags & WRITE && block_read_only(drive->block)))
		ata_fail(drive, ATA_ERROR_ABRT);
	else if (!command_range(drive, flags & EXT, &sector, &n))
		ata_fail(drive, ATA_ERROR_IDNF);
	else
		ata_transfer(drive, sector, n, flags & WRITE, per_block * ATA_SECTOR, flags & DMA);
}

static void run_verify(struct ata_drive *drive, unsigned flags)
{
	uint64_t sector;
	uint32_t n;

	if (command_range(drive, flags & EXT, &sector, &n))
		ata_end(drive);
	else
		ata_fail(drive, ATA_ERROR_IDNF);
}

static void run_seek(struct ata_drive *drive, unsigned flags)
{
	uint64_t sector;

	if (lba28(drive, &sector) && sector < ata_disk_sectors(drive))
		ata_end(drive);
	else
		ata_fail(drive, ATA_ERROR_IDNF);
}

static void run_nothing(struct ata_drive *drive, unsigned flags)
{
	ata_end(drive);
}

static void run_flush(struct ata_drive *drive, unsigned flags)
{
	ata_flush(drive);
}

static void run_native_max(struct ata_drive *drive, unsigned flags)
{
	uint64_t last = ata_disk_sectors(drive) - 1;

	drive->regs.device |= ATA_DEVICE_LBA;
	ata_set_address(drive, flags & EXT ? last : MIN(last, MAX_LBA28 - 1));
	ata_end(drive);
}

static void run_init_parameters(struct ata_drive *drive, unsigned flags)
{
	if (!(drive->regs.count & 0xff)) {
		ata_fail(drive, ATA_ERROR_ABRT);
		return;
	}
	drive->heads = (drive->regs.device & 0xf) + 1;
	drive->sectors = drive->regs.count;
	ata_end(drive);
}

static void run_set_multiple(struct ata_drive *drive, unsigned flags)
{
	uint8_t n = drive->regs.count;

	if (n > MAX_MULTIPLE || n & (n - 1)) {
		ata_fail(drive, ATA_ERROR_ABRT);
		return;
	}
	drive->multiple = n;
	ata_end(drive);
}

/* Always active. */
static void run_check_power(struct ata_drive *drive, unsigned flags)
{
	drive->regs.count = 0xff;
	ata_end(drive);
}

/* The feature register's bit 0 is TRIM, the count is of blocks of 512 bytes. */
static void run_set_management(struct ata_drive *drive, unsigned flags)
{
	const struct ata_regs *regs = &drive->regs;

	if (!(regs->feature & 1) || !regs->count || regs->count > MAX_TRIM ||
	    block_read_only(drive->block))
		ata_fail(drive, ATA_ERROR_ABRT);
	else
		ata_receive_buffer(drive, regs->count * ATA_SECTOR);
}

/* NCQ Command Error log: why the queued command failed that did last. */
static void fill_error_log(const struct ata_drive *drive, uint8_t *log)
{
	const struct ata_regs *failed = &drive->failed;
	uint8_t sum = 0;

	log[0] = drive->failed_tag;
	log[2] = failed->status;
	log[3] = failed->error;
	for (unsigned i = 0; i < 3; i++) {
		log[4 + i] = failed->lba[i];
		log[8 + i] = failed->lba[i] >> 8;
	}
	log[7] = failed->device;
	log[12] = failed->count;
	log[13] = failed->count >> 8;
	for (unsigned i = 0; i < ATA_SECTOR - 1; i++)
		sum += log[i];
	log[ATA_SECTOR - 1] = -sum;
}

/* The directory (page 0), and for drives that queue page 10h. */
static void run_read_log(struct ata_drive *drive, unsigned flags)
{
	const struct ata_regs *regs = &drive->regs;
	uint8_t page = regs->lba[0];

	if (regs->count != 1 || regs->lba[1] || (page != 0 && (page != 0x10 || !drive->sata))) {
		ata_fail(drive, ATA_ERROR_ABRT);
		return;
	}
	memset(drive->buffer, 0, ATA_SECTOR);
	if (page == 0x10) {
		fill_error_log(drive, drive->buffer);
	} else {
		le16_store(drive->buffer, 1);
		le16_store(drive->buffer + 2 * 0x10, drive->sata);
	}
	ata_send_buffer(drive, ATA_SECTOR, ATA_SECTOR, false);
}

static bool is_mode(uint8_t mode)
{
	return mode <= MODE_PIO_NO_IORDY || (mode >= MODE_PIO && mode < MODE_PIO + PIO_MODES) ||
	       (mode >= MODE_MWDMA && mode < MODE_MWDMA + MWDMA_MODES) ||
	       (mode >= MODE_UDMA && mode < MODE_UDMA + UDMA_MODES);
}

static void run_set_features(struct ata_drive *drive, unsigned flags)
{
	enum {
		ENABLE_WRITE_CACHE = 0x02,
		SET_TRANSFER_MODE = 0x03,
		DISABLE_LOOK_AHEAD = 0x55,
		DISABLE_REVERTING = 0x66,
		DISABLE_WRITE_CACHE = 0x82,
		ENABLE_LOOK_AHEAD = 0xaa,
		ENABLE_REVERTING = 0xcc,
	};
	uint8_t feature = drive->regs.feature, mode = drive->regs.count;

	switch (feature) {
	case ENABLE_WRITE_CACHE:
		drive->write_cache = true;
		break;
	case DISABLE_WRITE_CACHE:
		drive->write_cache = false;
		if (!drive->cdrom) {
			ata_flush(drive);
			return;
		}
		break;
	case SET_TRANSFER_MODE:
		if (!is_mode(mode)) {
			ata_fail(drive, ATA_ERROR_ABRT);
			return;
		}
		drive->transfer_mode = mode;
		break;
	case DISABLE_LOOK_AHEAD:
	case ENABLE_LOOK_AHEAD:
	case DISABLE_REVERTING:
	case ENABLE_REVERTING:
		break;
	default:
		ata_fail(drive, ATA_ERROR_ABRT);
		return;
	}
	ata_end(drive);
}

void ata_pad(uint8_t *to, size_t len, const char *from)
{
	memset(to, ' ', len);
	memcpy(to, from, MIN(len, strlen(from)));
}

static void put_string(uint16_t *words, size_t len, const void *padded)
{
	const uint8_t *from = padded;

	for (size_t i = 0; i < len / 2; i++)
		words[i] = from[2 * i] << 8 | from[2 * i + 1];
}

static void put_model(uint16_t *words, const char *model)
{
	uint8_t padded[40];

	ata_pad(padded, sizeof(padded), model);
	put_string(words, sizeof(padded), padded);
}

/* The modes there are, and which of them is selected. */
static uint16_t mode_word(const struct ata_drive *drive, unsigned first, unsigned n)
{
	unsigned selected = drive->transfer_mode - first;

	return ((1 << n) - 1) | (selected < n ? 0x100 << selected : 0);
}

void ata_identify_words(struct ata_drive *drive, uint16_t *words, const char *model)
{
	put_string(words + SERIAL_WORD, sizeof(drive->serial), drive->serial);
	put_string(words + FIRMWARE_WORD, 8, "1.0     ");
	put_model(words + MODEL_WORD, model);
	words[49] = 0x0f00; /* IORDY, LBA, DMA */
	words[50] = 0x4000;
	words[51] = 0x0200; /* PIO timing, for hosts that do not read word 64 */
	words[53] = 0x0006; /* words 64 to 70 and 88 say something */
	words[63] = mode_word(drive, MODE_MWDMA, MWDMA_MODES);
	words[64] = 0x0003; /* PIO modes 3 and 4 */
	for (unsigned i = 65; i <= 68; i++)
		words[i] = 120; /* ns a cycle */
	words[80] = 0x01f0;	/* ATA/ATAPI-4 to ATA8-ACS */
	words[88] = mode_word(drive, MODE_UDMA, UDMA_MODES);
	if (drive->sata)
		words[76] = 0x000e; /* 1.5 to 6 Gb/s */
	else
		words[93] =
			drive->index & 1 ? 0x6b00 : 0x600b; /* 80 wires; passed its diagnostics */
}

/* The geometry in words 54 to 58 is from ATA-5. */
static void put_geometry(const struct ata_drive *drive, uint16_t *words)
{
	uint64_t size = ata_disk_sectors(drive);
	unsigned track = drive->heads * drive->sectors;
	unsigned cylinders = MIN(size / track, 65535);

	words[1] = MIN(size / (CHS_HEADS * CHS_SECTORS), CHS_CYLINDERS);
	words[3] = CHS_HEADS;
	words[6] = CHS_SECTORS;
	words[53] |= 1;
	words[54] = cylinders;
	words[55] = drive->heads;
	words[56] = drive->sectors;
	le32_store(words + 57, cylinders * track);
	le32_store(words + 60, MIN(size, MAX_LBA28));
	le64_store(words + 100, size);
}

static void run_identify(struct ata_drive *drive, unsigned flags)
{
	uint16_t words[IDENTIFY_WORDS] = {};
	uint8_t sum = 0;

	if (drive->cdrom) {
		ata_signature(drive);
		ata_fail(drive, ATA_ERROR_ABRT);
		return;
	}
	ata_identify_words(drive, words, "Vivarium disk");
	put_geometry(drive, words);
	words[0] = 0x0040; /* not removable */
	words[47] = 0x8000 | MAX_MULTIPLE;
	words[59] = drive->multiple ? 0x0100 | drive->multiple : 0;
	words[82] = 0x4060; /* NOP, look-ahead, write cache */
	words[83] = 0x7400; /* both FLUSH CACHEs, 48-bit addresses */
	words[84] = 0x4020; /* logs */
	words[85] = 0x4040 | (drive->write_cache ? 0x0020 : 0);
	words[86] = 0x3400;
	words[87] = 0x4020;
	if (drive->sata) {
		words[75] = ATA_MAX_QUEUE - 1;
		words[76] |= 0x0100; /* NCQ */
	}
	words[105] = MAX_TRIM;
	words[106] = 0x4000;
	words[169] = block_read_only(drive->block) ? 0 : 1; /* TRIM */
	words[217] = 1;					    /* does not rotate */
	words[255] = 0xa5;
	memcpy(drive->buffer, words, sizeof(words));
	for (unsigned i = 0; i < sizeof(words) - 1; i++)
		sum += drive->buffer[i];
	drive->buffer[sizeof(words) - 1] = -sum;
	ata_send_buffer(drive, ATA_SECTOR, ATA_SECTOR, false);
}

static void run_identify_packet(struct ata_drive *drive, unsigned flags)
{
	atapi_identify(drive);
}

static void run_packet(struct ata_drive *drive, unsigned flags)
{
	atapi_start(drive);
}

/* Shows the signature, without an interrupt. */
static void run_device_reset(struct ata_drive *drive, unsigned flags)
{
	ata_reset(drive);
}

/* The code for "passed" is the signature's error register. */
static void run_diagnostic(struct ata_drive *drive, unsigned flags)
{
	ata_signature(drive);
	drive->intrq = true;
}

static const struct {
	uint8_t drives, flags;
	void (*run)(struct ata_drive *drive, unsigned flags);
} commands[256] = {
	[ATA_DATA_SET_MANAGEMENT] = {DISK, 0, run_set_management},
	[0x08] = {CDROM, 0, run_device_reset},
	[0x10] = {DISK, 0, run_nothing},  /* RECALIBRATE */
	[0x20] = {DISK, 0, run_transfer}, /* READ SECTORS, and without retries */
	[0x21] = {DISK, 0, run_transfer},
	[0x24] = {DISK, EXT, run_transfer},
	[0x25] = {DISK, EXT | DMA, run_transfer}, /* READ DMA EXT */
	[0x27] = {DISK, EXT, run_native_max},
	[0x29] = {DISK, EXT | MULTIPLE, run_transfer}, /* READ MULTIPLE EXT */
	[0x2f] = {DISK, 0, run_read_log},
	[0x30] = {DISK, WRITE, run_transfer}, /* WRITE SECTORS */
	[0x31] = {DISK, WRITE, run_transfer},
	[0x34] = {DISK, EXT | WRITE, run_transfer},
	[0x35] = {DISK, EXT | DMA | WRITE, run_transfer}, /* WRITE DMA EXT */
	[0x39] = {DISK, EXT | MULTIPLE | WRITE, run_transfer},
	[0x40] = {DISK, 0, run_verify},
	[0x41] = {DISK, 0, run_verify},
	[0x42] = {DISK, EXT, run_verify},
	[0x70] = {DISK, 0, run_seek},
	[0x90] = {BOTH, 0, run_diagnostic},
	[0x91] = {DISK, 0, run_init_parameters},
	[0xa0] = {CDROM, 0, run_packet},
	[0xa1] = {CDROM, 0, run_identify_packet},
	[0xc4] = {DISK, MULTIPLE, run_transfer},
	[0xc5] = {DISK, MULTIPLE | WRITE, run_transfer},
	[0xc6] = {DISK, 0, run_set_multiple},
	[0xc8] = {DISK, DMA, run_transfer},
	[0xc9] = {DISK, DMA, run_transfer},
	[0xca] = {DISK, DMA | WRITE, run_transfer},
	[0xcb] = {DISK, DMA | WRITE, run_transfer},
	[0xe0] = {BOTH, 0, run_nothing}, /* STANDBY and IDLE, SLEEP: it is always awake */
	[0xe1] = {BOTH, 0, run_nothing},
	[0xe2] = {BOTH, 0, run_nothing},
	[0xe3] = {BOTH, 0, run_nothing},
	[0xe5] = {BOTH, 0, run_check_power},
	[0xe6] = {BOTH, 0, run_nothing},
	[0xe7] = {DISK, 0, run_flush},
	[0xea] = {DISK, 0, run_flush},
	[0xec] = {BOTH, 0, run_identify},
	[0xef] = {BOTH, 0, run_set_features},
	[0xf8] = {DISK, 0, run_native_max},
};

void ata_run_command(struct ata_drive *drive)
{
	unsigned kind = drive->cdrom ? CDROM : DISK;
	uint8_t command = drive->command;

	/* ATAPI hosts tell the kind of a drive by what READ SECTORS leaves, too. */
	if (drive->cdrom && command == 0x20)
		ata_signature(drive);
	if (commands[command].drives & kind)
		commands[command].run(drive, commands[command].flags);
	else
		ata_fail(drive, ATA_ERROR_ABRT);
}
