/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Before a libFuzzer target's first input. GLib's idle worker threads would end at some time, and a
 * leak check just then sees their thread-local memory as lost: here they stay.
 */
#include <glib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	g_thread_pool_set_max_unused_threads(-1);
	g_thread_pool_set_max_idle_time(0);
	return 0;
}
