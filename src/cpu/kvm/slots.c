/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory as KVM's slots: one for each run of pages that mem shows alike, read-only where writes are the
 * bus's, none where all accesses are. In all of them hva = base + gpa, so that showing another bank in the same
 * place is no change here: KVM follows what the host maps there.
 *
 * KVM changes slots one by one, and one that is to answer in another way has to go first. A processor that
 * ran meanwhile would find no memory where it has its code. So slots change while no vCPU is in KVM_RUN:
 * mem's listener counts the change and gets all of them out, which takes no lock but theirs, and a vCPU on
 * its way in waits until all are out and changes the slots first. It holds no lock while it waits.
 */
#include <errno.h>
#include <sys/ioctl.h>

#include "cpu/kvm/kvm_int.h"

struct slot {
	uint64_t gpa, len; /* len 0: the number is free */
	bool readonly;
};

static struct slot *slot_at(const GArray *slots, unsigned n)
{
	return &g_array_index(slots, struct slot, n);
}

/* The number of the slot that is the same, or -1. */
static int find(const GArray *slots, const struct slot *slot)
{
	for (unsigned n = 0; n < slots->len; n++) {
		const struct slot *s = slot_at(slots, n);

		if (s->gpa == slot->gpa && s->len == slot->len && s->readonly == slot->readonly)
			return n;
	}
	return -1;
}

static GArray *wanted_slots(const struct mem *mem)
{
	GArray *slots = g_array_new(FALSE, TRUE, sizeof(struct slot));
	struct slot high = {MEM_HOLE_END, mem->high_size};
	enum mem_access access;

	for (uint64_t gpa = 0, end; gpa < MEM_HOLE_END; gpa = end) {
		end = mem_run(mem, gpa, &access);
		if (gpa < mem->low_size)
			end = MIN(end, mem->low_size);
		if (access != MEM_NO_ACCESS)
			g_array_append_val(slots, ((struct slot){gpa, end - gpa, access == MEM_READ}));
	}
	if (high.len)
		g_array_append_val(slots, high);
	return slots;
}

/* What can be written in device space is a bank, whose owner may want to know of it at any time. */
static bool is_logged(const struct kvm_vm *vm, const struct slot *slot)
{
	return slot->len && !slot->readonly &&
	       (vm->log_dirty || (slot->gpa >= vm->mem->low_size && slot->gpa < MEM_HOLE_END));
}

/* `len` 0 removes it. */
static bool set_region(const struct kvm_vm *vm, unsigned n, const struct slot *slot, uint64_t len)
{
	struct kvm_userspace_memory_region region = {
		.slot = n,
		.flags = (slot->readonly ? KVM_MEM_READONLY : 0) |
			 (is_logged(vm, slot) ? KVM_MEM_LOG_DIRTY_PAGES : 0),
		.guest_phys_addr = slot->gpa,
		.memory_size = len,
		.userspace_addr = (uintptr_t)vm->mem->base + slot->gpa,
	};

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) == 0;
}

static bool fetch(const struct kvm_vm *vm, unsigned n)
{
	const struct slot *slot = slot_at(vm->slots, n);
	uint64_t n_words = (slot->len / MEM_PAGE_SIZE + 63) / 64;
	g_autofree uint64_t *bits = g_new0(uint64_t, n_words);
	struct kvm_dirty_log log = {.slot = n, .dirty_bitmap = bits};

	if (ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log) < 0)
		return false;
	for (uint64_t i = 0; i < n_words; i++)
		for (uint64_t word = bits[i]; word; word &= word - 1)
			mem_set_dirty(vm->mem, slot->gpa + (i * 64 + __builtin_ctzll(word)) * MEM_PAGE_SIZE);
	return true;
}

static bool remove_slot(struct kvm_vm *vm, unsigned n)
{
	struct slot *slot = slot_at(vm->slots, n);

	if ((is_logged(vm, slot) && !fetch(vm, n)) || !set_region(vm, n, slot, 0))
		return false;
	*slot = (struct slot){0};
	return true;
}

static bool add_slot(struct kvm_vm *vm, const struct slot *slot)
{
	int n = find(vm->slots, &(struct slot){0});

	if (n < 0) {
		n = vm->slots->len;
		g_array_set_size(vm->slots, n + 1);
	}
	if (!set_region(vm, n, slot, slot->len))
		return false;
	*slot_at(vm->slots, n) = *slot;
	return true;
}

