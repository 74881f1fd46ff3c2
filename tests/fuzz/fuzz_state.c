/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A state stream into a device of the table, then accesses to it. Byte 0: the device, in rig_rows'
 * order; byte 1: what the stream is; bytes 2 and 3: its length; then the stream, and
 * steps for rig_drive().
 */
#include "base/le.h"
#include "dev/table.h"

#include "fuzz.h"
#include "rig.h"

enum { ROW, KIND, STREAM_LEN, STREAM = 4 };

/* The stream as it is, or the fresh device's with fields forged from those bytes. */
enum { KIND_RAW, KIND_FORGED, KINDS };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rig *rig;
	size_t stream_len, i = 0;

	if (len < STREAM)
		return 0;
	while (i < data[ROW] && rig_rows[i].class)
		i++;
	if (!rig_rows[i].class)
		return 0;
	stream_len = MIN(le16_load(data + STREAM_LEN), len - STREAM);
	rig = rig_new_row(&rig_rows[i]);
	if (data[KIND] % KINDS == KIND_RAW) {
		rig_load(rig, data + STREAM, stream_len, NULL);
	} else {
		g_autoptr(GByteArray) forged = rig_forge(rig, data + STREAM, stream_len);

		rig_load(rig, forged->data, forged->len, NULL);
	}
	rig_drive(rig, data + STREAM + stream_len, len - STREAM - stream_len);
	rig_free(rig);
	return 0;
}
