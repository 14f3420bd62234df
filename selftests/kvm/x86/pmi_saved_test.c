// SPDX-License-Identifier: GPL-2.0
/*
 * A counter's overflow that KVM has yet to look at, and the PMI that it leads to, are the
 * guest's: they are in what userspace saves, and come once, wherever the vCPU goes on.
 */
#include <sys/mman.h>

#include "event_pmu.h"

#define PMI_VECTOR	0x60
#define SLOT		10
#define SLOT_GPA	0xe0000000
#define CHANGES		100

static int pmis;
static u32 lvtpc;

static void nmi_handler(struct ex_regs *regs)
{
	pmis++;
}

static void irq_handler(struct ex_regs *regs)
{
	pmis++;
	x2apic_write_reg(APIC_EOI, 0);
}

/* The counter's last write counts as an event itself. The OUT is the one that overflows. */
static void guest_overflows(void)
{
	x2apic_enable();
	x2apic_write_reg(LVTPC, lvtpc);
	asm volatile("sti");
	start_counter(0);
	arm(0, 2);
	guest_stops(1);
	stop_counter(0);
	GUEST_SYNC(READ_ONCE(pmis));
	GUEST_DONE();
}

FIXTURE(pmi_saved)
{
	struct kvm_vcpu *vcpu;
};

FIXTURE_VARIANT(pmi_saved)
{
	u32 lvtpc;
	int pmis;
};

FIXTURE_VARIANT_ADD(pmi_saved, nmi)
{
	.lvtpc = APIC_DM_NMI,
	.pmis = 1,
};

FIXTURE_VARIANT_ADD(pmi_saved, fixed)
{
	.lvtpc = APIC_DM_FIXED | PMI_VECTOR,
	.pmis = 1,
};

FIXTURE_VARIANT_ADD(pmi_saved, masked)
{
	.lvtpc = APIC_DM_NMI | LVT_MASKED,
};

/* Stops the guest with the OUT complete, and its overflow not looked at. */
FIXTURE_SETUP(pmi_saved)
{
	struct kvm_vm *vm = vm_create_with_one_vcpu(&self->vcpu, guest_overflows);

	vm_install_exception_handler(vm, NMI_VECTOR, nmi_handler);
	vm_install_exception_handler(vm, PMI_VECTOR, irq_handler);
	intel = host_cpu_is_intel;
	lvtpc = variant->lvtpc;
	pmis = 0;
	sync_global_to_guest(vm, intel);
	sync_global_to_guest(vm, lvtpc);
	sync_global_to_guest(vm, pmis);
	TEST_ASSERT(has_counter(self->vcpu), "the vCPU has no performance counter");
	ASSERT_EQ(1, run_to_stop(self->vcpu));
	vcpu_run_complete_io(self->vcpu);
}

FIXTURE_TEARDOWN(pmi_saved)
{
	kvm_vm_free(self->vcpu->vm);
}

/* As a monitor does it: events first, as KVM_GET_VCPU_EVENTS has an effect on the others. */
static struct kvm_vcpu *move(struct kvm_vcpu *vcpu, u64 *status)
{
	struct kvm_vm *vm = vcpu->vm;
	struct kvm_lapic_state lapic;
	struct kvm_x86_state *state;

	state = vcpu_save_state(vcpu);
	vcpu_ioctl(vcpu, KVM_GET_LAPIC, &lapic);
	*status = intel ? vcpu_get_msr(vcpu, MSR_CORE_PERF_GLOBAL_STATUS) : 0;
	kvm_vm_release(vm);

	kvm_vm_restart(vm);
	vcpu = vm_vcpu_recreate(vm, 0);
	vcpu_load_state(vcpu, state);
	/* Again: KVM_SET_REGS, which the library has behind it, drops a pending exception. */
	vcpu_events_set(vcpu, &state->events);
	vcpu_ioctl(vcpu, KVM_SET_LAPIC, &lapic);
	kvm_x86_state_cleanup(state);
	return vcpu;
}

static int pmis_of(struct kvm_vcpu *vcpu)
{
	struct ucall uc;

	vcpu_run(vcpu);
	TEST_ASSERT(get_ucall(vcpu, &uc) == UCALL_SYNC, "ucall %d", (int)uc.cmd);
	return uc.args[1];
}

TEST_F(pmi_saved, restored)
{
	u64 status;

	self->vcpu = move(self->vcpu, &status);
	if (intel)
		EXPECT_EQ(1, status);
	EXPECT_EQ(variant->pmis, pmis_of(self->vcpu));
}

/* Saved twice on the way. */
TEST_F(pmi_saved, restored_twice)
{
	u64 status;

	self->vcpu = move(self->vcpu, &status);
	self->vcpu = move(self->vcpu, &status);
	if (intel)
		EXPECT_EQ(1, status);
	EXPECT_EQ(variant->pmis, pmis_of(self->vcpu));
}

/* To look is not to take away, and brings no second one. */
TEST_F(pmi_saved, looked_at)
{
	struct kvm_vcpu_events events;

	vcpu_events_get(self->vcpu, &events);
	vcpu_events_get(self->vcpu, &events);
	EXPECT_EQ(variant->pmis, pmis_of(self->vcpu));
}

static void guest_stops_again(void)
{
	for (;;)
		guest_stops(1);
}

static int changes;

/* Each change waits for the readers of KVM's memory slots, of which KVM_RUN is one. */
static void *change_memslots(void *arg)
{
	void *page = mmap(NULL, getpagesize(), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_vm *vm = arg;

	TEST_ASSERT(page != MAP_FAILED, "mmap");
	while (changes < CHANGES) {
		vm_set_user_memory_region(vm, SLOT, 0, SLOT_GPA, getpagesize(), page);
		vm_set_user_memory_region(vm, SLOT, 0, SLOT_GPA, 0, page);
		WRITE_ONCE(changes, changes + 1);
	}
	return NULL;
}

/* KVM_RUN gets the events itself, where userspace wants them beside the exit. */
TEST(events_of_kvm_run_while_memslots_change)
{
	long end = now_ms() + LIMIT_MS;
	struct kvm_vcpu *vcpu;
	pthread_t thread;
	struct kvm_vm *vm;

	vm = vm_create_with_one_vcpu(&vcpu, guest_stops_again);
	vcpu->run->kvm_valid_regs = KVM_SYNC_X86_EVENTS;
	ASSERT_EQ(0, pthread_create(&thread, NULL, change_memslots, vm));
	while (READ_ONCE(changes) < CHANGES && now_ms() < end)
		run_to_stop(vcpu);
	/* A change that waits for ever can't be ended. */
	ASSERT_EQ(CHANGES, READ_ONCE(changes));
	pthread_join(thread, NULL);
	kvm_vm_free(vm);
}

int main(int argc, char **argv)
{
	__TEST_REQUIRE(kvm_is_pmu_enabled(), "KVM's virtual PMU is off (kvm.enable_pmu=N)");
	return test_harness_run(argc, argv);
}
