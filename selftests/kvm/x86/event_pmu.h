/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Counters that overflow when they are told to, for tests of the PMI: on the lab's PMU only
 * instructions that KVM emulates count.
 */
#ifndef SELFTEST_KVM_EVENT_PMU_H
#define SELFTEST_KVM_EVENT_PMU_H

#include "event_test.h"
#include "apic.h"

#define LVTPC			0x340
#define LVT_MASKED		(1 << 16)
#define EVENT_INSTRUCTIONS	0xc0
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

static inline void start_counter(int n)
{
	wrmsr(control_msr(n), EVENT_INSTRUCTIONS | EVENT_ENABLE);
}

static inline void stop_counter(int n)
{
	wrmsr(control_msr(n), 0);
}

/* With no virtual PMU, KVM drops what is written to these, or refuses it. */
static inline bool has_counter(struct kvm_vcpu *vcpu)
{
	return _vcpu_set_msr(vcpu, control_msr(0), EVENT_INSTRUCTIONS) == 1 &&
	       vcpu_get_msr(vcpu, control_msr(0)) == EVENT_INSTRUCTIONS &&
	       _vcpu_set_msr(vcpu, control_msr(0), 0) == 1;
}

#endif /* SELFTEST_KVM_EVENT_PMU_H */