/* Under the lock, while no vCPU is in KVM_RUN. */
static bool change(struct kvm_vm *vm)
{
	unsigned changes = atomic_load(&vm->changes); /* before mem is read: what comes later counts anew */
	g_autoptr(GArray) wanted = wanted_slots(vm->mem);

	for (unsigned n = 0; n < vm->slots->len; n++)
		if (slot_at(vm->slots, n)->len && find(wanted, slot_at(vm->slots, n)) < 0 &&
		    !remove_slot(vm, n))
			return false;
	for (unsigned i = 0; i < wanted->len; i++)
		if (find(vm->slots, slot_at(wanted, i)) < 0 && !add_slot(vm, slot_at(wanted, i)))
			return false;
	atomic_store(&vm->changes_done, changes);
	return true;
}

static bool is_current(const struct kvm_vm *vm)
{
	return atomic_load(&vm->changes) == atomic_load(&vm->changes_done);
}

static bool any_in_kvm(const struct kvm_vm *vm)
{
	for (unsigned i = 0; i < KVM_ENGINE_MAX_VCPUS; i++)
		if (vm->vcpus[i] && atomic_load(&vm->vcpus[i]->in_kvm))
			return true;
	return false;
}

static bool update(struct kvm_vm *vm)
{
	bool ok = true;

	g_mutex_lock(&vm->lock);
	while (!is_current(vm) && any_in_kvm(vm))
		g_cond_wait(&vm->left, &vm->lock);
	if (!is_current(vm)) {
		ok = change(vm);
		g_cond_broadcast(&vm->left);
	}
	g_mutex_unlock(&vm->lock);
	return ok;
}

bool kvm_slots_enter(struct kvm_vcpu *v)
{
	for (;;) {
		/* In this order: whoever counts a change next finds us inside. */
		atomic_store(&v->in_kvm, true);
		if (is_current(v->vm))
			return true;
		kvm_slots_leave(v);
		if (!update(v->vm)) {
			kvm_refuse(v, "the guest's memory");
			return false;
		}
	}
}

void kvm_slots_leave(struct kvm_vcpu *v)
{
	atomic_store(&v->in_kvm, false);
	if (!is_current(v->vm)) {
		g_mutex_lock(&v->vm->lock);
		g_cond_broadcast(&v->vm->left);
		g_mutex_unlock(&v->vm->lock);
	}
}

static void on_remapped(void *opaque)
{
	struct kvm_vm *vm = opaque;

	atomic_fetch_add(&vm->changes, 1);
	for (unsigned i = 0; i < KVM_ENGINE_MAX_VCPUS; i++)
		if (vm->vcpus[i])
			kvm_wake(vm->vcpus[i]);
}

static bool fetch_all(struct kvm_vm *vm)
{
	bool ok = true;

	g_mutex_lock(&vm->lock);
	for (unsigned n = 0; n < vm->slots->len && ok; n++)
		if (is_logged(vm, slot_at(vm->slots, n)))
			ok = fetch(vm, n);
	g_mutex_unlock(&vm->lock);
	return ok;
}

/* A log that cannot be read is not missed here: its slot's next change says so. */
static void on_gather(void *opaque)
{
	fetch_all(opaque);
}

/* Decoded code is KVM's own affair; and fetching the log made the pages' next stores seen. */
static void on_written(void *opaque, uint64_t gpa, uint64_t len)
{
}

static void on_protect(void *opaque, uint64_t gpa)
{
}

static void on_cleaned(void *opaque)
{
}

void kvm_slots_init(struct kvm_vm *vm)
{
	g_mutex_init(&vm->lock);
	g_cond_init(&vm->left);
	vm->slots = g_array_new(FALSE, TRUE, sizeof(struct slot));
	mem_add_listener(vm->mem, &(struct mem_listener){on_written, on_protect, on_cleaned, on_remapped, vm,
							 on_gather});
}

bool kvm_slots_make(struct kvm_vm *vm)
{
	return change(vm);
}

void kvm_slots_fini(struct kvm_vm *vm)
{
	mem_remove_listener(vm->mem, vm);
	g_array_unref(vm->slots);
	g_mutex_clear(&vm->lock);
	g_cond_clear(&vm->left);
}

bool kvm_slots_log_dirty(struct kvm_vm *vm, bool on)
{
	bool ok = true;

	g_mutex_lock(&vm->lock);
	vm->log_dirty = on;
	for (unsigned n = 0; n < vm->slots->len && ok; n++)
		if (slot_at(vm->slots, n)->len)
			ok = set_region(vm, n, slot_at(vm->slots, n), slot_at(vm->slots, n)->len);
	g_mutex_unlock(&vm->lock);
	return ok;
}

bool kvm_slots_fetch_dirty(struct kvm_vm *vm)
{
	return fetch_all(vm);
}
