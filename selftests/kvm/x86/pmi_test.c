// SPDX-License-Identifier: GPL-2.0
/*
 * One PMI for one VM-Exit, wherever the overflow was found: by perf, in an interrupt or in an
 * NMI, or by KVM, which counts the instructions that it emulates; and what becomes of the PMI
 * when it meets an NMI or SMM.
 *
 * KVM once delivered what perf had found by itself, from an irq_work, and what it had found
 * itself by a request. The guest's handler was called twice, and the second time knew nothing
 * of the reason: an unknown NMI.
 *
 * Every overflow comes when the lab's PMU is told: what is seen is the same every time.
 */
#include "event_pmu.h"

#define ROUNDS		1000
/* Of those in which two threads wait for each other. */
#define SLOW_ROUNDS	200
#define AT_THE_STOP	1
#define AT_THE_CPUID	2
#define COUNTERS	3

/* Intel's fixed counter of cycles: its event, and its bit in the status. */
#define FIXED		1
#define FIXED_EVENT	0x3c
#define FIXED_BIT	(1ull << (32 + FIXED))

/* Why the guest stops, but for the number of a round. */
#define IN_HANDLER	-2
#define DONE		-1

static int rounds;
/* Of which events the counters are, and the bits of their controls; 0: not used. */
static u32 controls[COUNTERS];
/* Each overflows with the so manyth event that it counts. */
static int armed[COUNTERS];
static bool fixed;
static u32 lvtpc;
static bool stop_in_handler;

static int nmis;
/* The guest that spins is ready for the so manyth. */
static int ready;
/* At the end of a round. */
static u64 counts[COUNTERS];
static u64 fixed_count;
static u64 status;

static void nmi_handler(struct ex_regs *regs)
{
	nmis++;
	if (stop_in_handler) {
		stop_in_handler = false;
		guest_stops(IN_HANDLER);
	}
}

static void start(void)
{
	x2apic_enable();
	asm volatile("sti");
}

static void start_counters(void)
{
	int i;

	for (i = 0; i < COUNTERS; i++) {
		if (!controls[i])
			continue;
		arm(i, armed[i]);
		wrmsr(control_msr(i), controls[i]);
	}
	if (fixed) {
		wrmsr(0x309 + FIXED, -1000 & COUNTER_MASK);
		/* OS, USR, PMI; and enabled. */
		wrmsr(0x38d, 0xb << 4 * FIXED);
		wrmsr(0x38f, rdmsr(0x38f) | FIXED_BIT);
	}
}

static void stop_counters(void)
{
	int i;

	for (i = 0; i < COUNTERS; i++) {
		if (!controls[i])
			continue;
		wrmsr(control_msr(i), 0);
		counts[i] = rdmsr(counter_msr(i));
	}
	if (fixed) {
		wrmsr(0x38d, 0);
		fixed_count = rdmsr(0x309 + FIXED);
	}
	if (intel) {
		status = rdmsr(0x38e);
		wrmsr(0x390, status);
	}
}

/* Stops, and executes one CPUID, in each round. */
static void guest_code(void)
{
	u32 a, b, c, d;
	int i;

	start();
	for (i = 0; i < rounds; i++) {
		x2apic_write_reg(LVTPC, lvtpc);
		start_counters();
		guest_stops(i);
		__cpuid(0, 0, &a, &b, &c, &d);
		stop_counters();
	}
	guest_stops(DONE);
}

/* Exits for nothing by itself. */
static void guest_spins(void)
{
	int i;

	start();
	start_counters();
	for (i = 1; i <= rounds; i++) {
		x2apic_write_reg(LVTPC, lvtpc);
		WRITE_ONCE(ready, i);
		while (READ_ONCE(nmis) < i)
			cpu_relax();
	}
	stop_counters();
	guest_stops(DONE);
}

FIXTURE(pmi)
{
	struct ap ap;
	struct kvm_vcpu *vcpu;
};

FIXTURE_VARIANT(pmi)
{
	const char *vendor;
};

