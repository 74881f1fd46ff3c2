/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Machine checks: KVM logs and raises them (KVM_X86_SET_MCE), in as many banks as ours. */
#include "cpu/x86/machine_check.h"

#include <sys/ioctl.h>

#include "cpu/kvm/kvm_int.h"

void kvm_machine_check_init(struct kvm_vcpu *v)
{
	uint64_t mcg_cap = X86_N_MC_BANKS;

	v->machine_checks = g_array_new(false, false, sizeof(struct engine_machine_check));
	v->has_machine_checks =
		v->model->has[F_MCA] &&
		ioctl(v->vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MCE) >= X86_N_MC_BANKS &&
		ioctl(v->fd, KVM_X86_SETUP_MCE, &mcg_cap) == 0;
}

bool kvm_machine_check_send(struct kvm_vcpu *v, const struct engine_machine_check *error)
{
	if (!v->has_machine_checks || !machine_check_fits(v->model, error))
		return false;
	g_mutex_lock(&v->lock);
	g_array_append_vals(v->machine_checks, error, 1);
	kvm_interrupt_run(v);
	g_mutex_unlock(&v->lock);
	return true;
}

void kvm_machine_check_inject(struct kvm_vcpu *v)
{
	g_mutex_lock(&v->lock);
	for (unsigned i = 0; i < v->machine_checks->len; i++) {
		const struct engine_machine_check *error =
			&g_array_index(v->machine_checks, struct engine_machine_check, i);
		struct kvm_x86_mce mce = {
			.status = error->status,
			.addr = error->addr,
			.misc = error->misc,
			.mcg_status = (error->mcg_status & (MCG_STATUS_RIPV | MCG_STATUS_EIPV)) |
				      MCG_STATUS_MCIP,
			.bank = error->bank,
		};

		if (ioctl(v->fd, KVM_X86_SET_MCE, &mce) < 0)
			kvm_refuse(v, "a machine check");
	}
	g_array_set_size(v->machine_checks, 0);
	g_mutex_unlock(&v->lock);
}
