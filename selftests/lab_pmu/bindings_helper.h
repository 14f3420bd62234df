/* SPDX-License-Identifier: GPL-2.0 */
/* What bindgen reads. Constants that are expressions get a name here. */
#ifndef LAB_PMU_BINDINGS_HELPER_H
#define LAB_PMU_BINDINGS_HELPER_H

#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/irq_work.h>
#include <linux/kprobes.h>
#include <linux/miscdevice.h>
#include <linux/perf_event.h>
#include <linux/smp.h>
#include <asm/apic.h>
#include <asm/irq_vectors.h>
#include <asm/nmi.h>
#include <asm/perf_event.h>

static const unsigned int LAB_PMU_NR_CPUS = CONFIG_NR_CPUS;
static const unsigned int LAB_PMU_NMI_LOCAL = NMI_LOCAL;
static const int LAB_PMU_NMI_VECTOR = NMI_VECTOR;
static const unsigned int LAB_PMU_UNINTERRUPTIBLE = TASK_UNINTERRUPTIBLE;
static const int LAB_PMU_ANY_MINOR = MISC_DYNAMIC_MINOR;
static const int LAB_PMU_HARDWARE_CONTEXT = perf_hw_context;

unsigned int lab_pmu_cpu(void);
bool lab_pmu_on_intel(void);
bool lab_pmu_online(unsigned int cpu);
void lab_pmu_init_work(struct irq_work *work, void (*func)(struct irq_work *work));

#endif
