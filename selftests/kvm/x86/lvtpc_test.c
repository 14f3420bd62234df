// SPDX-License-Identifier: GPL-2.0
/*
 * What a PMI does to LVTPC: an APIC of Intel's masks the entry when its interrupt was
 * accepted, one of AMD's does not; what was not accepted changes nothing, and what found
 * the entry masked is gone.
 *
 * KVM once masked it for nobody: the handler of a guest that counts on that got NMIs that
 * it knew nothing of. Then KVM masked it for all, and an AMD guest got one PMI and no more.
 *
 * KVM goes by the vendor in the guest's CPUID, and the counters are the host's: each
 * vendor's guest is tested on each vendor's machine. Needs a virtual PMU; the lab's module
 * gives one to a machine that has none, on which emulated instructions overflow exactly.
 */
#include "event_pmu.h"

#define DM_SMI			0x200
#define PMI_VECTOR		0x60
#define LVTPC_NMI		APIC_DM_NMI
#define LVTPC_FIXED		(APIC_DM_FIXED | PMI_VECTOR)
/* Counted are the WRMSR that enables the counter, and then these. */
#define CPUIDS			8
#define ROUNDS			3
/* Of the guest without an APIC in the kernel. */
#define REAL_CODE		0x1000
#define PORT_DONE		0xe6

static int nmis;
static int irqs;
static bool unmask;
/* Registers in memory, as against MSRs. */
static bool xapic;
static u32 lvtpc;
/* What LVTPC read as after each round, and in the handler. */
static u32 after[ROUNDS];
static u32 in_handler;

static u32 read_apic(u32 reg)
{
	return xapic ? xapic_read_reg(reg) : x2apic_read_reg(reg);
}

static void write_apic(u32 reg, u32 value)
{
	if (xapic)
		xapic_write_reg(reg, value);
	else
		x2apic_write_reg(reg, value);
}

static void handle(void)
{
	in_handler = read_apic(LVTPC);
	if (unmask)
		write_apic(LVTPC, lvtpc);
}

static void nmi_handler(struct ex_regs *regs)
{
	nmis++;
	handle();
}

static void irq_handler(struct ex_regs *regs)
{
	irqs++;
	handle();
	write_apic(APIC_EOI, 0);
}

static void execute_cpuids(void)
{
	u32 a, b, c, d;
	int i;

	for (i = 0; i < CPUIDS; i++)
		__cpuid(0, 0, &a, &b, &c, &d);
}

/* One overflow of the first counter, and no other. */
static void overflow(void)
{
	arm(0, 4);
	start_counter(0);
	execute_cpuids();
	stop_counter(0);
	if (intel)
		wrmsr(0x390, 1);
}

static void start(void)
{
	if (xapic)
		xapic_enable();
	else
		x2apic_enable();
	asm volatile("sti");
}

static void guest_overflows(void)
{
	int i;

	start();
	write_apic(LVTPC, lvtpc);
	for (i = 0; i < ROUNDS; i++) {
		overflow();
		after[i] = read_apic(LVTPC);
	}
	GUEST_DONE();
}

/* With interrupts off, one is accepted all the same, and waits in IRR. */
static void guest_overflows_irqs_off(void)
{
	start();
	asm volatile("cli");
	x2apic_write_reg(LVTPC, lvtpc);
	overflow();
	after[0] = x2apic_read_reg(LVTPC);
	GUEST_ASSERT(!irqs);
	asm volatile("sti; nop");
	GUEST_ASSERT(irqs == 1);
	GUEST_DONE();
}

static void guest_masked(void)
{
	start();
	x2apic_write_reg(LVTPC, lvtpc | LVT_MASKED);
	overflow();
	after[0] = x2apic_read_reg(LVTPC);
	GUEST_ASSERT(!nmis && !irqs);

	/* Nothing was kept for this. */
	x2apic_write_reg(LVTPC, lvtpc);
	execute_cpuids();
	GUEST_ASSERT(!nmis && !irqs);

	overflow();
	GUEST_ASSERT(nmis + irqs == 1);
	GUEST_DONE();
}

