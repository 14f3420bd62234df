// SPDX-License-Identifier: GPL-2.0
#include <asm/processor.h>

#include "bindings_helper.h"

/* On 6.12, Rust has no per-CPU variables and no CPU masks; macros it has nowhere. */
unsigned int lab_pmu_cpu(void)
{
	return raw_smp_processor_id();
}

bool lab_pmu_online(unsigned int cpu)
{
	return cpu_online(cpu);
}

void lab_pmu_init_work(struct irq_work *work, void (*func)(struct irq_work *work))
{
	*work = IRQ_WORK_INIT_HARD(func);
}

/* Bindgen numbers the unnamed structures on the way to it, not alike on 6.12 and on 7.2. */
bool lab_pmu_on_intel(void)
{
	return boot_cpu_data.x86_vendor == X86_VENDOR_INTEL;
}
