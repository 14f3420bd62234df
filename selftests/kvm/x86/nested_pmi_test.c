// SPDX-License-Identifier: GPL-2.0
/*
 * A PMI while L2 runs is an event of L1's APIC: as an NMI it is an exit to L1 where L1 asked
 * for that, and else goes to whoever runs, which is L2. Once, in either case.
 */
#include "event_pmu.h"
#include "nested_event_test.h"
#include "svm_util.h"
#include "vmx.h"

#define PORT_NMI_IN	0xeb	/* the NMI handler, with where it was called */
#define PORT_DONE	0xec

#define EXIT_NMI_SVM	0x61
#define EXIT_VMMCALL	0x81
#define EXIT_NMI_VMX	0
#define EXIT_VMCALL	18

enum where { L1, L2 };

#define L2_STACK_SIZE	4096
static u8 l2_stack[L2_STACK_SIZE] __aligned(16);

static bool nmi_exits;
static enum where where;

static void nmi_handler(struct ex_regs *regs)
{
	tell(PORT_NMI_IN, where);
}

static void start_counting(void)
{
	x2apic_enable();
	x2apic_write_reg(LVTPC, APIC_DM_NMI);
	arm(0, 1000);
	start_counter_of(0, EVENT_TOLD);
}

/* Each port is an instruction of L2's that KVM emulates. */
static void l2_svm(void)
{
	where = L2;
	tell(PORT_L2, 0);
	where = L1;
	vmmcall();
}

static void l1_svm(struct svm_test_data *svm)
{
	struct vmcb_control_area *control = &svm->vmcb->control;

	start_counting();
	generic_svm_setup(svm, l2_svm, l2_stack + L2_STACK_SIZE);
	if (nmi_exits)
		control->intercept |= 1ull << INTERCEPT_NMI;
	for (;;) {
		run_guest(svm->vmcb, svm->vmcb_gpa);
		where = L1;
		tell(PORT_EXIT, control->exit_code);
		/* Until here GIF was clear: what caused an exit is still pending. */
		asm volatile("stgi");
		if (control->exit_code == EXIT_VMMCALL)
			break;
		where = L2;
	}
	tell(PORT_DONE, 0);
}

static void l2_vmx(void)
{
	where = L2;
	tell(PORT_L2, 0);
	where = L1;
	vmcall();
}

static void l1_vmx(struct vmx_pages *vmx)
{
	u32 reason;

	start_counting();
	GUEST_ASSERT(prepare_for_vmx_operation(vmx));
	GUEST_ASSERT(load_vmcs(vmx));
	prepare_vmcs(vmx, l2_vmx, l2_stack + L2_STACK_SIZE);
	if (nmi_exits)
		vmwrite(PIN_BASED_VM_EXEC_CONTROL, vmreadz(PIN_BASED_VM_EXEC_CONTROL) |
			PIN_BASED_NMI_EXITING);
	GUEST_ASSERT(!vmlaunch());
	for (;;) {
		where = L1;
		reason = vmreadz(VM_EXIT_REASON);
		tell(PORT_EXIT, reason);
		if (reason == EXIT_VMCALL)
			break;
		where = L2;
		GUEST_ASSERT(!vmresume());
	}
	tell(PORT_DONE, 0);
}

FIXTURE(nested_pmi)
{
	struct ap ap;
};

FIXTURE_VARIANT(nested_pmi)
{
	bool nmi_exits;
	const char *context;
};

FIXTURE_VARIANT_ADD(nested_pmi, exits_nmi)
{
	.nmi_exits = true,
	.context = "nmi",
};

FIXTURE_VARIANT_ADD(nested_pmi, exits_irq)
{
	.nmi_exits = true,
	.context = "irq",
};

FIXTURE_VARIANT_ADD(nested_pmi, no_exit_nmi)
{
	.context = "nmi",
};

FIXTURE_VARIANT_ADD(nested_pmi, no_exit_irq)
{
	.context = "irq",
};

