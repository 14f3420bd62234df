// SPDX-License-Identifier: GPL-2.0
/*
 * A PMU where there is none, so that KVM offers its guests a virtual one. Neither
 * emulator of the lab has performance counters; KVM then counts emulated instructions
 * by itself, and overflows, and delivers PMIs, which is what the tests need.
 *
 * Load it before kvm-amd or kvm-intel. Two questions that KVM asks perf are answered
 * here in perf's place, and perf events of type raw, which KVM makes for a guest's
 * counters, are taken and count nothing.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/perf_event.h>
#include <asm/cpufeature.h>
#include <asm/perf_event.h>

/*
 * Where a probed function goes in place of its own body: returns at once, and leaves
 * alone what the probe put in AX.
 */
static noinline notrace void lab_pmu_return(void)
{
}

static bool on_intel(void)
{
	return boot_cpu_data.x86_vendor == X86_VENDOR_INTEL;
}

/* perf_get_x86_pmu_capability(cap): PMU version 2 on Intel, six counters on AMD. */
static int answer_capability(struct kprobe *p, struct pt_regs *regs)
{
	struct x86_pmu_capability *cap = (void *)regs->di;

	memset(cap, 0, sizeof(*cap));
	cap->version = on_intel() ? 2 : 1;
	cap->num_counters_gp = on_intel() ? 8 : 6;
	cap->bit_width_gp = 48;
	if (on_intel()) {
		cap->num_counters_fixed = 3;
		cap->bit_width_fixed = 48;
	}
	cap->events_mask_len = 7;
	instruction_pointer_set(regs, (unsigned long)lab_pmu_return);
	return 1;
}

/* perf_get_hw_event_config(event): the architectural encodings, as far as KVM asks. */
static int answer_event_config(struct kprobe *p, struct pt_regs *regs)
{
	switch (regs->di) {
	case PERF_COUNT_HW_INSTRUCTIONS:
		regs->ax = 0xc0;
		break;
	case PERF_COUNT_HW_BRANCH_INSTRUCTIONS:
		regs->ax = on_intel() ? 0xc4 : 0xc2;
		break;
	case PERF_COUNT_HW_CPU_CYCLES:
		regs->ax = on_intel() ? 0x3c : 0x76;
		break;
	case PERF_COUNT_HW_REF_CPU_CYCLES:
		regs->ax = on_intel() ? 0x300 : 0;
		break;
	default:
		regs->ax = 0;
	}
	instruction_pointer_set(regs, (unsigned long)lab_pmu_return);
	return 1;
}

static struct kprobe capability = {
	.symbol_name = "perf_get_x86_pmu_capability",
	.pre_handler = answer_capability,
};

static struct kprobe event_config = {
	.symbol_name = "perf_get_hw_event_config",
	.pre_handler = answer_event_config,
};

static struct kprobe *probes[] = { &capability, &event_config };

static int lab_event_init(struct perf_event *event)
{
	return event->attr.type == PERF_TYPE_RAW ? 0 : -ENOENT;
}

static int lab_add(struct perf_event *event, int flags)
{
	return 0;
}

static void lab_nothing(struct perf_event *event, int flags)
{
}

static void lab_read(struct perf_event *event)
{
}

static struct pmu lab = {
	.module		= THIS_MODULE,
	.task_ctx_nr	= perf_hw_context,
	.event_init	= lab_event_init,
	.add		= lab_add,
	.del		= lab_nothing,
	.start		= lab_nothing,
	.stop		= lab_nothing,
	.read		= lab_read,
};

/* Whether perf can count cycles: then the machine has a PMU of its own. */
static bool has_pmu(void)
{
	struct perf_event_attr attr = {
		.type		= PERF_TYPE_HARDWARE,
		.config		= PERF_COUNT_HW_CPU_CYCLES,
		.size		= sizeof(attr),
		.disabled	= 1,
	};
	struct perf_event *event;

	event = perf_event_create_kernel_counter(&attr, 0, NULL, NULL, NULL);
	if (IS_ERR(event))
		return false;
	perf_event_release_kernel(event);
	return true;
}

static int __init lab_pmu_init(void)
{
	int r;

	if (has_pmu()) {
		pr_err("this machine has a PMU of its own\n");
		return -EBUSY;
	}

	r = register_kprobes(probes, ARRAY_SIZE(probes));
	if (r)
		return r;

	r = perf_pmu_register(&lab, "lab", PERF_TYPE_RAW);
	if (r)
		unregister_kprobes(probes, ARRAY_SIZE(probes));
	return r;
}

static void __exit lab_pmu_exit(void)
{
	perf_pmu_unregister(&lab);
	unregister_kprobes(probes, ARRAY_SIZE(probes));
}

module_init(lab_pmu_init);
module_exit(lab_pmu_exit);
MODULE_DESCRIPTION("A PMU for the lab's emulated machines");
MODULE_LICENSE("GPL");
