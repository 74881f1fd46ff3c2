/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fids, and the host's files that they stand for. */
#include <errno.h>
#include "share/p9_int.h"

#define MAX_FIDS 65536

void p9_place_clear(struct p9_place *place)
{
	tree_node_unref(place->node);
	tree_node_unref(place->parent);
	if (place->name)
		g_ref_string_release(place->name);
	tree_open_unref(place->open);
	*place = (struct p9_place){0};
}

void p9_place_copy(struct p9_place *to, const struct p9_place *from)
{
	*to = *from;
	tree_node_ref(to->node);
	tree_node_ref(to->parent);
	if (to->name)
		g_ref_string_acquire(to->name);
	tree_open_ref(to->open);
}

static struct p9_place *find(struct p9 *p9, uint32_t fid)
{
	return g_hash_table_lookup(p9->fids, GUINT_TO_POINTER(fid));
}

int p9_fid_get(struct p9 *p9, uint32_t fid, struct p9_place *place)
{
	struct p9_place *found;

	g_mutex_lock(&p9->lock);
	found = find(p9, fid);
	if (found)
		p9_place_copy(place, found);
	g_mutex_unlock(&p9->lock);
	return found ? 0 : EBADF;
}

int p9_fid_add(struct p9 *p9, uint32_t fid, struct p9_place *place)
{
	int status = fid == P9_NOFID ? EINVAL : 0;

	g_mutex_lock(&p9->lock);
	if (find(p9, fid))
		status = EINVAL;
	else if (g_hash_table_size(p9->fids) >= MAX_FIDS)
		status = ENFILE;
	if (!status) {
		g_hash_table_insert(p9->fids, GUINT_TO_POINTER(fid), g_memdup2(place, sizeof(*place)));
		*place = (struct p9_place){0};
	}
	g_mutex_unlock(&p9->lock);
	return status;
}

int p9_fid_replace(struct p9 *p9, uint32_t fid, struct p9_place *place)
{
	struct p9_place old = {0}, *found;
	int status = 0;

	g_mutex_lock(&p9->lock);
	found = find(p9, fid);
	if (!found)
		status = EBADF;
	else if (found->open)
		status = EINVAL;
	if (!status) {
		old = *found;
		*found = *place;
		*place = (struct p9_place){0};
	}
	g_mutex_unlock(&p9->lock);
	p9_place_clear(&old);
	return status;
}

int p9_fid_remove(struct p9 *p9, uint32_t fid)
{
	gpointer value = NULL;
	bool found;

	g_mutex_lock(&p9->lock);
	found = g_hash_table_steal_extended(p9->fids, GUINT_TO_POINTER(fid), NULL, &value);
	g_mutex_unlock(&p9->lock);
	if (!found)
		return EBADF;
	p9_place_clear(value);
	g_free(value);
	return 0;
}

int p9_place_walk(const struct p9_place *from, const char *name, struct p9_place *to)
{
	bool up = !strcmp(name, "..");
	int status;

	*to = (struct p9_place){0};
	status = up ? tree_parent(from->node, &to->node) : tree_child(from->node, name, &to->node);
	if (status || up)
		return status;
	to->parent = tree_node_ref(from->node);
	to->name = g_ref_string_new(name);
	return 0;
}
