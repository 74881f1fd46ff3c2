/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a client's numbers stand for: files that it knows of, and files that it has open. */
#include <errno.h>

#include "share/fuse_int.h"

/* A number, the host's for the same, and how often the client was told of it. */
struct fuse_inode {
	uint64_t id;
	dev_t device;
	uint64_t inode;
	uint64_t lookups;
	struct tree_node *node;
};

struct fuse_handle {
	uint64_t id;
	struct tree_open *open;
};

static guint hash_file(gconstpointer value)
{
	const struct fuse_inode *inode = value;
	uint64_t key = (inode->inode ^ inode->device) * 0x9e3779b97f4a7c15ull;

	return key >> 32;
}

static gboolean equal_files(gconstpointer a, gconstpointer b)
{
	const struct fuse_inode *one = a, *other = b;

	return one->device == other->device && one->inode == other->inode;
}

static void free_inode(gpointer value)
{
	struct fuse_inode *inode = value;

	tree_node_unref(inode->node);
	g_free(inode);
}

static void free_handle(gpointer value)
{
	struct fuse_handle *handle = value;

	tree_open_unref(handle->open);
	g_free(handle);
}

static void make_tables(struct fuse *fuse)
{
	fuse->inodes = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, free_inode);
	fuse->by_file = g_hash_table_new(hash_file, equal_files);
	fuse->handles = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, free_handle);
}

/* Numbers begin anywhere: a guest that was restored still has those of another run, which are to be unknown here. */
struct fuse *fuse_new(const char *path, bool read_only, GError **error)
{
	struct fuse *fuse = g_new0(struct fuse, 1);

	if (!tree_init(&fuse->tree, path, read_only, error)) {
		g_free(fuse);
		return NULL;
	}
	g_mutex_init(&fuse->lock);
	fuse->next = ((uint64_t)g_random_int_range(1, G_MAXINT32) << 32) + 1;
	make_tables(fuse);
	return fuse;
}

void fuse_free(struct fuse *fuse)
{
	if (!fuse)
		return;
	g_hash_table_unref(fuse->handles);
	g_hash_table_unref(fuse->by_file);
	g_hash_table_unref(fuse->inodes);
	tree_fini(&fuse->tree);
	g_mutex_clear(&fuse->lock);
	g_free(fuse);
}

void fuse_reset(struct fuse *fuse)
{
	GHashTable *inodes, *by_file, *handles;

	g_mutex_lock(&fuse->lock);
	inodes = fuse->inodes;
	by_file = fuse->by_file;
	handles = fuse->handles;
	make_tables(fuse);
	g_mutex_unlock(&fuse->lock);
	g_hash_table_unref(handles);
	g_hash_table_unref(by_file);
	g_hash_table_unref(inodes);
}

int fuse_inode_get(struct fuse *fuse, uint64_t id, struct tree_node **node)
{
	struct fuse_inode *inode;

	if (id == FUSE_ROOT_ID) {
		*node = tree_node_ref(fuse->tree.root);
		return 0;
	}
	g_mutex_lock(&fuse->lock);
	inode = g_hash_table_lookup(fuse->inodes, &id);
	if (inode)
		*node = tree_node_ref(inode->node);
	g_mutex_unlock(&fuse->lock);
	return inode ? 0 : ESTALE;
}

uint64_t fuse_inode_add(struct fuse *fuse, struct tree_node *node, const struct stat *st)
{
	const struct fuse_inode key = {.device = st->st_dev, .inode = st->st_ino};
	struct fuse_inode *inode;
	uint64_t id;

	g_mutex_lock(&fuse->lock);
	inode = g_hash_table_lookup(fuse->by_file, &key);
	if (!inode) {
		inode = g_memdup2(&key, sizeof(key));
		inode->id = fuse->next++;
		inode->node = tree_node_ref(node);
		g_hash_table_insert(fuse->inodes, &inode->id, inode);
		g_hash_table_add(fuse->by_file, inode);
	}
	inode->lookups++;
	id = inode->id;
	g_mutex_unlock(&fuse->lock);
	tree_node_unref(node);
	return id;
}

void fuse_inode_forget(struct fuse *fuse, uint64_t id, uint64_t times)
{
	struct fuse_inode *inode;
	bool gone;

	g_mutex_lock(&fuse->lock);
	inode = g_hash_table_lookup(fuse->inodes, &id);
	gone = inode && inode->lookups <= times;
	if (gone) {
		g_hash_table_remove(fuse->by_file, inode);
		g_hash_table_steal(fuse->inodes, &id);
	} else if (inode) {
		inode->lookups -= times;
	}
	g_mutex_unlock(&fuse->lock);
	if (gone)
		free_inode(inode);
}

int fuse_handle_get(struct fuse *fuse, uint64_t id, struct tree_open **open)
{
	struct fuse_handle *handle;

	g_mutex_lock(&fuse->lock);
	handle = g_hash_table_lookup(fuse->handles, &id);
	if (handle)
		*open = tree_open_ref(handle->open);
	g_mutex_unlock(&fuse->lock);
	return handle ? 0 : EBADF;
}

uint64_t fuse_handle_add(struct fuse *fuse, struct tree_open *open)
{
	struct fuse_handle *handle = g_new(struct fuse_handle, 1);
	uint64_t id;

	g_mutex_lock(&fuse->lock);
	id = fuse->next++;
	*handle = (struct fuse_handle){id, open};
	g_hash_table_insert(fuse->handles, &handle->id, handle);
	g_mutex_unlock(&fuse->lock);
	return id;
}

void fuse_handle_remove(struct fuse *fuse, uint64_t id)
{
	struct fuse_handle *handle;

	g_mutex_lock(&fuse->lock);
	handle = g_hash_table_lookup(fuse->handles, &id);
	if (handle)
		g_hash_table_steal(fuse->handles, &id);
	g_mutex_unlock(&fuse->lock);
	if (handle)
		free_handle(handle);
}
