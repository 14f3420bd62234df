// SPDX-License-Identifier: GPL-2.0
/*
 * A HLT is an instruction that a counter counts, and its own retirement can be the one that
 * overflows: the PMI ends the HLT. Upstream doesn't see the overflow until something else
 * wakes the vCPU.
 */
#include "event_pmu.h"

#define PMI_VECTOR	0x60

static int pmis;
static u32 lvtpc;
static int events;

static void nmi_handler(struct ex_regs *regs)
{
	pmis++;
}

static void irq_handler(struct ex_regs *regs)
{
	pmis++;
	x2apic_write_reg(APIC_EOI, 0);
}

/* Between the counter's last write, which counts as one event itself, and HLT nothing exits. */
static void guest_halts(void)
{
	x2apic_enable();
	x2apic_write_reg(LVTPC, lvtpc);
	start_counter(0);
	arm(0, events);
	asm volatile("sti; hlt; cli");
	GUEST_DONE();
}

FIXTURE(halt_pmi)
{
	struct ap ap;
};

FIXTURE_VARIANT(halt_pmi)
{
	u32 lvtpc;
};

FIXTURE_VARIANT_ADD(halt_pmi, nmi)
{
	.lvtpc = APIC_DM_NMI,
};

FIXTURE_VARIANT_ADD(halt_pmi, fixed)
{
	.lvtpc = APIC_DM_FIXED | PMI_VECTOR,
};

FIXTURE_SETUP(halt_pmi)
{
	struct kvm_vm *vm = vm_create_with_one_vcpu(&self->ap.vcpu, guest_halts);

	vm_install_exception_handler(vm, NMI_VECTOR, nmi_handler);
	vm_install_exception_handler(vm, PMI_VECTOR, irq_handler);
	intel = host_cpu_is_intel;
	lvtpc = variant->lvtpc;
	pmis = 0;
	sync_global_to_guest(vm, intel);
	sync_global_to_guest(vm, lvtpc);
	sync_global_to_guest(vm, pmis);
	TEST_ASSERT(has_counter(self->ap.vcpu), "the vCPU has no performance counter");
}

FIXTURE_TEARDOWN(halt_pmi)
{
	kvm_vm_free(self->ap.vcpu->vm);
}

static void run_with(struct ap *ap, int count)
{
	events = count;
	sync_global_to_guest(ap->vcpu->vm, events);
	ap_start(ap);
}

TEST_F(halt_pmi, ends_the_halt)
{
	struct ucall uc;
	bool woke;

	run_with(&self->ap, 2);
	woke = ap_wait(&self->ap);
	if (!woke)
		ap_stop(&self->ap);
	ASSERT_TRUE(woke) {
		TH_LOG("the vCPU sleeps, its overflow unseen");
	}
	ASSERT_EQ(UCALL_DONE, get_ucall(self->ap.vcpu, &uc));
	sync_global_from_guest(self->ap.vcpu->vm, pmis);
	EXPECT_EQ(1, pmis);
}

/* A HLT that overflows nothing sleeps, as ever. */
TEST_F(halt_pmi, one_event_short)
{
	run_with(&self->ap, 3);
	EXPECT_SLEEPS(&self->ap);
	ASSERT_TRUE(ap_stop(&self->ap));
	EXPECT_EQ(EINTR, self->ap.err);
	sync_global_from_guest(self->ap.vcpu->vm, pmis);
	EXPECT_EQ(0, pmis);
}

int main(int argc, char **argv)
{
	__TEST_REQUIRE(kvm_is_pmu_enabled(), "KVM's virtual PMU is off (kvm.enable_pmu=N)");
	return test_harness_run(argc, argv);
}
