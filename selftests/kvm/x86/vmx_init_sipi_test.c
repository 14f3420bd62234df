// SPDX-License-Identifier: GPL-2.0
/*
 * INIT and SIPI where VMX blocks them or turns them into exits: an active L2, L2 in
 * wait-for-SIPI, VMX root operation. Before 5.11 whoever took INITs did so without asking
 * what L1 wants of them, and no SIPI ever came to L1: a hypervisor that lets its guests
 * have the APIC could start no AP of theirs. No test of KVM's reads what these exits say.
 */
#include "nested_event_test.h"
#include "vmx.h"

/* Activity states (SDM vol. 3, "Guest Non-Register State"). */
#define ACTIVE		0
#define HLT		1
#define WAIT_FOR_SIPI	3

#define EXIT_INIT	3
#define EXIT_SIPI	4
#define EXIT_VMCALL	18

/* What L1 tells at PORT_L1. */
#define NOT_IN_VMX	0
#define IN_ROOT		1
#define LEFT_VMX	2

#define X2APIC_ICR	0x830
#define ICR_INIT	0x4500
#define ICR_SIPI	0x4600

#define L2_STACK_SIZE	4096

/* What the host tells L1. */
static u32 activity;
static bool skips_l2;
static bool l2_spins;
/* What L1 saw of the last exit. */
static u64 qualification, activity_seen, interruption_info;
static u64 vmx_misc;
static u64 spins;
static u8 l2_stack[L2_STACK_SIZE] __aligned(16);

static void l2_code(void)
{
	tell(PORT_L2, 0);
	/* Bochs interrupts nobody who has interrupts off, a guest neither. */
	asm volatile("sti");
	while (READ_ONCE(l2_spins))
		WRITE_ONCE(spins, spins + 1);
	tell(PORT_L2, 1);
	vmcall();
}

static u32 exit_reason(void)
{
	qualification = vmreadz(EXIT_QUALIFICATION);
	activity_seen = vmreadz(GUEST_ACTIVITY_STATE);
	interruption_info = vmreadz(VM_EXIT_INTR_INFO);
	return vmreadz(VM_EXIT_REASON);
}

static void l1_code(struct vmx_pages *vmx)
{
	u32 reason;

	vmx_misc = rdmsr(MSR_IA32_VMX_MISC);
	tell(PORT_L1, NOT_IN_VMX);
	GUEST_ASSERT(prepare_for_vmx_operation(vmx));
	GUEST_ASSERT(load_vmcs(vmx));
	prepare_vmcs(vmx, l2_code, l2_stack + L2_STACK_SIZE);
	tell(PORT_L1, IN_ROOT);

	if (!READ_ONCE(skips_l2)) {
		vmwrite(GUEST_ACTIVITY_STATE, READ_ONCE(activity));
		GUEST_ASSERT(!vmlaunch());
		while ((reason = exit_reason()) != EXIT_VMCALL) {
			tell(PORT_EXIT, reason);
			vmwrite(GUEST_ACTIVITY_STATE, READ_ONCE(activity));
			GUEST_ASSERT(!vmresume());
		}
		tell(PORT_EXIT, reason);
	}
	vmxoff();
	tell(PORT_L1, LEFT_VMX);
}

FIXTURE(vmx)
{
	struct ap ap;
};

static void set_activity(struct ap *ap, u32 state)
{
	activity = state;
	sync_global_to_guest(ap->vcpu->vm, activity);
}

static void set_flag(struct ap *ap, bool *flag, bool value)
{
	*flag = value;
	*(bool *)addr_gva2hva(ap->vcpu->vm, (unsigned long)flag) = value;
}

static void create(struct ap *ap, bool is_bsp)
{
	u64 vmx_gva;

	nested_ap_create(ap, is_bsp, l1_code);
	vcpu_alloc_vmx(ap->vcpu->vm, &vmx_gva);
	vcpu_args_set(ap->vcpu, 1, vmx_gva);
	set_activity(ap, ACTIVE);
	set_flag(ap, &skips_l2, false);
	set_flag(ap, &l2_spins, false);
}

FIXTURE_SETUP(vmx)
{
	create(&self->ap, false);
}

FIXTURE_TEARDOWN(vmx)
{
	kvm_vm_free(self->ap.vcpu->vm);
}

#define ASSERT_RUNS_TO_ROOT(ap)						\
do {									\
	ASSERT_RUNS_TO(ap, PORT_L1, PORT_L1);				\
	ASSERT_EQ(IN_ROOT, ap_told(ap));				\
} while (0)

