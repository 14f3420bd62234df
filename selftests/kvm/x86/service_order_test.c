// SPDX-License-Identifier: GPL-2.0
/*
 * Requests are serviced producer first: a PMI that LVTPC makes an NMI is delivered by the
 * VM-Enter before which it was found.
 *
 * KVM once serviced NMIs before PMIs. The new NMI was then found by the last check before
 * VM-Enter, which was cancelled: 800 to 1,500 times a second for a guest that samples.
 *
 * Needs a virtual PMU; the lab's module gives one to a machine that has none.
 */
#include "event_pmu.h"
#include "event_trace.h"

#define CPUIDS		2000
/* Overflows with the fourth counted instruction; the handler counts for itself. */
#define PERIOD		4

static int nmis;

static void nmi_handler(struct ex_regs *regs)
{
	WRITE_ONCE(nmis, nmis + 1);
	arm(0, PERIOD);
	if (intel) {
		/* GLOBAL_OVF_CTRL; and LVTPC masked itself when it delivered. */
		wrmsr(0x390, 1);
		x2apic_write_reg(LVTPC, APIC_DM_NMI);
	}
}

static void guest_code(void)
{
	u32 a, b, c, d;
	int i;

	x2apic_enable();
	x2apic_write_reg(LVTPC, APIC_DM_NMI);
	if (intel)
		wrmsr(0x38f, 1);
	arm(0, PERIOD);
	start_counter(0);
	for (i = 0; i < CPUIDS; i++)
		__cpuid(0, 0, &a, &b, &c, &d);
	stop_counter(0);
	GUEST_DONE();
}

TEST(no_cancelled_entries)
{
	int cancelled_fd, delivered_fd;
	long cancelled, delivered;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	struct ucall uc;

	intel = host_cpu_is_intel;
	vm = vm_create_with_one_vcpu(&vcpu, guest_code);
	vm_install_exception_handler(vm, NMI_VECTOR, nmi_handler);
	sync_global_to_guest(vm, intel);
	TEST_ASSERT(has_counter(vcpu), "the vCPU has no performance counter");

	TEST_ASSERT(trace_probe('p', "cancelled", intel ? "vmx_cancel_injection" :
				"svm_cancel_injection"),
		    "no kprobe on the cancelling of VM-Enters");
	TEST_ASSERT(trace_probe('p', "delivered", "kvm_pmu_deliver_pmi"),
		    "no kprobe on the delivery of PMIs");
	cancelled_fd = trace_count("cancelled", NULL);
	delivered_fd = trace_count("delivered", NULL);
	vcpu_run(vcpu);
	cancelled = trace_hits(cancelled_fd);
	delivered = trace_hits(delivered_fd);
	trace_remove("cancelled");
	trace_remove("delivered");

	if (get_ucall(vcpu, &uc) == UCALL_ABORT)
		REPORT_GUEST_ASSERT(uc);
	ASSERT_EQ(UCALL_DONE, uc.cmd);
	sync_global_from_guest(vm, nmis);
	TH_LOG("%d NMIs, %ld PMIs delivered, %ld VM-Enters cancelled", nmis, delivered, cancelled);
	/* Three counted CPUIDs and the handler's return make a round. */
	EXPECT_GT(nmis, CPUIDS / 4);
	EXPECT_EQ(nmis, delivered);
	/* A timer or a signal may cancel one now and then; the order of service, each. */
	EXPECT_LE(cancelled, 2 + nmis / 100);
	kvm_vm_free(vm);
}

int main(int argc, char **argv)
{
	__TEST_REQUIRE(kvm_is_pmu_enabled(), "KVM's virtual PMU is off (kvm.enable_pmu=N)");
	__TEST_REQUIRE(trace_find(), "no tracefs with kprobe_events that can be written");
	return test_harness_run(argc, argv);
}
