/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Instance types: how large a VM is, by a name. The catalogue is built in; the user's types.yaml adds to it.
 */
#ifndef VIV_STORE_TYPES_H
#define VIV_STORE_TYPES_H

#include <stdint.h>

#include "store/store.h"

struct instance_type {
	char *name, *family; /* general, cpu, memory, burst */
	uint64_t cpus;
	uint64_t memory, disk; /* bytes */
	uint64_t network;      /* bits a second; 0: no limit, as of the next two */
	uint64_t iops, io;     /* requests and bytes a second */
	double price;	       /* an hour */
};

/* All, of struct instance_type *, in the catalogue's order. */
GPtrArray *types_load(const struct store *store, GError **error);
/* One text, of the name `file` for errors, into `types`. */
bool types_parse(GPtrArray *types, const char *file, const char *text, size_t len, GError **error);
GPtrArray *types_new(void);
/* NULL with an error that lists the names. */
const struct instance_type *types_find(const GPtrArray *types, const char *name, GError **error);

#endif
