/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Our processor's CPUID (x86/cpuid.c), without the features that this host's KVM cannot give it; an
 * exact model is refused where there are any. */
#include "cpu/x86/cpuid.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/error.h"
#include "cpu/kvm/kvm_int.h"

#define BIT(n)	    (1u << (n))
#define MAX_ENTRIES 256

/* Leaf 1 ECX: what our APIC provides if the MSRs are ours, and the hypervisor bit. */
#define X2APIC	     BIT(21)
#define TSC_DEADLINE BIT(24)
#define XSAVE	     BIT(26)
#define HYPERVISOR   BIT(31)
/* Leaf 1 EDX */
#define APIC BIT(9)
/* Leaf 6 EAX */
#define ARAT BIT(2)

#define SUBLEAVES	4
#define XSAVE_SUBLEAVES XSAVE_N_COMPONENTS

static const struct {
	uint32_t first, last;
	unsigned n_subleaves;
} leaves[] = {
	{0, 2, 0},
	{4, 4, SUBLEAVES},
	{6, 6, 0},
	{7, 7, 2},
	{0xb, 0xb, SUBLEAVES},
	{0xd, 0xd, XSAVE_SUBLEAVES},
	{0x15, 0x16, 0},
	{0x40000000, 0x40000001, 0},
	{0x40000010, 0x40000010, 0},
	{0x80000000, 0x80000008, 0},
};

struct table {
	uint32_t nent, padding;
	struct kvm_cpuid_entry2 entries[MAX_ENTRIES];
};
G_STATIC_ASSERT(offsetof(struct table, entries) == offsetof(struct kvm_cpuid2, entries));

static struct cpuid supported(const struct table *host, uint32_t leaf, uint32_t subleaf)
{
	for (unsigned i = 0; i < host->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &host->entries[i];

		if (e->function == leaf &&
		    (e->index == subleaf || !(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX)))
			return (struct cpuid){e->eax, e->ebx, e->ecx, e->edx};
	}
	return (struct cpuid){0};
}

/* What KVM has of a leaf's features, and what is ours. */
static struct cpuid given_features(const struct kvm_vcpu *v, const struct table *host,
				   uint32_t leaf, uint32_t subleaf)
{
	struct cpuid given = supported(host, leaf, subleaf);

	if (leaf == 1) {
		given.ecx &= ~(X2APIC | TSC_DEADLINE);
		given.ecx |= HYPERVISOR | (v->vm->user_msrs ? X2APIC | TSC_DEADLINE : 0);
		given.edx |= APIC;
	}
	if (leaf == 6)
		given.eax |= ARAT;
	return given;
}

static void intersect(struct cpuid *r, struct cpuid feature, struct cpuid given)
{
	r->eax &= ~feature.eax | given.eax;
	r->ebx &= ~feature.ebx | given.ebx;
	r->ecx &= ~feature.ecx | given.ecx;
	r->edx &= ~feature.edx | given.edx;
}

static bool has_feature(struct cpuid r, const struct feature *f)
{
	return ((const uint32_t[]){r.eax, r.ebx, r.ecx, r.edx})[f->reg] >> f->bit & 1;
}

/* Whether KVM can give every feature of an exact model. */
static bool check_given(const struct kvm_vcpu *v, const struct table *host, GError **error)
{
	for (enum insn_feature i = F_BASE + 1; i < F_N_FEATURES; i++) {
		const struct feature *f = feature_get(i);

		if (v->model->has[i] && f->leaf != FEATURE_NO_LEAF &&
		    !has_feature(given_features(v, host, f->leaf, f->subleaf), f)) {
			g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
				    "--cpu: the host's KVM cannot give '%s' its %s; add ,-%s, or "
				    "use --engine soft",
				    v->model->name, f->name, f->name);
			return false;
		}
	}
	return true;
}