FIXTURE_SETUP(nested_pmi)
{
	struct ap *ap = &self->ap;
	struct kvm_vm *vm;
	u64 l1_arg;

	find_cpus();
	run_on(pthread_self(), cpus[0]);
	intel = host_cpu_is_intel;
	nmi_exits = variant->nmi_exits;
	nested_ap_create(ap, true, intel ? (void *)l1_vmx : (void *)l1_svm);
	vm = ap->vcpu->vm;
	vm_install_exception_handler(vm, NMI_VECTOR, nmi_handler);
	if (intel)
		vcpu_alloc_vmx(vm, &l1_arg);
	else
		vcpu_alloc_svm(vm, &l1_arg);
	vcpu_args_set(ap->vcpu, 1, l1_arg);
	sync_global_to_guest(vm, intel);
	sync_global_to_guest(vm, nmi_exits);
	TEST_ASSERT(has_counter(ap->vcpu), "the vCPU has no performance counter");
}

FIXTURE_TEARDOWN(nested_pmi)
{
	lab_pmu_tell("%d off", cpus[0]);
	kvm_vm_free(self->ap.vcpu->vm);
}

#define ASSERT_RUNS_TO_AND_TELLS(ap, port, what)			\
do {									\
	ASSERT_RUNS_TO(ap, port);					\
	EXPECT_EQ((u32)(what), ap_told(ap));				\
} while (0)

/* With the OUT that L2 is stopped at, which KVM has yet to complete. */
TEST_F(nested_pmi, while_l2_runs)
{
	struct ap *ap = &self->ap;

	ASSERT_RUNS_TO(ap, PORT_L2);
	lab_pmu_tell("%d %#x %s 1", cpus[0], EVENT_TOLD, variant->context);
	if (variant->nmi_exits) {
		ASSERT_RUNS_TO_AND_TELLS(ap, PORT_EXIT, intel ? EXIT_NMI_VMX : EXIT_NMI_SVM);
		/* On VMX the exit is its delivery; on SVM it stays pending, for L1. */
		if (!intel)
			ASSERT_RUNS_TO_AND_TELLS(ap, PORT_NMI_IN, L1);
	} else {
		ASSERT_RUNS_TO_AND_TELLS(ap, PORT_NMI_IN, L2);
	}
	ASSERT_RUNS_TO_AND_TELLS(ap, PORT_EXIT, intel ? EXIT_VMCALL : EXIT_VMMCALL);
	ASSERT_RUNS_TO(ap, PORT_DONE);
}

/* And none where LVTPC is masked. */
TEST_F(nested_pmi, masked)
{
	struct kvm_lapic_state lapic;
	struct ap *ap = &self->ap;

	ASSERT_RUNS_TO(ap, PORT_L2);
	vcpu_ioctl(ap->vcpu, KVM_GET_LAPIC, &lapic);
	*(u32 *)&lapic.regs[LVTPC] |= LVT_MASKED;
	vcpu_ioctl(ap->vcpu, KVM_SET_LAPIC, &lapic);
	lab_pmu_tell("%d %#x %s 1", cpus[0], EVENT_TOLD, variant->context);
	ASSERT_RUNS_TO_AND_TELLS(ap, PORT_EXIT, intel ? EXIT_VMCALL : EXIT_VMMCALL);
	ASSERT_RUNS_TO(ap, PORT_DONE);
}

int main(int argc, char **argv)
{
	__TEST_REQUIRE(kvm_is_pmu_enabled(), "KVM's virtual PMU is off (kvm.enable_pmu=N)");
	__TEST_REQUIRE(kvm_cpu_has(host_cpu_is_intel ? X86_FEATURE_VMX : X86_FEATURE_SVM),
		       "nested virtualisation is off");
	__TEST_REQUIRE(!access("/dev/lab_pmu", W_OK), "the lab's PMU is not loaded");
	return test_harness_run(argc, argv);
}