#define ASSERT_RUNS_TO_L2(ap)						\
do {									\
	ASSERT_RUNS_TO_ROOT(ap);					\
	ASSERT_RUNS_TO(ap, PORT_L2);					\
} while (0)

/* L2 is entered in wait-for-SIPI, and nothing happens. */
#define ASSERT_WAITS_IN_L2(ap)						\
do {									\
	ASSERT_EQ(-EINTR, ap_run_for(ap, 200));				\
	ASSERT_EQ(KVM_MP_STATE_INIT_RECEIVED, mp_state_of((ap)->vcpu));	\
} while (0)

#define ASSERT_EXITS(ap, reason, qual, state)				\
do {									\
	ASSERT_RUNS_TO(ap, PORT_EXIT);					\
	ASSERT_EQ(reason, ap_told(ap));					\
	sync_global_from_guest((ap)->vcpu->vm, qualification);		\
	sync_global_from_guest((ap)->vcpu->vm, activity_seen);		\
	sync_global_from_guest((ap)->vcpu->vm, interruption_info);	\
	EXPECT_EQ(qual, qualification);					\
	EXPECT_EQ(state, activity_seen);				\
	EXPECT_EQ(0, interruption_info);				\
} while (0)

/* L2 runs to its end, and L1 to its; nothing that was sent earlier comes up. */
#define ASSERT_RUNS_TO_THE_END(ap)					\
do {									\
	ASSERT_RUNS_TO(ap, PORT_L2);					\
	EXPECT_EQ(1, ap_told(ap));					\
	ASSERT_EXITS(ap, EXIT_VMCALL, 0, ACTIVE);			\
	ASSERT_RUNS_TO(ap, PORT_L1);					\
	EXPECT_EQ(LEFT_VMX, ap_told(ap));				\
	EXPECT_FALSE(init_is_latched((ap)->vcpu));			\
} while (0)

#define ASSERT_L2_STARTS_AND_ENDS(ap)					\
do {									\
	ASSERT_RUNS_TO(ap, PORT_L2);					\
	EXPECT_EQ(0, ap_told(ap));					\
	ASSERT_RUNS_TO_THE_END(ap);					\
} while (0)

#define ASSERT_STARTS_BY_SIPI(ap)					\
do {									\
	ASSERT_WAITS_IN_L2(ap);						\
	ap_send(ap, MSI_DM_STARTUP | AP_VECTOR);			\
	ASSERT_RUNS_TO(ap, PORT_STARTED);				\
	EXPECT_CS_OF_SIPI(ap);						\
} while (0)

TEST_F(vmx, misc_has_wait_for_sipi)
{
	ASSERT_RUNS_TO(&self->ap, PORT_L1);
	sync_global_from_guest(self->ap.vcpu->vm, vmx_misc);
	EXPECT_NE(0, vmx_misc & BIT(8));
}

/* The exit consumes the INIT. */
TEST_F(vmx, init_exits)
{
	ASSERT_RUNS_TO_L2(&self->ap);
	ap_send(&self->ap, MSI_DM_INIT);
	ASSERT_EXITS(&self->ap, EXIT_INIT, 0, ACTIVE);
	EXPECT_FALSE(init_is_latched(self->ap.vcpu));
	ASSERT_RUNS_TO_THE_END(&self->ap);
}

TEST_F(vmx, init_exits_from_a_running_l2)
{
	set_flag(&self->ap, &l2_spins, true);
	ASSERT_RUNS_TO_L2(&self->ap);
	ap_start(&self->ap);
	usleep(50000);
	ap_send(&self->ap, MSI_DM_INIT);
	ASSERT_TRUE(ap_wait(&self->ap));
	ASSERT_EQ(PORT_EXIT, ap_port(&self->ap));
	EXPECT_EQ(EXIT_INIT, ap_told(&self->ap));
	set_flag(&self->ap, &l2_spins, false);
	ASSERT_RUNS_TO_THE_END(&self->ap);
}

TEST_F(vmx, init_exits_from_hlt)
{
	set_activity(&self->ap, HLT);
	ASSERT_RUNS_TO_ROOT(&self->ap);
	ASSERT_EQ(-EINTR, ap_run_for(&self->ap, 100));
	ap_send(&self->ap, MSI_DM_INIT);
	ASSERT_EXITS(&self->ap, EXIT_INIT, 0, HLT);
	set_activity(&self->ap, ACTIVE);
	ASSERT_L2_STARTS_AND_ENDS(&self->ap);
}

