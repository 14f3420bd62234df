/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __KVM_RUST_OWNER_H
#define __KVM_RUST_OWNER_H

#include <linux/kvm_host.h>
#include <linux/lockdep.h>

/* As get_vmcs12() asserts: with no user left of the VM, its destruction owns the vCPU. */
static inline void assert_owner(struct kvm_vcpu *vcpu)
{
	lockdep_assert_once(lockdep_is_held(&vcpu->mutex) ||
			    !refcount_read(&vcpu->kvm->users_count));
}

#endif /* __KVM_RUST_OWNER_H */
