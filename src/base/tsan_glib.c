/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Only in builds for ThreadSanitizer, which cannot see what GLib's own mutexes order: the same
 * functions over pthread's, which it knows. They take the place of the library's in our
 * programs; what GLib locks for itself stays as it is.
 */
#include <dlfcn.h>
#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <sanitizer/tsan_interface.h>

static pthread_mutex_t *mutex_of(GMutex *mutex)
{
	pthread_mutex_t *made, *found = g_atomic_pointer_get(&mutex->p);

	if (found)
		return found;
	made = g_new(pthread_mutex_t, 1);
	pthread_mutex_init(made, NULL);
	if (g_atomic_pointer_compare_and_exchange(&mutex->p, NULL, made))
		return made;
	pthread_mutex_destroy(made);
	g_free(made);
	return g_atomic_pointer_get(&mutex->p);
}

void(g_mutex_init)(GMutex *mutex)
{
	mutex->p = NULL;
}

void(g_mutex_clear)(GMutex *mutex)
{
	pthread_mutex_t *p = g_atomic_pointer_get(&mutex->p);

	if (p)
		pthread_mutex_destroy(p);
	g_free(p);
	mutex->p = NULL;
}

void(g_mutex_lock)(GMutex *mutex)
{
	g_assert(pthread_mutex_lock(mutex_of(mutex)) == 0);
}

void(g_mutex_unlock)(GMutex *mutex)
{
	g_assert(pthread_mutex_unlock(mutex_of(mutex)) == 0);
}

gboolean(g_mutex_trylock)(GMutex *mutex)
{
	return pthread_mutex_trylock(mutex_of(mutex)) == 0;
}

static pthread_cond_t *cond_of(GCond *cond)
{
	pthread_cond_t *made, *found = g_atomic_pointer_get(&cond->p);
	pthread_condattr_t attributes;

	if (found)
		return found;
	made = g_new(pthread_cond_t, 1);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(made, &attributes);
	pthread_condattr_destroy(&attributes);
	if (g_atomic_pointer_compare_and_exchange(&cond->p, NULL, made))
		return made;
	pthread_cond_destroy(made);
	g_free(made);
	return g_atomic_pointer_get(&cond->p);
}

void(g_cond_init)(GCond *cond)
{
	cond->p = NULL;
}

void(g_cond_clear)(GCond *cond)
{
	pthread_cond_t *p = g_atomic_pointer_get(&cond->p);

	if (p)
		pthread_cond_destroy(p);
	g_free(p);
	cond->p = NULL;
}

void(g_cond_wait)(GCond *cond, GMutex *mutex)
{
	g_assert(pthread_cond_wait(cond_of(cond), mutex_of(mutex)) == 0);
}

gboolean(g_cond_wait_until)(GCond *cond, GMutex *mutex, gint64 end_time)
{
	struct timespec t = {end_time / G_USEC_PER_SEC, end_time % G_USEC_PER_SEC * 1000};

	return pthread_cond_timedwait(cond_of(cond), mutex_of(mutex), &t) != ETIMEDOUT;
}

void(g_cond_signal)(GCond *cond)
{
	pthread_cond_signal(cond_of(cond));
}

void(g_cond_broadcast)(GCond *cond)
{
	pthread_cond_broadcast(cond_of(cond));
}

/* Held by the thread that has entered; what it makes may have something made once, too. */
static pthread_mutex_t once = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

gboolean(g_once_init_enter)(volatile void *location)
{
	volatile gsize *value = location;

	pthread_mutex_lock(&once);
	if (!__atomic_load_n(value, __ATOMIC_ACQUIRE))
		return TRUE;
	pthread_mutex_unlock(&once);
	return FALSE;
}

void(g_once_init_leave)(volatile void *location, gsize result)
{
	volatile gsize *value = location;

	__atomic_store_n(value, result, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&once);
}

gpointer(g_once_impl)(GOnce *control, GThreadFunc make, gpointer opaque)
{
	pthread_mutex_lock(&once);
	if (control->status != G_ONCE_STATUS_READY) {
		control->retval = make(opaque);
		__atomic_store_n(&control->status, G_ONCE_STATUS_READY, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&once);
	return control->retval;
}

/* A thread pool's task: who pushes it has written what the thread reads. */
struct pool_function {
	GFunc run;
	gpointer opaque;
};

static void run_task(gpointer task, gpointer opaque)
{
	struct pool_function *function = opaque;

	__tsan_acquire(task);
	function->run(task, function->opaque);
	__tsan_release(function);
}

GThreadPool *g_thread_pool_new(GFunc run, gpointer opaque, gint max_threads, gboolean exclusive,
			       GError **error)
{
	GThreadPool *(*real)(GFunc, gpointer, gint, gboolean, GError **) =
		dlsym(RTLD_NEXT, "g_thread_pool_new");
	struct pool_function *function = g_new(struct pool_function, 1);

	*function = (struct pool_function){run, opaque};
	return real(run_task, function, max_threads, exclusive, error);
}

gboolean g_thread_pool_push(GThreadPool *pool, gpointer task, GError **error)
{
	gboolean (*real)(GThreadPool *, gpointer, GError **) =
		dlsym(RTLD_NEXT, "g_thread_pool_push");

	__tsan_release(task);
	return real(pool, task, error);
}

/* The pool's last thread frees it, ordered with us by a lock of GLib's own. */
static __attribute__((noipa, no_sanitize("thread"))) gpointer opaque_of(const GThreadPool *pool)
{
	return pool->user_data;
}

void g_thread_pool_free(GThreadPool *pool, gboolean immediate, gboolean wait)
{
	void (*real)(GThreadPool *, gboolean, gboolean) = dlsym(RTLD_NEXT, "g_thread_pool_free");
	struct pool_function *function = opaque_of(pool);

	real(pool, immediate, wait);
	__tsan_acquire(function);
	g_free(function);
}
