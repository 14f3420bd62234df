/* SPDX-License-Identifier: GPL-2.0 */
/* Shared by the tests of events and nested VMX, as svm_event_test.h is by those of SVM. */
#ifndef SELFTEST_KVM_VMX_EVENT_TEST_H
#define SELFTEST_KVM_VMX_EVENT_TEST_H

#include "nested_event_test.h"
#include "vmx.h"

#define REASON_EXCEPTION_NMI	0
#define REASON_INTERRUPT	1
#define REASON_TRIPLE_FAULT	2
#define REASON_INIT		3
#define REASON_VMCALL		18
#define REASON_MTF		37
#define REASON_TIMER		52

#define PIN_TIMER		(1 << 6)
/* Of the TSC; KVM's timer for L2 counts every 32nd. */
#define TIMER_SHIFT		5

#define L2_STACK_SIZE		4096

struct vmx_state {
	struct kvm_nested_state head;
	u8 room[2 * KVM_STATE_NESTED_VMX_VMCS_SIZE];
};

/* L1 goes back to L2 after each exit, and tells of it, until L2 is done. */
static inline void l1_runs_l2(void)
{
	u32 reason;

	GUEST_ASSERT(!vmlaunch());
	for (;;) {
		reason = vmreadz(VM_EXIT_REASON);
		tell(PORT_EXIT, reason | (vmreadz(VM_EXIT_INTR_INFO) & 0xff) << 16);
		if (reason == REASON_VMCALL)
			break;
		GUEST_ASSERT(!vmresume());
	}
}

#endif /* SELFTEST_KVM_VMX_EVENT_TEST_H */
