// SPDX-License-Identifier: GPL-2.0
/*
 * A guest that samples, as perf record with many events does, with a handler that knows every
 * reason for a PMI, or calls it unknown: of those there must be none. The events are the raw ones
 * of the report about KVM's second PMI for one VM-Exit; a few at a time share the counters, as
 * perf multiplexes them.
 *
 * In every step one of them overflows where perf finds it, and all that count instructions
 * where KVM does, with the same CPUID.
 */
#include "event_pmu.h"

#define COUNTERS	4
#define DONE		-1
/* Of a step: the CPUID behind its stop. */
#define AT_THE_CPUID	2

#define EVENT(event, umask, cmask)	((event) | (umask) << 8 | (cmask) << 24)

static const struct {
	u32 event;
	int period;
} samples[] = {
	{ EVENT(0x3c, 0x00, 0), 0xcdfe60 },	/* CPU_CLK_UNHALTED.THREAD */
	{ EVENT(0x00, 0x03, 0), 0xcdfe60 },	/* CPU_CLK_UNHALTED.REF_TSC */
	{ EVENT_INSTRUCTIONS, 0xcdfe60 },	/* INST_RETIRED.ANY, six times */
	{ EVENT_INSTRUCTIONS, 0xcdfe60 },
	{ EVENT_INSTRUCTIONS, 0xcdfe60 },
	{ EVENT_INSTRUCTIONS, 0xcdfe60 },
	{ EVENT_INSTRUCTIONS, 0xcdfe60 },
	{ EVENT_INSTRUCTIONS, 0xcdfe60 },
	{ EVENT(0xec, 0x02, 0), 0xcdfe60 },	/* CPU_CLK_UNHALTED.DISTRIBUTED */
	{ EVENT(0x3c, 0x00, 0), 0x98968f },	/* CPU_CLK_UNHALTED.THREAD_P */
	{ EVENT(0xa6, 0x21, 5), 0x98968f },	/* EXE_ACTIVITY.BOUND_ON_LOADS */
	{ EVENT(0x9c, 0x01, 0), 0x4c4b4f },	/* IDQ_UOPS_NOT_DELIVERED.CORE */
	{ EVENT(0xad, 0x10, 0), 0x4c4b4f },	/* INT_MISC.UOP_DROPPING */
	{ EVENT(0x47, 0x05, 5), 0x4c4b4f },	/* MEMORY_ACTIVITY.STALLS_L2_MISS */
	{ EVENT(0xd1, 0x40, 0), 0x7a143 },	/* MEM_LOAD_RETIRED.FB_HIT */
	{ EVENT(0xd1, 0x08, 0), 0xf424f },	/* MEM_LOAD_RETIRED.L1_MISS */
	{ EVENT(0x20, 0x08, 4), 0x4c4b4f },	/* OFFCORE_REQUESTS_OUTSTANDING.ALL_DATA_RD */
	{ EVENT(0xa4, 0x02, 0), 0x2faf090 },	/* TOPDOWN.BACKEND_BOUND_SLOTS */
	{ EVENT(0xa4, 0x10, 0), 0x2faf090 },	/* TOPDOWN.MEMORY_BOUND_SLOTS */
	{ EVENT(0xc2, 0x02, 0), 0x98968f },	/* UOPS_RETIRED.SLOTS */
	{ EVENT(0xd0, 0x82, 0), 0x7a12f },	/* MEM_INST_RETIRED.ALL_STORES */
	{ EVENT(0xd0, 0x81, 0), 0x7a12f },	/* MEM_INST_RETIRED.ALL_LOADS */
};

#define EVENTS	((int)ARRAY_SIZE(samples))
/* Every event in turn, each time with the next ones beside it, by an interrupt and by an NMI. */
#define STEPS	(2 * 8 * EVENTS)

static int nmis;
static int unknown;
/* Counters that the handler found past their overflow. */
static int overflows;

static int event_of(int step, int n)
{
	return (step + n) % EVENTS;
}

static bool counts_instructions(int sample)
{
	return samples[sample].event == EVENT_INSTRUCTIONS;
}