/* KVM_GET_MP_STATE takes what is pending, and so makes the exit too. */
TEST_F(vmx, init_exits_in_get_mp_state)
{
	ASSERT_RUNS_TO_L2(&self->ap);
	ap_send(&self->ap, MSI_DM_INIT);
	vcpu_run_complete_io(self->ap.vcpu);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp_state_of(self->ap.vcpu));
	EXPECT_FALSE(init_is_latched(self->ap.vcpu));
	ASSERT_EXITS(&self->ap, EXIT_INIT, 0, ACTIVE);
	ASSERT_RUNS_TO_THE_END(&self->ap);
}

TEST_F(vmx, init_in_root_waits_for_vmxoff)
{
	set_flag(&self->ap, &skips_l2, true);
	ASSERT_RUNS_TO_ROOT(&self->ap);
	ap_send(&self->ap, MSI_DM_INIT);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp_state_of(self->ap.vcpu));
	EXPECT_TRUE(init_is_latched(self->ap.vcpu));
	/* The SIPI that follows is lost there. */
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	ASSERT_STARTS_BY_SIPI(&self->ap);
	EXPECT_FALSE(init_is_latched(self->ap.vcpu));
}

TEST_F(vmx, init_in_root_waits_for_l2)
{
	ASSERT_RUNS_TO_ROOT(&self->ap);
	ap_send(&self->ap, MSI_DM_INIT);
	EXPECT_TRUE(init_is_latched(self->ap.vcpu));
	/* Before L2's first instruction. */
	ASSERT_EXITS(&self->ap, EXIT_INIT, 0, ACTIVE);
	EXPECT_FALSE(init_is_latched(self->ap.vcpu));
	ASSERT_L2_STARTS_AND_ENDS(&self->ap);
}

TEST_F(vmx, sipi_in_root_is_dropped)
{
	set_activity(&self->ap, WAIT_FOR_SIPI);
	ASSERT_RUNS_TO_ROOT(&self->ap);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp_state_of(self->ap.vcpu));
	ASSERT_WAITS_IN_L2(&self->ap);
}

TEST_F(vmx, sipi_to_an_active_l2_is_dropped)
{
	ASSERT_RUNS_TO_L2(&self->ap);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	ASSERT_RUNS_TO(&self->ap, PORT_L2);
	EXPECT_EQ(1, ap_told(&self->ap));
	/* Nor is it kept for an L2 that waits. */
	ap_send(&self->ap, MSI_DM_INIT);
	set_activity(&self->ap, WAIT_FOR_SIPI);
	ASSERT_EXITS(&self->ap, EXIT_INIT, 0, ACTIVE);
	ASSERT_WAITS_IN_L2(&self->ap);
}

TEST_F(vmx, init_then_sipi_to_an_active_l2)
{
	ASSERT_RUNS_TO_L2(&self->ap);
	ap_send(&self->ap, MSI_DM_INIT);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	set_activity(&self->ap, WAIT_FOR_SIPI);
	/* The SIPI came while L1 handled the exit, and is lost. */
	ASSERT_EXITS(&self->ap, EXIT_INIT, 0, ACTIVE);
	ASSERT_WAITS_IN_L2(&self->ap);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	set_activity(&self->ap, ACTIVE);
	ASSERT_EXITS(&self->ap, EXIT_SIPI, AP_VECTOR, WAIT_FOR_SIPI);
	ASSERT_RUNS_TO_THE_END(&self->ap);
}

/* INIT_RECEIVED while VMX root operation blocks INIT: 6.12 refuses it, 7.2 refuses to run it. */
TEST_F(vmx, waiting_in_root_is_refused)
{
	struct kvm_mp_state state = { .mp_state = KVM_MP_STATE_INIT_RECEIVED };
	int refused;

	ASSERT_RUNS_TO_ROOT(&self->ap);
	vcpu_run_complete_io(self->ap.vcpu);
	refused = __vcpu_ioctl(self->ap.vcpu, KVM_SET_MP_STATE, &state);
	if (!refused)
		refused = __vcpu_run(self->ap.vcpu);
	EXPECT_EQ(-1, refused);
	EXPECT_EQ(EINVAL, errno);
	state.mp_state = KVM_MP_STATE_RUNNABLE;
	vcpu_mp_state_set(self->ap.vcpu, &state);
	ASSERT_L2_STARTS_AND_ENDS(&self->ap);
}