static void guest_disables_apic(void)
{
	start();
	x2apic_write_reg(LVTPC, lvtpc);
	x2apic_write_reg(APIC_SPIV, x2apic_read_reg(APIC_SPIV) & ~APIC_SPIV_APIC_ENABLED);
	/* All of LVT is masked now, and stays so. */
	after[0] = x2apic_read_reg(LVTPC);
	x2apic_write_reg(LVTPC, lvtpc);
	after[1] = x2apic_read_reg(LVTPC);
	overflow();
	GUEST_ASSERT(!nmis && !irqs);
	x2apic_enable();
	after[2] = x2apic_read_reg(LVTPC);
	overflow();
	GUEST_ASSERT(!nmis && !irqs);

	x2apic_write_reg(LVTPC, lvtpc);
	overflow();
	GUEST_ASSERT(nmis + irqs == 1);

	/* And without any APIC. */
	x2apic_write_reg(LVTPC, lvtpc);
	apic_disable();
	overflow();
	GUEST_ASSERT(nmis + irqs == 1);
	GUEST_DONE();
}

/* What LVTPC is, userspace says, between the rounds. */
static void guest_lets_userspace(void)
{
	int i;

	start();
	for (i = 0; i < ROUNDS; i++) {
		GUEST_SYNC(i);
		overflow();
		after[i] = x2apic_read_reg(LVTPC);
	}
	GUEST_SYNC(ROUNDS);
	GUEST_DONE();
}

/*
 * The second counter starts to count one event later, the WRMSR that enables it: both
 * overflow in the same CPUID.
 */
static void guest_overflows_twice_at_once(void)
{
	start();
	x2apic_write_reg(LVTPC, lvtpc);
	arm(0, 5);
	arm(1, 4);
	start_counter(0);
	start_counter(1);
	execute_cpuids();
	stop_counter(0);
	stop_counter(1);
	after[0] = rdmsr(counter_msr(0));
	after[1] = rdmsr(counter_msr(1));
	GUEST_DONE();
}

FIXTURE(lvtpc)
{
	struct kvm_vcpu *vcpu;
	int smis;
};

FIXTURE_VARIANT(lvtpc)
{
	const char *vendor;
	bool masks;
};

FIXTURE_VARIANT_ADD(lvtpc, intel)
{
	.vendor = "GenuineIntel",
	.masks = true,
};

FIXTURE_VARIANT_ADD(lvtpc, amd)
{
	.vendor = "AuthenticAMD",
};

FIXTURE_VARIANT_ADD(lvtpc, zhaoxin)
{
	.vendor = "  Shanghai  ",
	.masks = true,
};

FIXTURE_VARIANT_ADD(lvtpc, hygon)
{
	.vendor = "HygonGenuine",
};

FIXTURE_SETUP(lvtpc)
{
	struct kvm_vm *vm;

	vm = vm_create_with_one_vcpu(&self->vcpu, guest_overflows);
	vm_install_exception_handler(vm, NMI_VECTOR, nmi_handler);
	vm_install_exception_handler(vm, PMI_VECTOR, irq_handler);
	set_guest_vendor(self->vcpu, variant->vendor);
	intel = host_cpu_is_intel;
	sync_global_to_guest(vm, intel);
	TEST_ASSERT(has_counter(self->vcpu), "the vCPU has no performance counter");
	self->smis = 0;
}

FIXTURE_TEARDOWN(lvtpc)
{
	kvm_vm_free(self->vcpu->vm);
}

/* Runs to what the guest says next: the number of a round, or -1 for its end. Counts SMIs. */
static int run_guest(struct kvm_vcpu *vcpu, int *smis)
{
	struct kvm_vm *vm = vcpu->vm;
	struct ucall uc;

	for (;;) {
		vcpu_run(vcpu);
		if (vcpu->run->exit_reason != KVM_EXIT_IO || vcpu->run->io.port != PORT_SMI)
			break;
		(*smis)++;
	}
	sync_global_from_guest(vm, nmis);
	sync_global_from_guest(vm, irqs);
	sync_global_from_guest(vm, after);
	sync_global_from_guest(vm, in_handler);
	switch (get_ucall(vcpu, &uc)) {
	case UCALL_DONE:
		return -1;
	case UCALL_SYNC:
		return uc.args[1];
	case UCALL_ABORT:
		REPORT_GUEST_ASSERT(uc);
	default:
		TEST_FAIL("exit %d, ucall %d", vcpu->run->exit_reason, (int)uc.cmd);
	}
	return -1;
}

