// SPDX-License-Identifier: GPL-2.0
/*
 * The half of vNMI that upstream lacks: taking back an NMI that was handed to hardware.
 * In C as long as kvm-amd.ko has no Rust of its own: it needs is_vnmi_enabled(), which is
 * an inline function over struct vcpu_svm.
 */
#include "svm/svm.h"
#include "rust/bindings/events.h"

void svm_clear_vnmi_pending(struct kvm_vcpu *vcpu)
{
	struct vcpu_svm *svm = to_svm(vcpu);

	if (!is_vnmi_enabled(svm))
		return;

	svm->vmcb->control.int_ctl &= ~V_NMI_PENDING_MASK;
	vmcb_mark_dirty(svm->vmcb, VMCB_INTR);
}
