/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Appliances: an OVA is a tar archive whose OVF descriptor (DMTF DSP0243) says what machine its disk is for.
 * Both are hostile.
 */
#ifndef VIV_STORE_OVF_H
#define VIV_STORE_OVF_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define OVF_MAX_DESCRIPTOR (1 << 20)

struct ovf {
	char *name;	 /* of the machine; NULL: none */
	char *disk;	 /* name of the disk's file; plain */
	uint64_t memory; /* bytes; 0: not said */
	bool uefi;
};
void ovf_clear(struct ovf *ovf);
/* `file` is for errors. */
bool ovf_parse(struct ovf *ovf, const char *file, const char *text, size_t len, GError **error);

/* A file in a tar archive. */
struct tar_member {
	char name[256];
	uint64_t offset, size;
};
/* The member at `offset`; *offset becomes the next one's. False without an error at the archive's end. */
bool tar_next(int fd, const char *path, uint64_t *offset, struct tar_member *member, GError **error);
/* The header of a member, for an archive to write; `name` is shorter than 100 bytes. */
void tar_header(uint8_t header[512], const char *name, uint64_t size);

struct ovf_machine {
	const char *name;
	const char *file;	  /* of the disk, a streamOptimized VMDK */
	uint64_t file_size, size; /* bytes: of the file; of the disk */
	uint64_t memory;	  /* bytes */
	unsigned cpus;
	bool uefi;
};
/* A descriptor; freed by the caller. */
char *ovf_describe(const struct ovf_machine *machine);

#endif