/* This one masks LVTPC when it delivers, so that a second PMI doesn't get through. */
FIXTURE_VARIANT_ADD(pmi, intel)
{
	.vendor = "GenuineIntel",
};

FIXTURE_VARIANT_ADD(pmi, amd)
{
	.vendor = "AuthenticAMD",
};

FIXTURE_SETUP(pmi)
{
	struct kvm_vm *vm = vm_create_with_one_vcpu(&self->vcpu, guest_code);

	find_cpus();
	run_on(pthread_self(), cpus[0]);
	self->ap.vcpu = self->vcpu;
	vm_install_exception_handler(vm, NMI_VECTOR, nmi_handler);
	set_guest_vendor(self->vcpu, variant->vendor);
	intel = host_cpu_is_intel;
	sync_global_to_guest(vm, intel);
	TEST_ASSERT(has_counter(self->vcpu), "the vCPU has no performance counter");
	rounds = 1;
	lvtpc = APIC_DM_NMI;
	memset(controls, 0, sizeof(controls));
	fixed = false;
	stop_in_handler = false;
	nmis = 0;
	ready = 0;
}

FIXTURE_TEARDOWN(pmi)
{
	lab_pmu_tell("%d off", cpus[0]);
	kvm_vm_free(self->vcpu->vm);
}

/* The counter's own WRMSR counts, and what follows: of others, at the stop, the CPUID. */
static void use_counter(int n, u32 event, int overflows_with)
{
	controls[n] = event | EVENT_ENABLE;
	armed[n] = overflows_with;
}

/* To the next stop: a round's number, IN_HANDLER, or DONE. */
static int run_guest(struct kvm_vcpu *vcpu)
{
	int why = run_to_stop(vcpu);

	sync_global_from_guest(vcpu->vm, nmis);
	sync_global_from_guest(vcpu->vm, counts);
	sync_global_from_guest(vcpu->vm, fixed_count);
	sync_global_from_guest(vcpu->vm, status);
	return why;
}

static void start_guest(struct kvm_vcpu *vcpu)
{
	struct kvm_vm *vm = vcpu->vm;

	sync_global_to_guest(vm, rounds);
	sync_global_to_guest(vm, lvtpc);
	sync_global_to_guest(vm, controls);
	sync_global_to_guest(vm, armed);
	sync_global_to_guest(vm, fixed);
	sync_global_to_guest(vm, stop_in_handler);
}

/* Each round with an overflow of @event, @at that instruction. */
#define RUN_ROUNDS(vcpu, event, context, at)				\
do {									\
	int __i;							\
									\
	start_guest(vcpu);						\
	for (__i = 0; __i < rounds; __i++) {				\
		ASSERT_EQ(__i, run_guest(vcpu));			\
		lab_pmu_tell("%d %#x %s %d", cpus[0], event, context, at); \
	}								\
	ASSERT_EQ(DONE, run_guest(vcpu));				\
} while (0)

/* In the same CPUID, of one counter by perf, and of another by KVM. */
#define BOTH_SOURCES(context)						\
do {									\
	long __overflows = lab_pmu_overflows();				\
									\
	rounds = ROUNDS;						\
	use_counter(0, EVENT_TOLD, 1000);				\
	use_counter(1, EVENT_INSTRUCTIONS, 3);				\
	RUN_ROUNDS(self->vcpu, EVENT_TOLD, context, AT_THE_CPUID);	\
	EXPECT_EQ(ROUNDS, nmis);					\
	/* Both did overflow, there. */					\
	EXPECT_EQ(ROUNDS, lab_pmu_overflows() - __overflows);		\
	EXPECT_EQ(0, counts[0]);					\
	EXPECT_GT(100, counts[1]);					\
	if (intel)							\
		EXPECT_EQ(3, status);					\
} while (0)

TEST_F(pmi, both_sources_nmi)
{
	BOTH_SOURCES("nmi");
}

