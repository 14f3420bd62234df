/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the tests of events and nested SVM: a vCPU that runs L1 and L2, and tells by
 * the ports that it writes to where it is. It is stopped at each, and only there is
 * anything sent to it: what comes next is the same every time.
 */
#ifndef SELFTEST_KVM_SVM_EVENT_TEST_H
#define SELFTEST_KVM_SVM_EVENT_TEST_H

#include "nested_event_test.h"
#include "svm_util.h"

#define PORT_GIF_CLEAR	0xe6	/* L1 runs, with GIF clear */

#define L2_STACK_SIZE	4096

/* Of the library: where the entries of the IDT lead, in the guest; known to the host too. */
extern u64 idt_handlers[];

/*
 * A VM whose BSP or AP runs @l1, which gets what vcpu_alloc_svm() made. Returns the same,
 * for the host.
 */
static inline struct svm_test_data *svm_ap_create(struct ap *ap, bool is_bsp, void *l1)
{
	struct svm_test_data *svm;
	u64 svm_gva;

	nested_ap_create(ap, is_bsp, l1);
	svm = vcpu_alloc_svm(ap->vcpu->vm, &svm_gva);
	vcpu_args_set(ap->vcpu, 1, svm_gva);
	return svm;
}

struct nested_state {
	struct kvm_nested_state head;
	u8 room[KVM_STATE_NESTED_SVM_VMCB_SIZE];
};

static inline u32 nested_flags(struct kvm_vcpu *vcpu)
{
	struct nested_state state = { .head.size = sizeof(state) };

	vcpu_nested_state_get(vcpu, &state.head);
	return state.head.flags;
}

/* As if L1's VMRUN, which injects the event @inject, were done but for the entry itself. */
static inline void set_pending_entry(struct kvm_vcpu *vcpu, u32 inject)
{
	struct nested_state state = { .head.size = sizeof(state) };
	struct vmcb *vmcb = (void *)&state.head.data.svm[0];

	vcpu_run_complete_io(vcpu);
	vcpu_nested_state_get(vcpu, &state.head);
	TEST_ASSERT(state.head.flags & KVM_STATE_NESTED_GUEST_MODE, "the vCPU is not in L2");
	state.head.flags |= KVM_STATE_NESTED_RUN_PENDING;
	vmcb->control.event_inj = inject;
	vcpu_nested_state_set(vcpu, &state.head);
}

#endif /* SELFTEST_KVM_SVM_EVENT_TEST_H */