static void set_guest(struct kvm_vcpu *vcpu, void *guest_code, u32 entry)
{
	vcpu_arch_set_entry_point(vcpu, guest_code);
	lvtpc = entry;
	sync_global_to_guest(vcpu->vm, lvtpc);
}

static void set_unmask(struct kvm_vcpu *vcpu)
{
	unmask = true;
	sync_global_to_guest(vcpu->vm, unmask);
}

/* One PMI and a masked entry, or one for each overflow; mode and vector are as they were. */
#define EXPECT_ROUNDS(delivered)					\
do {									\
	int __i;							\
									\
	EXPECT_EQ(variant->masks ? 1 : ROUNDS, (delivered));		\
	for (__i = 0; __i < ROUNDS; __i++)				\
		EXPECT_EQ(lvtpc | (variant->masks ? LVT_MASKED : 0),	\
			  after[__i]);					\
} while (0)

TEST_F(lvtpc, nmi)
{
	set_guest(self->vcpu, guest_overflows, LVTPC_NMI);
	EXPECT_EQ(-1, run_guest(self->vcpu, &self->smis));
	EXPECT_ROUNDS(nmis);
	EXPECT_EQ(after[0], in_handler);
	EXPECT_EQ(0, irqs);
}

TEST_F(lvtpc, fixed)
{
	set_guest(self->vcpu, guest_overflows, LVTPC_FIXED);
	EXPECT_EQ(-1, run_guest(self->vcpu, &self->smis));
	EXPECT_ROUNDS(irqs);
	EXPECT_EQ(after[0], in_handler);
	EXPECT_EQ(0, nmis);
}

TEST_F(lvtpc, smi)
{
	struct ap ap = { .vcpu = self->vcpu };

	if (!kvm_has_cap(KVM_CAP_X86_SMM))
		SKIP(return, "KVM has no SMM");
	ap_add_smi_handler(&ap);
	set_guest(self->vcpu, guest_overflows, DM_SMI);
	EXPECT_EQ(-1, run_guest(self->vcpu, &self->smis));
	EXPECT_ROUNDS(self->smis);
	EXPECT_EQ(0, nmis);
	EXPECT_EQ(0, irqs);
}

static void use_xapic(struct kvm_vcpu *vcpu)
{
	virt_map(vcpu->vm, APIC_DEFAULT_GPA, APIC_DEFAULT_GPA, 1);
	xapic = true;
	sync_global_to_guest(vcpu->vm, xapic);
}

TEST_F(lvtpc, xapic_nmi)
{
	use_xapic(self->vcpu);
	set_guest(self->vcpu, guest_overflows, LVTPC_NMI);
	EXPECT_EQ(-1, run_guest(self->vcpu, &self->smis));
	EXPECT_ROUNDS(nmis);
	EXPECT_EQ(after[0], in_handler);
	EXPECT_EQ(0, irqs);
}

TEST_F(lvtpc, xapic_fixed)
{
	use_xapic(self->vcpu);
	set_guest(self->vcpu, guest_overflows, LVTPC_FIXED);
	EXPECT_EQ(-1, run_guest(self->vcpu, &self->smis));
	EXPECT_ROUNDS(irqs);
	EXPECT_EQ(after[0], in_handler);
	EXPECT_EQ(0, nmis);
}

/* KVM accepts none of this mode: nothing comes, and nothing is masked. */
TEST_F(lvtpc, extint)
{
	int i;

	set_guest(self->vcpu, guest_overflows, APIC_DM_EXTINT | PMI_VECTOR);
	EXPECT_EQ(-1, run_guest(self->vcpu, &self->smis));
	EXPECT_EQ(0, nmis);
	EXPECT_EQ(0, irqs);
	EXPECT_EQ(0, self->smis);
	for (i = 0; i < ROUNDS; i++)
		EXPECT_EQ(lvtpc, after[i]);
}

TEST_F(lvtpc, fixed_irqs_off)
{
	set_guest(self->vcpu, guest_overflows_irqs_off, LVTPC_FIXED);
	EXPECT_EQ(-1, run_guest(self->vcpu, &self->smis));
	EXPECT_EQ(lvtpc | (variant->masks ? LVT_MASKED : 0), after[0]);
}