TEST_F(pmi, both_sources_irq)
{
	BOTH_SOURCES("irq");
}

TEST_F(pmi, perf_alone_nmi)
{
	rounds = ROUNDS;
	use_counter(0, EVENT_TOLD, 1000);
	RUN_ROUNDS(self->vcpu, EVENT_TOLD, "nmi", AT_THE_CPUID);
	EXPECT_EQ(ROUNDS, nmis);
	EXPECT_EQ(0, counts[0]);
}

TEST_F(pmi, perf_alone_irq)
{
	rounds = ROUNDS;
	use_counter(0, EVENT_TOLD, 1000);
	RUN_ROUNDS(self->vcpu, EVENT_TOLD, "irq", AT_THE_CPUID);
	EXPECT_EQ(ROUNDS, nmis);
	EXPECT_EQ(0, counts[0]);
}

/* perf finds what KVM would have found with the same instruction. */
TEST_F(pmi, both_sources_of_one_counter)
{
	use_counter(0, EVENT_INSTRUCTIONS, 3);
	RUN_ROUNDS(self->vcpu, EVENT_INSTRUCTIONS, "nmi", AT_THE_CPUID);
	EXPECT_EQ(1, nmis);
	/* The CPUID, behind the overflow. */
	EXPECT_EQ(1, counts[0]);
}

TEST_F(pmi, two_counters_of_one_event)
{
	long overflows = lab_pmu_overflows();

	use_counter(0, EVENT_TOLD, 1000);
	use_counter(1, EVENT_TOLD, 2000);
	RUN_ROUNDS(self->vcpu, EVENT_TOLD, "nmi", AT_THE_CPUID);
	EXPECT_EQ(1, nmis);
	EXPECT_EQ(2, lab_pmu_overflows() - overflows);
	EXPECT_EQ(0, counts[0]);
	EXPECT_EQ(0, counts[1]);
}

TEST_F(pmi, fixed_counter)
{
	if (!intel)
		SKIP(return, "AMD's processors have no fixed counters");
	rounds = ROUNDS;
	fixed = true;
	RUN_ROUNDS(self->vcpu, FIXED_EVENT, "nmi", AT_THE_CPUID);
	EXPECT_EQ(ROUNDS, nmis);
	EXPECT_EQ(0, fixed_count);
	EXPECT_EQ(FIXED_BIT, status);
}

/* A counter that doesn't interrupt overflows all the same. */
TEST_F(pmi, no_interrupt)
{
	use_counter(0, EVENT_TOLD, 1000);
	controls[0] &= ~(1 << 20);
	RUN_ROUNDS(self->vcpu, EVENT_TOLD, "nmi", AT_THE_CPUID);
	EXPECT_EQ(0, nmis);
	EXPECT_EQ(0, counts[0]);
	if (intel)
		EXPECT_EQ(1, status);
}

/* What found LVTPC masked is gone. */
TEST_F(pmi, masked)
{
	rounds = 3;
	lvtpc |= LVT_MASKED;
	use_counter(0, EVENT_TOLD, 1000);
	start_guest(self->vcpu);
	ASSERT_EQ(0, run_guest(self->vcpu));
	lab_pmu_tell("%d %#x nmi %d", cpus[0], EVENT_TOLD, AT_THE_CPUID);
	ASSERT_EQ(1, run_guest(self->vcpu));
	EXPECT_EQ(0, pending_nmis(self->vcpu));
	lvtpc = APIC_DM_NMI;
	sync_global_to_guest(self->vcpu->vm, lvtpc);
	ASSERT_EQ(2, run_guest(self->vcpu));
	EXPECT_EQ(0, nmis);
	lab_pmu_tell("%d %#x nmi %d", cpus[0], EVENT_TOLD, AT_THE_CPUID);
	ASSERT_EQ(DONE, run_guest(self->vcpu));
	EXPECT_EQ(1, nmis);
}

