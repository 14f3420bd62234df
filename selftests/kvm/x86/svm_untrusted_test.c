// SPDX-License-Identifier: GPL-2.0
/*
 * States that no guest can bring about and userspace can set, in any order: KVM refuses them or makes
 * something of them, and never warns.
 */
#include "event_warn.h"
#include "svm_event_test.h"

#define PORT_NMI_IN_L1	0xe9

static u8 l2_stack[L2_STACK_SIZE] __aligned(16);

static void nmi_handler(struct ex_regs *regs)
{
	tell(PORT_NMI_IN_L1, 0);
}

static void l2_code(void)
{
	tell(PORT_L2, 0);
	tell(PORT_L2, 1);
	vmmcall();
}

static void l1_code(struct svm_test_data *svm)
{
	struct vmcb *vmcb = svm->vmcb;

	generic_svm_setup(svm, l2_code, l2_stack + L2_STACK_SIZE);
	vmcb->control.intercept |= BIT(INTERCEPT_SHUTDOWN);
	vmcb->control.intercept_exceptions |= 1 << GP_VECTOR;
	do {
		run_guest(vmcb, svm->vmcb_gpa);
		tell(PORT_EXIT, vmcb->control.exit_code);
		stgi();
		tell(PORT_L1, 0);
	} while (vmcb->control.exit_code != SVM_EXIT_VMMCALL);
}

FIXTURE(untrusted)
{
	struct ap ap;
};

FIXTURE_SETUP(untrusted)
{
	svm_ap_create(&self->ap, true, l1_code);
	vm_install_exception_handler(self->ap.vcpu->vm, NMI_VECTOR, nmi_handler);
	if (kvm_has_cap(KVM_CAP_X86_TRIPLE_FAULT_EVENT))
		vm_enable_cap(self->ap.vcpu->vm, KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1);
	ASSERT_RUNS_TO(&self->ap, PORT_L2);
	vcpu_run_complete_io(self->ap.vcpu);
}

FIXTURE_TEARDOWN(untrusted)
{
	kvm_vm_free(self->ap.vcpu->vm);
}

/* Only #DB and #PF have a payload. */
TEST_F(untrusted, payload_of_a_fault_that_has_none)
{
	struct kvm_vcpu_events events;
	int fd = warn_watch();

	vcpu_events_get(self->ap.vcpu, &events);
	events.flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	events.exception.pending = 1;
	events.exception.nr = GP_VECTOR;
	events.exception.has_error_code = 1;
	events.exception_has_payload = 1;
	events.exception_payload = 0x1234;
	vcpu_events_set(self->ap.vcpu, &events);
	EXPECT_EQ(PORT_EXIT, ap_run_for(&self->ap, LIMIT_MS));
	EXPECT_EQ(SVM_EXIT_EXCP_BASE + GP_VECTOR, ap_told(&self->ap));
	EXPECT_NO_WARNING(fd);
}

TEST_F(untrusted, triple_fault_before_the_entry)
{
	int fd;

	if (!kvm_has_cap(KVM_CAP_X86_TRIPLE_FAULT_EVENT))
		SKIP(return, "KVM has no triple fault event");
	fd = warn_watch();
	set_pending_entry(self->ap.vcpu, 0);
	add_triple_fault(self->ap.vcpu);
	EXPECT_EQ(PORT_EXIT, ap_run_for(&self->ap, LIMIT_MS));
	EXPECT_EQ(SVM_EXIT_SHUTDOWN, ap_told(&self->ap));
	EXPECT_NO_WARNING(fd);
	/* No VM-Enter is pending any more, for which L1's events would wait. */
	vcpu_ioctl(self->ap.vcpu, KVM_NMI, NULL);
	ASSERT_RUNS_TO(&self->ap, PORT_NMI_IN_L1, PORT_L1);
}

/* Wait-for-SIPI, with INIT and SIPI blocked as GIF is clear. */
FIXTURE(waits_without_gif)
{
	struct ap ap;
};

FIXTURE_SETUP(waits_without_gif)
{
	struct nested_state state = {
		.head.size = sizeof(state.head),
		.head.format = KVM_STATE_NESTED_FORMAT_SVM,
	};
	struct kvm_sregs sregs;

	ap_create(&self->ap, KVM_MP_STATE_INIT_RECEIVED);
	self->ap.ended = true;
	vcpu_sregs_get(self->ap.vcpu, &sregs);
	sregs.efer |= EFER_SVME;
	vcpu_sregs_set(self->ap.vcpu, &sregs);
	vcpu_nested_state_set(self->ap.vcpu, &state.head);
}

FIXTURE_TEARDOWN(waits_without_gif)
{
	kvm_vm_free(self->ap.vcpu->vm);
}

TEST_F(waits_without_gif, is_not_run)
{
	EXPECT_EQ(-EINVAL, ap_run_for(&self->ap, WATCH_MS));
	EXPECT_EQ(-EINVAL, ap_run_for(&self->ap, WATCH_MS));
}

TEST_F(waits_without_gif, init)
{
	int fd = warn_watch();

	ap_send(&self->ap, MSI_DM_INIT);
	EXPECT_EQ(KVM_MP_STATE_INIT_RECEIVED, mp_state_of(self->ap.vcpu));
	EXPECT_TRUE(init_is_latched(self->ap.vcpu));
	EXPECT_NO_WARNING(fd);
}

/* With GIF set again the vCPU is one that waits. */
TEST_F(waits_without_gif, until_gif_is_set)
{
	struct nested_state state = {
		.head.size = sizeof(state.head),
		.head.format = KVM_STATE_NESTED_FORMAT_SVM,
		.head.flags = KVM_STATE_NESTED_GIF_SET,
	};

	vcpu_nested_state_set(self->ap.vcpu, &state.head);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	ASSERT_RUNS_TO(&self->ap, PORT_STARTED, PORT_LATER);
}

int main(int argc, char **argv)
{
	TEST_REQUIRE(kvm_cpu_has(X86_FEATURE_SVM));
	return test_harness_run(argc, argv);
}
