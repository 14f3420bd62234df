// SPDX-License-Identifier: GPL-2.0
/* For kvm-intel.ko's Rust: inline functions of C's that Rust can't reach. */
#include "vmx/vmx.h"
#include "vmx/nested.h"
#include "vmx/posted_intr.h"
#include "rust/bindings/events.h"
#include "rust/helpers/owner.h"

#ifdef CONFIG_LOCKDEP
void vmx_events_assert_owner(struct kvm_vcpu *vcpu)
{
	assert_owner(vcpu);
}
#endif

u8 vmx_events_requesting_vector(void)
{
	return vmx_get_rvi();
}

/* The highest vector of L2's posted interrupts, if processing them was asked for; or -1. */
int vmx_events_posted_vector(struct kvm_vcpu *vcpu)
{
	struct nested_vmx *nested = &to_vmx(vcpu)->nested;

	if (!nested->pi_pending || !nested->pi_desc || !pi_test_on(nested->pi_desc))
		return -1;

	return pi_find_highest_vector(nested->pi_desc);
}

void vmx_events_warn_no_interrupt(void)
{
	WARN_ON_ONCE(1);
}

void vmx_events_vmexit(struct kvm_vcpu *vcpu, u32 reason, u32 info, u64 qualification)
{
	nested_vmx_vmexit(vcpu, reason, info, qualification);
}