/* A second overflow of a counter that is to be looked at anyway makes no second PMI. */
TEST_F(pmi, of_a_counter_that_was_just_stopped)
{
	use_counter(0, EVENT_TOLD, 1000);
	/* The WRMSR behind the CPUID stops it. */
	RUN_ROUNDS(self->vcpu, EVENT_TOLD, "nmi", AT_THE_CPUID + 1);
	EXPECT_EQ(0, nmis);
}

/* Nobody's counter: not of that event, not on that CPU, not at that moment. */
TEST_F(pmi, nobody_counts)
{
	use_counter(0, EVENT_TOLD, 1000);
	start_guest(self->vcpu);
	ASSERT_EQ(0, run_guest(self->vcpu));
	/* This is the CPU, but its thread is not in the guest. */
	EXPECT_EQ(ENOENT, __lab_pmu_tell("%d %#x nmi", cpus[0], EVENT_TOLD + 1));
	EXPECT_EQ(ENXIO, __lab_pmu_tell("%d %#x nmi", 1 << 20, EVENT_TOLD));
	EXPECT_EQ(EINVAL, __lab_pmu_tell("%d %#x smi", cpus[0], EVENT_TOLD));
	EXPECT_EQ(EINVAL, __lab_pmu_tell("%d", cpus[0]));
	lab_pmu_tell("%d %#x nmi %d", cpus[0], EVENT_TOLD, AT_THE_CPUID);
	lab_pmu_tell("%d off", cpus[0]);
	ASSERT_EQ(DONE, run_guest(self->vcpu));
	EXPECT_EQ(0, nmis);
}

/* Two may be pending, and are: the monitor's and the PMI. */
TEST_F(pmi, beside_a_pending_nmi)
{
	use_counter(0, EVENT_TOLD, 1000);
	start_guest(self->vcpu);
	ASSERT_EQ(0, run_guest(self->vcpu));
	vcpu_ioctl(self->vcpu, KVM_NMI, NULL);
	lab_pmu_tell("%d %#x nmi %d", cpus[0], EVENT_TOLD, AT_THE_STOP);
	ASSERT_EQ(DONE, run_guest(self->vcpu));
	EXPECT_EQ(2, nmis);
}

/* While one is handled, one may be pending. */
TEST_F(pmi, beside_a_pending_nmi_in_the_handler)
{
	use_counter(0, EVENT_TOLD, 1000);
	stop_in_handler = true;
	start_guest(self->vcpu);
	ASSERT_EQ(0, run_guest(self->vcpu));
	vcpu_ioctl(self->vcpu, KVM_NMI, NULL);
	ASSERT_EQ(IN_HANDLER, run_guest(self->vcpu));
	vcpu_ioctl(self->vcpu, KVM_NMI, NULL);
	lab_pmu_tell("%d %#x nmi %d", cpus[0], EVENT_TOLD, AT_THE_STOP);
	ASSERT_EQ(DONE, run_guest(self->vcpu));
	EXPECT_EQ(2, nmis);
}

TEST_F(pmi, in_the_handler)
{
	use_counter(0, EVENT_TOLD, 1000);
	stop_in_handler = true;
	start_guest(self->vcpu);
	ASSERT_EQ(0, run_guest(self->vcpu));
	vcpu_ioctl(self->vcpu, KVM_NMI, NULL);
	ASSERT_EQ(IN_HANDLER, run_guest(self->vcpu));
	lab_pmu_tell("%d %#x irq %d", cpus[0], EVENT_TOLD, AT_THE_STOP);
	ASSERT_EQ(DONE, run_guest(self->vcpu));
	EXPECT_EQ(2, nmis);
}

/* As after a VM-Exit in the middle of an NMI's delivery: that goes first, again. */
TEST_F(pmi, while_an_nmi_is_injected)
{
	struct kvm_vcpu_events events;

	use_counter(0, EVENT_TOLD, 1000);
	start_guest(self->vcpu);
	ASSERT_EQ(0, run_guest(self->vcpu));
	vcpu_events_get(self->vcpu, &events);
	events.nmi.injected = 1;
	vcpu_events_set(self->vcpu, &events);
	lab_pmu_tell("%d %#x nmi %d", cpus[0], EVENT_TOLD, AT_THE_STOP);
	ASSERT_EQ(DONE, run_guest(self->vcpu));
	EXPECT_EQ(2, nmis);
}

