// SPDX-License-Identifier: GPL-2.0
/*
 * Events of L2 on VMX that upstream loses: a VMX-preemption timer whose deadline has passed, the
 * second of two NMIs, and an exception that userspace adds while KVM owes L2 a VM-Enter.
 */
#include "event_warn.h"
#include "vmx_event_test.h"

#define PORT_IN_L2	0xe9	/* a handler of L2's runs, with the vector */

static u8 l2_stack[L2_STACK_SIZE] __aligned(16);
static u32 exceptions;

static void tell_vector(struct ex_regs *regs)
{
	tell(PORT_IN_L2, regs->vector);
}

/*
 * Bochs runs L2 on where KVM wants an exit at once, to the next exit that L2 brings about. So there
 * are some, before the one that ends L2.
 */
static void l2_code(void)
{
	tell(PORT_L2, 0);
	tell(PORT_L2, 1);
	tell(PORT_L2, 2);
	tell(PORT_L2, 3);
	vmcall();
}

static void l1_code(struct vmx_pages *vmx)
{
	GUEST_ASSERT(prepare_for_vmx_operation(vmx));
	GUEST_ASSERT(load_vmcs(vmx));
	prepare_vmcs(vmx, l2_code, l2_stack + L2_STACK_SIZE);
	vmwrite(PIN_BASED_VM_EXEC_CONTROL, vmreadz(PIN_BASED_VM_EXEC_CONTROL) |
		PIN_BASED_NMI_EXITING | PIN_TIMER);
	vmwrite(VMX_PREEMPTION_TIMER_VALUE, 0xffffffff);
	vmwrite(EXCEPTION_BITMAP, exceptions);
	l1_runs_l2();
}

#define EXIT_OF(vector)	(REASON_EXCEPTION_NMI | (vector) << 16)

/* L2's timer, so far from now; past if negative. */
static void set_deadline(struct kvm_vcpu *vcpu, s64 ticks)
{
	struct vmx_state state = { .head.size = sizeof(state) };

	vcpu_nested_state_get(vcpu, &state.head);
	TEST_ASSERT(state.head.flags & KVM_STATE_NESTED_GUEST_MODE, "the vCPU is not in L2");
	state.head.hdr.vmx.flags |= KVM_STATE_VMX_PREEMPTION_TIMER_DEADLINE;
	state.head.hdr.vmx.preemption_timer_deadline =
		(vcpu_get_msr(vcpu, MSR_IA32_TSC) >> TIMER_SHIFT) + ticks;
	vcpu_nested_state_set(vcpu, &state.head);
}

static u64 ticks_until(struct kvm_vcpu *vcpu, s64 deadline)
{
	return deadline - (vcpu_get_msr(vcpu, MSR_IA32_TSC) >> TIMER_SHIFT);
}

static s64 deadline_of(struct kvm_vcpu *vcpu)
{
	struct vmx_state state = { .head.size = sizeof(state) };

	vcpu_nested_state_get(vcpu, &state.head);
	return state.head.hdr.vmx.preemption_timer_deadline;
}

FIXTURE(l2)
{
	struct ap ap;
};

FIXTURE_SETUP(l2)
{
	struct kvm_vm *vm;
	u64 vmx_gva;

	exceptions = 1 << MC_VECTOR;
	nested_ap_create(&self->ap, true, l1_code);
	vm = self->ap.vcpu->vm;
	if (kvm_has_cap(KVM_CAP_X86_TRIPLE_FAULT_EVENT))
		vm_enable_cap(vm, KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1);
	vcpu_alloc_vmx(vm, &vmx_gva);
	vcpu_args_set(self->ap.vcpu, 1, vmx_gva);
	vm_install_exception_handler(vm, MC_VECTOR, tell_vector);
	sync_global_to_guest(vm, exceptions);
	ASSERT_RUNS_TO(&self->ap, PORT_L2);
	vcpu_run_complete_io(self->ap.vcpu);
}

FIXTURE_TEARDOWN(l2)
{
	kvm_vm_free(self->ap.vcpu->vm);
}

/* Runs L2 to its next exit to L1. */
#define ASSERT_EXITS(ap, what)						\
do {									\
	while (ap_run_for(ap, LIMIT_MS) == PORT_L2)			\
		;							\
	ASSERT_EQ(PORT_EXIT, ap_port(ap));				\
	ASSERT_EQ(what, ap_told(ap));					\
} while (0)

