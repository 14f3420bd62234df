/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Counters that overflow when they are told to, for tests of the PMI: on the lab's PMU only
 * instructions that KVM emulates count by themselves, and any event overflows, as perf would
 * find it, when the test says so (selftests/lab_pmu/tell.rs).
 */
#ifndef SELFTEST_KVM_EVENT_PMU_H
#define SELFTEST_KVM_EVENT_PMU_H

#include <fcntl.h>
#include <stdarg.h>

#include "event_test.h"
#include "apic.h"

#define LVTPC			0x340
#define LVT_MASKED		(1 << 16)
#define EVENT_INSTRUCTIONS	0xc0
/* An event that doesn't come by itself. */
#define EVENT_TOLD		0xd1
#define EVENT_ENABLE		(1 << 16 | 1 << 17 | 1 << 20 | 1 << 22) /* USR OS INT EN */
#define COUNTER_MASK		((1ull << 48) - 1)

/* Of the host, as the counters are. */
static bool intel;

static inline u32 counter_msr(int n)
{
	return (intel ? 0xc1 : 0xc0010004) + n;
}

static inline u32 control_msr(int n)
{
	return (intel ? 0x186 : 0xc0010000) + n;
}

/* Overflows with the @events-th event after this. */
static inline void arm(int n, int events)
{
	wrmsr(counter_msr(n), intel ? (u32)-events : -events & COUNTER_MASK);
}

static inline void start_counter_of(int n, u32 event)
{
	wrmsr(control_msr(n), event | EVENT_ENABLE);
}

static inline void start_counter(int n)
{
	start_counter_of(n, EVENT_INSTRUCTIONS);
}

static inline void stop_counter(int n)
{
	wrmsr(control_msr(n), 0);
}

/*
 * A stop of the guest's, at an OUT that KVM_RUN has yet to complete: it is the first instruction
 * that KVM emulates, and counts, when the guest goes on. (The library's ucall is complete when
 * it was read.)
 */
#define PORT_STOP	0xea

static inline void guest_stops(int why)
{
	asm volatile("outl %0, %w1" : : "a"(why), "Nd"(PORT_STOP) : "memory");
}

/* Runs to the next such stop: why. */
static inline int run_to_stop(struct kvm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	vcpu_run(vcpu);
	TEST_ASSERT(run->exit_reason == KVM_EXIT_IO && run->io.port == PORT_STOP,
		    "exit %d, port %#x", run->exit_reason, run->io.port);
	return *(int *)((void *)run + run->io.data_offset);
}

/* With no virtual PMU, KVM drops what is written to these, or refuses it. */
static inline bool has_counter(struct kvm_vcpu *vcpu)
{
	return _vcpu_set_msr(vcpu, control_msr(0), EVENT_INSTRUCTIONS) == 1 &&
	       vcpu_get_msr(vcpu, control_msr(0)) == EVENT_INSTRUCTIONS &&
	       _vcpu_set_msr(vcpu, control_msr(0), 0) == 1;
}

/* Writes a line to the lab's PMU; 0 or an errno. */
static inline int __lab_pmu_tell(const char *format, ...)
{
	char line[64];
	va_list args;
	int n, fd, r;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	fd = open("/dev/lab_pmu", O_WRONLY);
	TEST_ASSERT(fd >= 0, "no /dev/lab_pmu: errno %d", errno);
	r = write(fd, line, n) == n ? 0 : errno;
	close(fd);
	return r;
}

#define lab_pmu_tell(...)						\
do {									\
	int __r = __lab_pmu_tell(__VA_ARGS__);				\
									\
	TEST_ASSERT(!__r, "/dev/lab_pmu: errno %d", __r);		\
} while (0)

/* How many counters overflowed because they were told to, ever. */
static inline long lab_pmu_overflows(void)
{
	long overflows = 0, missed;
	FILE *f;

	f = fopen("/dev/lab_pmu", "r");
	TEST_ASSERT(f && fscanf(f, "overflows %ld missed %ld", &overflows, &missed) == 2,
		    "what is read from /dev/lab_pmu");
	fclose(f);
	return overflows;
}

/* KVM goes by the vendor in the guest's CPUID. */
static inline void set_guest_vendor(struct kvm_vcpu *vcpu, const char *vendor)
{
	struct kvm_cpuid_entry2 *id = vcpu_get_cpuid_entry(vcpu, 0);

	memcpy(&id->ebx, vendor, 4);
	memcpy(&id->edx, vendor + 4, 4);
	memcpy(&id->ecx, vendor + 8, 4);
	vcpu_set_cpuid(vcpu);
}

#endif /* SELFTEST_KVM_EVENT_PMU_H */
