/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/error.h"
#include "cpu/kvm/kvm_int.h"

/*
 * What Intel's real mode under KVM needs: a page, and three. Above the interrupt controllers, whose last are the
 * messages at fee00000h-feefffffh, and below 16 MiB for the firmware.
 */
#define IDENTITY_MAP_ADDR 0xfeffc000ull
#define TSS_ADDR	  0xfeffd000ul

static bool host_error(GError **error, const char *what)
{
	g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
		    "the host's KVM refuses %s: %s; use --engine soft", what, g_strerror(errno));
	return false;
}

static bool has_capability(const struct kvm_vm *vm, int capability)
{
	return ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, capability) > 0;
}

static bool check_capabilities(const struct kvm_vm *vm, GError **error)
{
	static const struct {
		int capability;
		const char *name;
	} needed[] = {
		{KVM_CAP_USER_MEMORY, "USER_MEMORY"},
		{KVM_CAP_READONLY_MEM, "READONLY_MEM"},
		{KVM_CAP_IMMEDIATE_EXIT, "IMMEDIATE_EXIT"},
		{KVM_CAP_XSAVE, "XSAVE"},
		{KVM_CAP_VCPU_EVENTS, "VCPU_EVENTS"},
		{KVM_CAP_DEBUGREGS, "DEBUGREGS"},
		{KVM_CAP_GET_TSC_KHZ, "GET_TSC_KHZ"},
		{KVM_CAP_EXT_CPUID, "EXT_CPUID"},
		{KVM_CAP_USER_NMI, "USER_NMI"},
		{KVM_CAP_SET_TSS_ADDR, "SET_TSS_ADDR"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(needed); i++) {
		if (has_capability(vm, needed[i].capability))
			continue;
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "the host's KVM lacks KVM_CAP_%s; use --engine soft", needed[i].name);
		return false;
	}
	return true;
}

/* MSRs that KVM does not know, or that are ours, come to us instead of faulting in the guest. */
static bool take_msrs(struct kvm_vm *vm)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR,
		.args = {KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN |
			 KVM_MSR_EXIT_REASON_FILTER},
	};

	return has_capability(vm, KVM_CAP_X86_USER_SPACE_MSR) &&
	       has_capability(vm, KVM_CAP_X86_MSR_FILTER) &&
	       ioctl(vm->fd, KVM_ENABLE_CAP, &cap) == 0 && kvm_filter_msrs(vm);
}

static bool create(struct kvm_vm *vm, GError **error)
{
	uint64_t identity = IDENTITY_MAP_ADDR;

	vm->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm_fd < 0) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "cannot open /dev/kvm: %s; use --engine soft%s", g_strerror(errno),
			    errno == EACCES ? ", or join the group that owns it" : "");
		return false;
	}
	if (ioctl(vm->kvm_fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		return host_error(error, "this version of its interface");
	if (!check_capabilities(vm, error))
		return false;
	vm->run_size = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	vm->fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
	if (vm->fd < 0)
		return host_error(error, "to make a VM");
	if (ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 ||
	    ioctl(vm->fd, KVM_SET_TSS_ADDR, TSS_ADDR) < 0)
		return host_error(error, "the addresses it keeps for itself");
	vm->user_msrs = take_msrs(vm);
	return kvm_slots_make(vm) || host_error(error, "the guest's memory");
}

static void destroy(struct kvm_vm *vm)
{
	kvm_slots_fini(vm);
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->kvm_fd >= 0)
		close(vm->kvm_fd);
	g_free(vm);
}

struct kvm_vm *kvm_vm_ref(struct engine_env *env, GError **error)
{
	struct kvm_vm *vm = env->engine_vm;

	if (!vm) {
		vm = g_new0(struct kvm_vm, 1);
		vm->kvm_fd = vm->fd = -1;
		vm->mem = env->mem;
		kvm_slots_init(vm);
		if (!create(vm, error)) {
			destroy(vm);
			return NULL;
		}
		env->engine_vm = vm;
	}
	vm->n_vcpus++;
	return vm;
}

void kvm_vm_unref(struct engine_env *env)
{
	struct kvm_vm *vm = env->engine_vm;

	if (--vm->n_vcpus)
		return;
	destroy(vm);
	env->engine_vm = NULL;
}

bool kvm_vm_log_dirty(struct engine_env *env, bool on, GError **error)
{
	return kvm_slots_log_dirty(env->engine_vm, on) || host_error(error, "to log written pages");
}

bool kvm_vm_fetch_dirty(struct engine_env *env, GError **error)
{
	return kvm_slots_fetch_dirty(env->engine_vm) || host_error(error, "its log of written pages");
}
