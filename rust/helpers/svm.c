// SPDX-License-Identifier: GPL-2.0
/* For kvm-amd.ko's Rust: inline functions of C's that Rust can't reach. */
#include <linux/kvm_host.h>

#include "trace.h"
#include "svm/svm.h"
#include "rust/bindings/events.h"
#include "rust/helpers/owner.h"

#ifdef CONFIG_LOCKDEP
void svm_events_assert_owner(struct kvm_vcpu *vcpu)
{
	assert_owner(vcpu);
}
#endif

void svm_events_vmexit(struct kvm_vcpu *vcpu, u32 exit_code)
{
	struct vcpu_svm *svm = to_svm(vcpu);

	if (exit_code == SVM_EXIT_INTR)
		trace_kvm_nested_intr_vmexit(svm->vmcb->save.rip);
	nested_svm_simple_vmexit(svm, exit_code);
}