FIXTURE(waiting)
{
	struct ap ap;
};

/* L2 in wait-for-SIPI. */
FIXTURE_SETUP(waiting)
{
	create(&self->ap, false);
	set_activity(&self->ap, WAIT_FOR_SIPI);
	ASSERT_RUNS_TO_ROOT(&self->ap);
	ASSERT_WAITS_IN_L2(&self->ap);
	set_activity(&self->ap, ACTIVE);
}

FIXTURE_TEARDOWN(waiting)
{
	kvm_vm_free(self->ap.vcpu->vm);
}

#define ASSERT_SIPI_EXITS(ap, vector)					\
do {									\
	ap_send(ap, MSI_DM_STARTUP | (vector));				\
	ASSERT_EXITS(ap, EXIT_SIPI, vector, WAIT_FOR_SIPI);		\
	ASSERT_L2_STARTS_AND_ENDS(ap);					\
} while (0)

/* Back in wait-for-SIPI after each but the last. */
TEST_F(waiting, sipi_exits)
{
	static const u8 vectors[] = { 0, 1, 0x9a };
	int i;

	set_activity(&self->ap, WAIT_FOR_SIPI);
	for (i = 0; i < ARRAY_SIZE(vectors); i++) {
		ap_send(&self->ap, MSI_DM_STARTUP | vectors[i]);
		ASSERT_EXITS(&self->ap, EXIT_SIPI, vectors[i], WAIT_FOR_SIPI);
		ASSERT_WAITS_IN_L2(&self->ap);
	}
	set_activity(&self->ap, ACTIVE);
	ASSERT_SIPI_EXITS(&self->ap, 0xff);
}

TEST_F(waiting, sipi_wakes_the_thread)
{
	ap_start(&self->ap);
	EXPECT_SLEEPS(&self->ap);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	ASSERT_TRUE(ap_wait(&self->ap));
	ASSERT_EQ(PORT_EXIT, ap_port(&self->ap));
	EXPECT_EQ(EXIT_SIPI, ap_told(&self->ap));
	ASSERT_L2_STARTS_AND_ENDS(&self->ap);
}

TEST_F(waiting, init_is_dropped)
{
	ap_send(&self->ap, MSI_DM_INIT);
	ASSERT_WAITS_IN_L2(&self->ap);
	EXPECT_FALSE(init_is_latched(self->ap.vcpu));
	ASSERT_SIPI_EXITS(&self->ap, AP_VECTOR);
}

/* Two before the vCPU runs are one, with the vector of the last. */
TEST_F(waiting, two_sipis)
{
	ap_send(&self->ap, MSI_DM_STARTUP | 0x9a);
	ASSERT_SIPI_EXITS(&self->ap, AP_VECTOR);
}

TEST_F(waiting, restored)
{
	nested_ap_restore(&self->ap);
	ASSERT_WAITS_IN_L2(&self->ap);
	ASSERT_SIPI_EXITS(&self->ap, AP_VECTOR);
}

TEST_F(vmx, latched_in_root_and_restored)
{
	set_flag(&self->ap, &skips_l2, true);
	ASSERT_RUNS_TO_ROOT(&self->ap);
	ap_send(&self->ap, MSI_DM_INIT);
	nested_ap_restore(&self->ap);
	EXPECT_TRUE(init_is_latched(self->ap.vcpu));
	ASSERT_STARTS_BY_SIPI(&self->ap);
}

TEST_F(vmx, sent_to_l2_and_restored)
{
	ASSERT_RUNS_TO_L2(&self->ap);
	ap_send(&self->ap, MSI_DM_INIT);
	nested_ap_restore(&self->ap);
	ASSERT_EXITS(&self->ap, EXIT_INIT, 0, ACTIVE);
	ASSERT_RUNS_TO_THE_END(&self->ap);
}

/*
 * A hypervisor whose guests have the APIC, and start their APs by it: L1 of the AP sees
 * both exits and nothing else, and starts L2 where the SIPI says. The second SIPI finds an
 * L2 that runs.
 */
static u64 started_at;

static void l2_started(void)
{
	tell(PORT_L2, started_at);
	/* The second SIPI, if it were to come. */
	while (!READ_ONCE(skips_l2))
		asm volatile("pause");
	vmcall();
}