/* And whether it shows no others: there are KVMs that add their host's to what they are told. */
static bool check_shown(const struct kvm_vcpu *v, GError **error)
{
	g_autofree struct table *shown = g_new0(struct table, 1);

	shown->nent = MAX_ENTRIES;
	if (ioctl(v->fd, KVM_GET_CPUID2, shown) < 0)
		return true; /* it cannot say */
	for (enum insn_feature i = F_BASE + 1; i < F_N_FEATURES; i++) {
		const struct feature *f = feature_get(i);

		if (!v->model->has[i] && f->leaf != FEATURE_NO_LEAF &&
		    has_feature(supported(shown, f->leaf, f->subleaf), f)) {
			g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
				    "--cpu: the host's KVM shows %s, which '%s' lacks, in spite of "
				    "it; use --engine soft",
				    f->name, v->model->name);
			return false;
		}
	}
	return true;
}

/* The TSC is the host's, and kvmclock ours only if its MSRs are. */
static struct cpuid adapt(const struct kvm_vcpu *v, const struct table *host, uint32_t leaf,
			  uint32_t subleaf, struct cpuid r)
{
	bool has_xsave = supported(host, 1, 0).ecx & XSAVE;

	switch (leaf) {
	case 0xd:
		if (!has_xsave)
			return (struct cpuid){0};
		if (subleaf == 0)
			r.eax &= supported(host, leaf, 0).eax;
		if (subleaf >= 2 && !(supported(host, leaf, 0).eax & BIT(subleaf)))
			return (struct cpuid){0};
		break;
	case 0x15:
		r.ecx = v->tsc_khz * 1000;
		break;
	case 0x16:
		r.eax = r.ebx = v->tsc_khz / 1000;
		break;
	case 0x40000001:
		if (!v->vm->user_msrs)
			r.eax = 0;
		break;
	case 0x40000010:
		r.eax = v->tsc_khz;
		break;
	}
	return r;
}

static void add(const struct kvm_vcpu *v, const struct table *host, uint32_t leaf, uint32_t subleaf,
		bool has_subleaves, struct table *out)
{
	struct x86_state reset;
	struct cpuid r;

	x86_state_reset(&reset, true);
	r = cpuid_get(v->model, leaf, subleaf, &reset, v->id, v->env->n_vcpus);
	intersect(&r, cpuid_feature_bits(v->model->has, leaf, subleaf),
		  given_features(v, host, leaf, subleaf));
	r = adapt(v, host, leaf, subleaf, r);
	out->entries[out->nent++] = (struct kvm_cpuid_entry2){
		.function = leaf,
		.index = subleaf,
		.flags = has_subleaves ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
		.eax = r.eax,
		.ebx = r.ebx,
		.ecx = r.ecx,
		.edx = r.edx,
	};
}

/* Leaves that are there: what others give is KVM's own affair, and the same (cpuid_get()). */
static bool has_leaf(const struct x86_model *m, uint32_t leaf)
{
	return leaf <= m->max_leaf || (leaf >> 28 == 4 && m->has[F_HYPERVISOR]) ||
	       (leaf >> 28 == 8 && leaf <= m->max_extended_leaf);
}

/* Of what could be had here, because the user said so: what the default goes without is no promise. */
static bool lacks_something(const struct x86_model *m)
{
	return memcmp(m->has, x86_model_host()->has, sizeof(m->has)) &&
	       memcmp(m->has, x86_model_default()->has, sizeof(m->has));
}

bool kvm_cpuid_set(struct kvm_vcpu *v, GError **error)
{
	g_autofree struct table *host = g_new0(struct table, 1), *guest = g_new0(struct table, 1);

	host->nent = MAX_ENTRIES;
	if (ioctl(v->vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, host) < 0)
		goto fail;
	if (v->model->exact && !check_given(v, host, error))
		return false;
	for (size_t i = 0; i < G_N_ELEMENTS(leaves); i++)
		for (uint32_t leaf = leaves[i].first; leaf <= leaves[i].last; leaf++)
			for (unsigned sub = 0;
			     has_leaf(v->model, leaf) && sub < MAX(leaves[i].n_subleaves, 1); sub++)
				add(v, host, leaf, sub, leaves[i].n_subleaves, guest);
	if (ioctl(v->fd, KVM_SET_CPUID2, guest) == 0)
		return !lacks_something(v->model) || check_shown(v, error);
fail:
	g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
		    "the host's KVM refuses the processor's CPUID: %s; use --engine soft",
		    g_strerror(errno));
	return false;
}