/* Pending through SMM, and a second SMI, which goes in front. */
TEST_F(pmi, in_smm)
{
	struct kvm_vcpu_events events;

	if (!kvm_has_cap(KVM_CAP_X86_SMM))
		SKIP(return, "KVM has no SMM");
	ap_add_smi_handler(&self->ap);
	use_counter(0, EVENT_TOLD, 1000);
	start_guest(self->vcpu);
	ASSERT_EQ(0, run_guest(self->vcpu));
	vcpu_ioctl(self->vcpu, KVM_SMI, NULL);
	vcpu_run(self->vcpu);
	ASSERT_EQ(PORT_SMI, ap_port(&self->ap));
	vcpu_events_get(self->vcpu, &events);
	ASSERT_TRUE(events.smi.smm);

	lab_pmu_tell("%d %#x nmi %d", cpus[0], EVENT_TOLD, AT_THE_STOP);
	vcpu_ioctl(self->vcpu, KVM_SMI, NULL);
	vcpu_run(self->vcpu);
	ASSERT_EQ(PORT_SMI, ap_port(&self->ap));
	EXPECT_EQ(1, pending_nmis(self->vcpu));
	sync_global_from_guest(self->vcpu->vm, nmis);
	EXPECT_EQ(0, nmis);
	ASSERT_EQ(DONE, run_guest(self->vcpu));
	EXPECT_EQ(1, nmis);
}

/* The thread may not run at this moment; 0 or an errno. */
static int tell_a_running_guest(int cpu, const char *context)
{
	long end = now_ms() + LIMIT_MS;
	int r;

	do {
		r = __lab_pmu_tell("%d %#x %s", cpu, EVENT_TOLD, context);
	} while (r == ENOENT && now_ms() < end);
	return r;
}

/* Each write makes one PMI. */
#define WHILE_THE_GUEST_RUNS(context)					\
do {									\
	int __i, __r;							\
									\
	if (nr_cpus < 2)						\
		SKIP(return, "one CPU: nobody can write while the guest runs"); \
	rounds = SLOW_ROUNDS;						\
	use_counter(0, EVENT_TOLD, 1000);				\
	start_guest(self->vcpu);					\
	vcpu_arch_set_entry_point(self->vcpu, guest_spins);		\
	ap_start(&self->ap);						\
	run_on(self->ap.thread, cpus[1]);				\
	for (__i = 1; __i <= SLOW_ROUNDS; __i++) {				\
		ASSERT_TRUE(wait_for((sync_global_from_guest(self->vcpu->vm, \
					ready), ready >= __i)));	\
		__r = tell_a_running_guest(cpus[1], context);		\
		ASSERT_EQ(0, __r);					\
	}								\
	ASSERT_TRUE(ap_wait(&self->ap));				\
	ASSERT_EQ(PORT_STOP, ap_port(&self->ap));			\
	sync_global_from_guest(self->vcpu->vm, nmis);			\
	EXPECT_EQ(SLOW_ROUNDS, nmis);					\
} while (0)

TEST_F(pmi, while_the_guest_runs_nmi)
{
	WHILE_THE_GUEST_RUNS("nmi");
}

TEST_F(pmi, while_the_guest_runs_irq)
{
	WHILE_THE_GUEST_RUNS("irq");
}

int main(int argc, char **argv)
{
	__TEST_REQUIRE(kvm_is_pmu_enabled(), "KVM's virtual PMU is off (kvm.enable_pmu=N)");
	__TEST_REQUIRE(!access("/dev/lab_pmu", W_OK), "the lab's PMU is not loaded");
	return test_harness_run(argc, argv);
}