/* A handler that unmasks gets the next, whoever's APIC it is. */
TEST_F(lvtpc, unmasked_in_the_nmi_handler)
{
	int i;

	set_guest(self->vcpu, guest_overflows, LVTPC_NMI);
	set_unmask(self->vcpu);
	EXPECT_EQ(-1, run_guest(self->vcpu, &self->smis));
	EXPECT_EQ(ROUNDS, nmis);
	EXPECT_EQ(lvtpc | (variant->masks ? LVT_MASKED : 0), in_handler);
	for (i = 0; i < ROUNDS; i++)
		EXPECT_EQ(lvtpc, after[i]);
}

TEST_F(lvtpc, unmasked_in_the_irq_handler)
{
	int i;

	set_guest(self->vcpu, guest_overflows, LVTPC_FIXED);
	set_unmask(self->vcpu);
	EXPECT_EQ(-1, run_guest(self->vcpu, &self->smis));
	EXPECT_EQ(ROUNDS, irqs);
	EXPECT_EQ(lvtpc | (variant->masks ? LVT_MASKED : 0), in_handler);
	for (i = 0; i < ROUNDS; i++)
		EXPECT_EQ(lvtpc, after[i]);
}

TEST_F(lvtpc, masked_nmi)
{
	set_guest(self->vcpu, guest_masked, LVTPC_NMI);
	EXPECT_EQ(-1, run_guest(self->vcpu, &self->smis));
	EXPECT_EQ(lvtpc | LVT_MASKED, after[0]);
	EXPECT_EQ(1, nmis);
}

TEST_F(lvtpc, masked_fixed)
{
	set_guest(self->vcpu, guest_masked, LVTPC_FIXED);
	EXPECT_EQ(-1, run_guest(self->vcpu, &self->smis));
	EXPECT_EQ(lvtpc | LVT_MASKED, after[0]);
	EXPECT_EQ(1, irqs);
}

TEST_F(lvtpc, disabled_apic)
{
	int i;

	set_guest(self->vcpu, guest_disables_apic, LVTPC_NMI);
	EXPECT_EQ(-1, run_guest(self->vcpu, &self->smis));
	for (i = 0; i < ROUNDS; i++)
		EXPECT_EQ(lvtpc | LVT_MASKED, after[i]);
	EXPECT_EQ(1, nmis);
}

/* LVTPC, and whether the APIC is enabled, as a monitor restores them. */
static void set_lapic(struct kvm_vcpu *vcpu, u32 entry, bool enabled)
{
	struct kvm_lapic_state lapic;
	u32 *spiv = (u32 *)&lapic.regs[APIC_SPIV];

	vcpu_ioctl(vcpu, KVM_GET_LAPIC, &lapic);
	*(u32 *)&lapic.regs[LVTPC] = entry;
	*spiv &= ~APIC_SPIV_APIC_ENABLED;
	if (enabled)
		*spiv |= APIC_SPIV_APIC_ENABLED;
	vcpu_ioctl(vcpu, KVM_SET_LAPIC, &lapic);
}

static u32 get_lapic(struct kvm_vcpu *vcpu)
{
	struct kvm_lapic_state lapic;

	vcpu_ioctl(vcpu, KVM_GET_LAPIC, &lapic);
	return *(u32 *)&lapic.regs[LVTPC];
}

TEST_F(lvtpc, set_by_userspace)
{
	u32 masked = variant->masks ? LVT_MASKED : 0;

	set_guest(self->vcpu, guest_lets_userspace, 0);
	EXPECT_EQ(0, run_guest(self->vcpu, &self->smis));
	set_lapic(self->vcpu, LVTPC_NMI, true);
	EXPECT_EQ(1, run_guest(self->vcpu, &self->smis));
	EXPECT_EQ(1, nmis);
	EXPECT_EQ(LVTPC_NMI | masked, after[0]);
	EXPECT_EQ(LVTPC_NMI | masked, get_lapic(self->vcpu));

	set_lapic(self->vcpu, LVTPC_NMI | LVT_MASKED, true);
	EXPECT_EQ(2, run_guest(self->vcpu, &self->smis));
	EXPECT_EQ(1, nmis);
	EXPECT_EQ(LVTPC_NMI | LVT_MASKED, get_lapic(self->vcpu));

	set_lapic(self->vcpu, LVTPC_FIXED, true);
	EXPECT_EQ(3, run_guest(self->vcpu, &self->smis));
	EXPECT_EQ(1, nmis);
	EXPECT_EQ(1, irqs);
	EXPECT_EQ(LVTPC_FIXED | masked, get_lapic(self->vcpu));
}