/* To the end: nothing else comes. */
#define EXPECT_L2_GOES_ON(ap)	ASSERT_EXITS(ap, REASON_VMCALL)

/* The migration took longer than the timer. */
TEST_F(l2, timer_restored_late)
{
	set_deadline(self->ap.vcpu, -1000);
	ASSERT_EXITS(&self->ap, REASON_TIMER);
	EXPECT_L2_GOES_ON(&self->ap);
}

TEST_F(l2, timer_restored_in_time)
{
	set_deadline(self->ap.vcpu, 0xffffffff);
	EXPECT_L2_GOES_ON(&self->ap);
}

/* The SMI handler took longer than the timer. */
TEST_F(l2, timer_runs_out_in_smm)
{
	s64 deadline;

	if (!kvm_has_cap(KVM_CAP_X86_SMM))
		SKIP(return, "KVM has no SMM");
	ap_add_smi_handler(&self->ap);
	set_deadline(self->ap.vcpu, 1 << 22);
	deadline = deadline_of(self->ap.vcpu);
	vcpu_ioctl(self->ap.vcpu, KVM_SMI, NULL);
	ASSERT_RUNS_TO(&self->ap, PORT_SMI);
	ASSERT_TRUE(wait_for((s64)ticks_until(self->ap.vcpu, deadline) < 0));
	ASSERT_EXITS(&self->ap, REASON_TIMER);
	EXPECT_L2_GOES_ON(&self->ap);
}

/* One NMI is an exit to L1, the other is pending, and comes when L1 is back in L2. */
TEST_F(l2, two_nmis)
{
	set_pending_nmis(self->ap.vcpu, 2);
	ASSERT_EXITS(&self->ap, EXIT_OF(NMI_VECTOR));
	EXPECT_EQ(1, pending_nmis(self->ap.vcpu));
	ASSERT_EXITS(&self->ap, EXIT_OF(NMI_VECTOR));
	EXPECT_L2_GOES_ON(&self->ap);
}

TEST_F(l2, one_nmi)
{
	set_pending_nmis(self->ap.vcpu, 1);
	ASSERT_EXITS(&self->ap, EXIT_OF(NMI_VECTOR));
	EXPECT_L2_GOES_ON(&self->ap);
}

static void set_pending_entry(struct kvm_vcpu *vcpu)
{
	struct vmx_state state = { .head.size = sizeof(state) };

	vcpu_nested_state_get(vcpu, &state.head);
	state.head.flags |= KVM_STATE_NESTED_RUN_PENDING;
	vcpu_nested_state_set(vcpu, &state.head);
}

/* As a machine check does that KVM_X86_SET_MCE reports. */
TEST_F(l2, exception_after_the_entry)
{
	set_pending_entry(self->ap.vcpu);
	add_machine_check(self->ap.vcpu);
	ASSERT_EXITS(&self->ap, EXIT_OF(MC_VECTOR));
	EXPECT_L2_GOES_ON(&self->ap);
}

TEST_F(l2, exception_without_an_entry)
{
	add_machine_check(self->ap.vcpu);
	ASSERT_EXITS(&self->ap, EXIT_OF(MC_VECTOR));
	EXPECT_L2_GOES_ON(&self->ap);
}

/* Userspace may set what no guest can bring about. KVM makes something of it, and does not warn. */
TEST_F(l2, triple_fault_before_the_entry)
{
	int fd;

	if (!kvm_has_cap(KVM_CAP_X86_TRIPLE_FAULT_EVENT))
		SKIP(return, "KVM has no triple fault event");
	fd = warn_watch();
	set_pending_entry(self->ap.vcpu);
	add_triple_fault(self->ap.vcpu);
	EXPECT_EQ(PORT_EXIT, ap_run_for(&self->ap, LIMIT_MS));
	EXPECT_EQ(REASON_TRIPLE_FAULT, ap_told(&self->ap));
	EXPECT_NO_WARNING(fd);
	EXPECT_L2_GOES_ON(&self->ap);
}

int main(int argc, char **argv)
{
	TEST_REQUIRE(kvm_cpu_has(X86_FEATURE_VMX));
	return test_harness_run(argc, argv);
}
