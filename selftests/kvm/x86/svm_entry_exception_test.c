// SPDX-License-Identifier: GPL-2.0
/*
 * An exception that userspace adds while KVM owes L2 a VM-Enter comes after that VM-Enter, as a
 * machine check does that KVM_X86_SET_MCE reports: to L1, or to L2 if L1 doesn't intercept it.
 */
#include "svm_event_test.h"

#define PORT_IN_L2	0xe9	/* a handler of L2's runs, with the vector */
#define INJECTED_VECTOR	0x41

static u32 intercept_exceptions;
static u8 l2_stack[L2_STACK_SIZE] __aligned(16);

static void tell_vector(struct ex_regs *regs)
{
	tell(PORT_IN_L2, regs->vector);
}

static void l2_code(void)
{
	asm volatile("sti; nop");
	tell(PORT_L2, 0);
	tell(PORT_L2, 1);
	vmmcall();
}

static void l1_code(struct svm_test_data *svm)
{
	struct vmcb *vmcb = svm->vmcb;

	generic_svm_setup(svm, l2_code, l2_stack + L2_STACK_SIZE);
	vmcb->control.intercept_exceptions |= intercept_exceptions;
	do {
		run_guest(vmcb, svm->vmcb_gpa);
		tell(PORT_EXIT, vmcb->control.exit_code);
		/* What L2 was about to get when it exited. */
		vmcb->control.event_inj = vmcb->control.exit_int_info;
		stgi();
	} while (vmcb->control.exit_code != SVM_EXIT_VMMCALL);
}

FIXTURE(entry_exception)
{
	struct ap ap;
};

FIXTURE_VARIANT(entry_exception)
{
	bool to_l1;
	u32 inject;
};

FIXTURE_VARIANT_ADD(entry_exception, to_l1)
{
	.to_l1 = true,
};

FIXTURE_VARIANT_ADD(entry_exception, to_l2)
{
};

FIXTURE_VARIANT_ADD(entry_exception, to_l1_injecting)
{
	.to_l1 = true,
	.inject = SVM_EVTINJ_VALID | SVM_EVTINJ_TYPE_INTR | INJECTED_VECTOR,
};

FIXTURE_SETUP(entry_exception)
{
	struct kvm_vm *vm;

	svm_ap_create(&self->ap, true, l1_code);
	vm = self->ap.vcpu->vm;
	vm_install_exception_handler(vm, MC_VECTOR, tell_vector);
	vm_install_exception_handler(vm, INJECTED_VECTOR, tell_vector);
	intercept_exceptions = variant->to_l1 ? 1 << MC_VECTOR : 0;
	sync_global_to_guest(vm, intercept_exceptions);
	ASSERT_RUNS_TO(&self->ap, PORT_L2);
}

FIXTURE_TEARDOWN(entry_exception)
{
	kvm_vm_free(self->ap.vcpu->vm);
}

TEST_F(entry_exception, comes_after_the_entry)
{
	set_pending_entry(self->ap.vcpu, variant->inject);
	add_machine_check(self->ap.vcpu);
	if (variant->to_l1) {
		ASSERT_RUNS_TO(&self->ap, PORT_EXIT);
		EXPECT_EQ(SVM_EXIT_EXCP_BASE + MC_VECTOR, ap_told(&self->ap));
	} else {
		ASSERT_RUNS_TO(&self->ap, PORT_IN_L2);
		EXPECT_EQ(MC_VECTOR, ap_told(&self->ap));
	}
	if (variant->inject) {
		ASSERT_RUNS_TO(&self->ap, PORT_IN_L2);
		EXPECT_EQ(INJECTED_VECTOR, ap_told(&self->ap));
	}
	ASSERT_RUNS_TO(&self->ap, PORT_L2);
	EXPECT_EQ(1, ap_told(&self->ap));
}

/* A KVM_RUN that ends before the VM-Enter takes nothing. */
TEST_F(entry_exception, survives_a_signal)
{
	set_pending_entry(self->ap.vcpu, variant->inject);
	add_machine_check(self->ap.vcpu);
	vcpu_run_complete_io(self->ap.vcpu);
	ASSERT_EQ(variant->to_l1 ? PORT_EXIT : PORT_IN_L2, ap_run_for(&self->ap, LIMIT_MS));
}

/*
 * Userspace takes the vCPU out of L2 before an exception has made its exit to L1: it was L2's, and is
 * gone with L2.
 */
FIXTURE(left_l2)
{
	struct ap ap;
};

FIXTURE_SETUP(left_l2)
{
	svm_ap_create(&self->ap, true, l1_code);
	intercept_exceptions = 1 << MC_VECTOR;
	sync_global_to_guest(self->ap.vcpu->vm, intercept_exceptions);
	ASSERT_RUNS_TO(&self->ap, PORT_L2);
	vcpu_run_complete_io(self->ap.vcpu);
	add_machine_check(self->ap.vcpu);
	/* KVM_RUN makes it an exit that is pending. */
	vcpu_run_complete_io(self->ap.vcpu);
}

FIXTURE_TEARDOWN(left_l2)
{
	kvm_vm_free(self->ap.vcpu->vm);
}

static bool exception_is_pending(struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_events events;

	vcpu_events_get(vcpu, &events);
	return events.exception.pending || events.exception.injected;
}

/* Not run from there: it would be L1 with L2's registers. */
TEST_F(left_l2, by_set_nested_state)
{
	struct nested_state state = {
		.head.size = sizeof(state.head),
		.head.format = KVM_STATE_NESTED_FORMAT_SVM,
		.head.flags = KVM_STATE_NESTED_GIF_SET,
	};

	EXPECT_TRUE(exception_is_pending(self->ap.vcpu));
	vcpu_nested_state_set(self->ap.vcpu, &state.head);
	EXPECT_EQ(0, nested_flags(self->ap.vcpu) & KVM_STATE_NESTED_GUEST_MODE);
	EXPECT_FALSE(exception_is_pending(self->ap.vcpu));
}

TEST_F(left_l2, by_set_sregs)
{
	struct kvm_sregs sregs;

	EXPECT_TRUE(exception_is_pending(self->ap.vcpu));
	vcpu_sregs_get(self->ap.vcpu, &sregs);
	sregs.efer &= ~EFER_SVME;
	vcpu_sregs_set(self->ap.vcpu, &sregs);
	EXPECT_FALSE(exception_is_pending(self->ap.vcpu));
}

int main(int argc, char **argv)
{
	TEST_REQUIRE(kvm_cpu_has(X86_FEATURE_SVM));
	return test_harness_run(argc, argv);
}