/* As perf's: by the status where there is one, else by the counter's highest bit. */
static void nmi_handler(struct ex_regs *regs)
{
	u64 status = 0;
	int i, found = 0;

	nmis++;
	for (i = 0; i < COUNTERS; i++)
		stop_counter(i);
	if (intel) {
		status = rdmsr(0x38e);
		wrmsr(0x390, status);
	} else {
		for (i = 0; i < COUNTERS; i++)
			if (!(rdmsr(counter_msr(i)) & 1ull << 47))
				status |= 1 << i;
	}
	for (i = 0; i < COUNTERS; i++) {
		if (!(status & 1 << i))
			continue;
		found++;
		/* Past its overflow no more. */
		arm(i, 1000);
	}
	overflows += found;
	if (!found)
		unknown++;
	x2apic_write_reg(LVTPC, APIC_DM_NMI);
}

static void guest_samples(void)
{
	u32 a, b, c, d;
	int step, i, e;

	x2apic_enable();
	x2apic_write_reg(LVTPC, APIC_DM_NMI);
	for (step = 0; step < STEPS; step++) {
		for (i = 0; i < COUNTERS; i++) {
			e = event_of(step, i);
			/* Its own WRMSR, those of the counters behind it, the stop, the CPUID. */
			arm(i, counts_instructions(e) ? COUNTERS - i + 2 : samples[e].period);
		}
		for (i = 0; i < COUNTERS; i++)
			start_counter_of(i, samples[event_of(step, i)].event);
		guest_stops(step);
		__cpuid(0, 0, &a, &b, &c, &d);
		for (i = 0; i < COUNTERS; i++)
			stop_counter(i);
	}
	guest_stops(DONE);
}

FIXTURE(sampling)
{
	struct kvm_vcpu *vcpu;
};

FIXTURE_VARIANT(sampling)
{
	const char *vendor;
};

FIXTURE_VARIANT_ADD(sampling, intel)
{
	.vendor = "GenuineIntel",
};

FIXTURE_VARIANT_ADD(sampling, amd)
{
	.vendor = "AuthenticAMD",
};

FIXTURE_SETUP(sampling)
{
	struct kvm_vm *vm = vm_create_with_one_vcpu(&self->vcpu, guest_samples);

	find_cpus();
	run_on(pthread_self(), cpus[0]);
	vm_install_exception_handler(vm, NMI_VECTOR, nmi_handler);
	set_guest_vendor(self->vcpu, variant->vendor);
	intel = host_cpu_is_intel;
	sync_global_to_guest(vm, intel);
	TEST_ASSERT(has_counter(self->vcpu), "the vCPU has no performance counter");
}

FIXTURE_TEARDOWN(sampling)
{
	lab_pmu_tell("%d off", cpus[0]);
	kvm_vm_free(self->vcpu->vm);
}

/* How many counters are to overflow in a step: those of the event, and those that count CPUID. */
static int expected(int step)
{
	u32 told = samples[event_of(step, 0)].event;
	int i, e, n = 0;

	for (i = 0; i < COUNTERS; i++) {
		e = event_of(step, i);
		n += counts_instructions(e) || (samples[e].event & 0xffff) == (told & 0xffff);
	}
	return n;
}

TEST_F(sampling, no_unknown_nmi)
{
	struct kvm_vm *vm = self->vcpu->vm;
	int step, all = 0;

	for (step = 0; step < STEPS; step++) {
		ASSERT_EQ(step, run_to_stop(self->vcpu));
		lab_pmu_tell("%d %#x %s %d", cpus[0], samples[event_of(step, 0)].event & 0xffff,
			     step / EVENTS % 2 ? "nmi" : "irq", AT_THE_CPUID);
		all += expected(step);
	}
	ASSERT_EQ(DONE, run_to_stop(self->vcpu));
	sync_global_from_guest(vm, nmis);
	sync_global_from_guest(vm, unknown);
	sync_global_from_guest(vm, overflows);
	TH_LOG("%d NMIs for %d overflows in %d VM-Exits, %d of them unknown",
	       nmis, overflows, STEPS, unknown);
	EXPECT_EQ(0, unknown);
	EXPECT_EQ(STEPS, nmis);
	EXPECT_EQ(all, overflows);
}

int main(int argc, char **argv)
{
	__TEST_REQUIRE(kvm_is_pmu_enabled(), "KVM's virtual PMU is off (kvm.enable_pmu=N)");
	__TEST_REQUIRE(!access("/dev/lab_pmu", W_OK), "the lab's PMU is not loaded");
	return test_harness_run(argc, argv);
}