/* Unmasked in an APIC that is disabled by software, which only userspace can bring about. */
TEST_F(lvtpc, unmasked_in_a_disabled_apic)
{
	set_guest(self->vcpu, guest_lets_userspace, 0);
	EXPECT_EQ(0, run_guest(self->vcpu, &self->smis));
	/* Not accepted, and so not masked. */
	set_lapic(self->vcpu, LVTPC_FIXED, false);
	EXPECT_EQ(1, run_guest(self->vcpu, &self->smis));
	EXPECT_EQ(0, irqs);
	EXPECT_EQ(LVTPC_FIXED, get_lapic(self->vcpu));
	/* NMIs do not need it enabled. */
	set_lapic(self->vcpu, LVTPC_NMI, false);
	EXPECT_EQ(2, run_guest(self->vcpu, &self->smis));
	EXPECT_EQ(1, nmis);
	EXPECT_EQ(LVTPC_NMI | (variant->masks ? LVT_MASKED : 0), get_lapic(self->vcpu));
	set_lapic(self->vcpu, LVTPC_FIXED, true);
	EXPECT_EQ(3, run_guest(self->vcpu, &self->smis));
	EXPECT_EQ(1, irqs);
}

/* However many counters overflow in one VM-Exit, they make one PMI. */
TEST_F(lvtpc, two_overflows_at_once)
{
	set_guest(self->vcpu, guest_overflows_twice_at_once, LVTPC_NMI);
	EXPECT_EQ(-1, run_guest(self->vcpu, &self->smis));
	/* Both are past their overflow, and by as much. */
	EXPECT_LT(after[0], 2 * CPUIDS);
	EXPECT_LT(after[1], 2 * CPUIDS);
	EXPECT_EQ(1, nmis);
}

/* Without an APIC in the kernel, a PMI is for nobody. The guest is a few bytes in real mode. */
TEST(no_apic_in_the_kernel)
{
	/* mov di, CPUIDS; 1: xor eax, eax; cpuid; dec di; jnz 1b; out PORT_DONE, al; jmp back */
	static const u8 code[] = {
		0xbf, CPUIDS, 0,
		0x66, 0x31, 0xc0,
		0x0f, 0xa2,
		0x4f,
		0x75, 0xf8,
		0xe6, PORT_DONE,
		0xeb, 0xf1,
	};
	struct kvm_vm *vm = vm_create_barebones();
	struct kvm_vcpu *vcpu = __vm_vcpu_add(vm, 0);
	struct kvm_regs regs = { .rip = REAL_CODE, .rflags = 2 };
	struct kvm_vcpu_events events;
	struct kvm_sregs sregs;
	int i;

	intel = host_cpu_is_intel;
	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, 0, 0, 16, 0);
	memcpy(addr_gpa2hva(vm, REAL_CODE), code, sizeof(code));
	vcpu_init_cpuid(vcpu, kvm_get_supported_cpuid());
	TEST_ASSERT(has_counter(vcpu), "the vCPU has no performance counter");
	vcpu_sregs_get(vcpu, &sregs);
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	vcpu_sregs_set(vcpu, &sregs);
	vcpu_regs_set(vcpu, &regs);

	vcpu_set_msr(vcpu, counter_msr(0), -4ull & COUNTER_MASK);
	vcpu_set_msr(vcpu, control_msr(0), EVENT_INSTRUCTIONS | EVENT_ENABLE);
	for (i = 0; i < ROUNDS; i++) {
		vcpu_run(vcpu);
		ASSERT_EQ(KVM_EXIT_IO, vcpu->run->exit_reason);
		ASSERT_EQ(PORT_DONE, vcpu->run->io.port);
		vcpu_events_get(vcpu, &events);
		EXPECT_EQ(0, events.nmi.pending);
		EXPECT_EQ(0, events.smi.pending);
		/* It did overflow. */
		EXPECT_LT(vcpu_get_msr(vcpu, counter_msr(0)), 2 * ROUNDS * CPUIDS);
	}
	kvm_vm_free(vm);
}

int main(int argc, char **argv)
{
	__TEST_REQUIRE(kvm_is_pmu_enabled(), "KVM's virtual PMU is off (kvm.enable_pmu=N)");
	return test_harness_run(argc, argv);
}
