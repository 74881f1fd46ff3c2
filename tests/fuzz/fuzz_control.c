/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a peer sends to the control socket, byte for byte, in pieces of growing length; to a VM that
 * was built and whose processors do not run. No drive is there, so no file of the input's choice is
 * opened.
 */
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "base/le.h"
#include "vm/control/session.h"
#include "vm/vm.h"

#include "fuzz.h"

enum {
	EHDR_SIZE = 64,
	PHDR_SIZE = 56,
	ENTRY = 0x200000,
};

/* The smallest ELF kernel: one segment, the headers, where the entry point is. */
static char *write_kernel(void)
{
	uint8_t elf[EHDR_SIZE + PHDR_SIZE] = "\177ELF\2\1\1", *phdr = elf + EHDR_SIZE;
	char *path;
	int fd = g_file_open_tmp(NULL, &path, NULL);

	le16_store(elf + 16, 2);  /* ET_EXEC */
	le16_store(elf + 18, 62); /* EM_X86_64 */
	le32_store(elf + 20, 1);
	le64_store(elf + 24, ENTRY);
	le64_store(elf + 32, EHDR_SIZE);
	le16_store(elf + 52, EHDR_SIZE);
	le16_store(elf + 54, PHDR_SIZE);
	le16_store(elf + 56, 1);
	le32_store(phdr, 1); /* PT_LOAD */
	le32_store(phdr + 4, 7);
	le64_store(phdr + 16, ENTRY);
	le64_store(phdr + 24, ENTRY);
	le64_store(phdr + 32, sizeof(elf));
	le64_store(phdr + 40, sizeof(elf));
	g_assert_cmpint(write(fd, elf, sizeof(elf)), ==, sizeof(elf));
	close(fd);
	return path;
}

static struct vm *build(struct vm_config *config, GMainContext *context)
{
	struct vm_console console = {-1, -1, -1};
	g_autoptr(GError) error = NULL;
	struct vm *vm;

	vm_config_init(config);
	config->name = g_strdup("fuzzed");
	config->serial.kind = VM_SERIAL_NONE;
	config->engine = &engine_interp;
	config->ram_size = MEM_MIN_SIZE;
	config->kernel = write_kernel();
	vm = vm_new(config, &console, context, &error);
	g_assert_no_error(error);
	g_unlink(config->kernel);
	return vm;
}

static void check_answers(const GByteArray *out)
{
	g_assert_true(!out->len || out->data[out->len - 1] == '\n');
	g_assert_true(g_utf8_validate((const char *)out->data, out->len, NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	g_autoptr(GByteArray) out = g_byte_array_new();
	GMainContext *context = g_main_context_new();
	struct control_session *session;
	struct vm_config config;
	struct vm *vm = build(&config, context);
	bool good = true;

	g_log_set_always_fatal(G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING | G_LOG_FATAL_MASK);
	session = control_session_new(vm);
	for (size_t at = 0, piece = 1; at < len && good; at += piece, piece++) {
		piece = MIN(piece, len - at);
		good = control_session_input(session, data + at, piece, out);
	}
	check_answers(out);
	control_session_free(session);
	vm_free(vm);
	vm_config_fini(&config);
	g_main_context_unref(context);
	return 0;
}