static void l1_of_ap(struct vmx_pages *vmx)
{
	tell(PORT_L1, NOT_IN_VMX);
	GUEST_ASSERT(prepare_for_vmx_operation(vmx));
	GUEST_ASSERT(load_vmcs(vmx));
	prepare_vmcs(vmx, l2_code, l2_stack + L2_STACK_SIZE);
	vmwrite(GUEST_ACTIVITY_STATE, HLT);
	tell(PORT_L1, IN_ROOT);
	GUEST_ASSERT(!vmlaunch());
	tell(PORT_EXIT, exit_reason());
	vmwrite(GUEST_ACTIVITY_STATE, WAIT_FOR_SIPI);
	GUEST_ASSERT(!vmresume());
	tell(PORT_EXIT, exit_reason());
	started_at = qualification;
	vmwrite(GUEST_ACTIVITY_STATE, ACTIVE);
	vmwrite(GUEST_RIP, (u64)l2_started);
	GUEST_ASSERT(!vmresume());
	tell(PORT_EXIT, exit_reason());
}

static u8 bsp_l2_stack[L2_STACK_SIZE] __aligned(16);

/* The AP's APIC ID is 1. */
static void l2_of_bsp(void)
{
	int i;

	wrmsr(X2APIC_ICR, 1ull << 32 | ICR_INIT);
	tell(PORT_L2, 0);
	for (i = 0; i < 2; i++) {
		wrmsr(X2APIC_ICR, 1ull << 32 | ICR_SIPI | AP_VECTOR);
		tell(PORT_L2, 1 + i);
	}
	vmcall();
}

static void l1_of_bsp(struct vmx_pages *vmx)
{
	x2apic_enable();
	GUEST_ASSERT(prepare_for_vmx_operation(vmx));
	GUEST_ASSERT(load_vmcs(vmx));
	prepare_vmcs(vmx, l2_of_bsp, bsp_l2_stack + L2_STACK_SIZE);
	/* None of L2's MSR accesses exits: the APIC is its own. */
	vmwrite(CPU_BASED_VM_EXEC_CONTROL,
		vmreadz(CPU_BASED_VM_EXEC_CONTROL) | CPU_BASED_USE_MSR_BITMAPS);
	GUEST_ASSERT(!vmlaunch());
	tell(PORT_EXIT, vmreadz(VM_EXIT_REASON));
}

TEST(l2_starts_an_ap_of_l2)
{
	struct ap bsp = { .ended = true }, ap = { .ended = true };
	struct kvm_lapic_state lapic;
	struct kvm_vm *vm;
	u64 vmx_gva;

	vm = vm_create_with_one_vcpu(&bsp.vcpu, l1_of_bsp);
	ap.vcpu = vm_vcpu_add(vm, 1, l1_of_ap);
	vcpu_alloc_vmx(vm, &vmx_gva);
	vcpu_args_set(bsp.vcpu, 1, vmx_gva);
	vcpu_alloc_vmx(vm, &vmx_gva);
	vcpu_args_set(ap.vcpu, 1, vmx_gva);
	vcpu_ioctl(ap.vcpu, KVM_GET_LAPIC, &lapic);
	vcpu_ioctl(ap.vcpu, KVM_SET_LAPIC, &lapic);
	set_flag(&ap, &skips_l2, false);

	ASSERT_RUNS_TO(&ap, PORT_L1, PORT_L1);
	ASSERT_EQ(-EINTR, ap_run_for(&ap, 100));

	ASSERT_RUNS_TO(&bsp, PORT_L2);
	ASSERT_EXITS(&ap, EXIT_INIT, 0, HLT);
	ASSERT_WAITS_IN_L2(&ap);

	ASSERT_RUNS_TO(&bsp, PORT_L2);
	ASSERT_EXITS(&ap, EXIT_SIPI, AP_VECTOR, WAIT_FOR_SIPI);
	ASSERT_RUNS_TO(&ap, PORT_L2);
	EXPECT_EQ(AP_VECTOR, ap_told(&ap));

	ASSERT_RUNS_TO(&bsp, PORT_L2, PORT_EXIT);
	EXPECT_EQ(EXIT_VMCALL, ap_told(&bsp));
	set_flag(&ap, &skips_l2, true);
	ASSERT_EXITS(&ap, EXIT_VMCALL, 0, ACTIVE);
	kvm_vm_free(vm);
}

int main(int argc, char **argv)
{
	TEST_REQUIRE(kvm_cpu_has(X86_FEATURE_VMX));
	return test_harness_run(argc, argv);
}
