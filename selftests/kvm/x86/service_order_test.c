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
#include <fcntl.h>

#include "event_test.h"
#include "apic.h"

#define LVTPC			0x340
#define CPUIDS			2000
/* Overflows after four counted instructions; the handler counts for itself. */
#define ARMED			((1ull << 48) - 4)
#define EVENT_INSTRUCTIONS	0xc0
#define EVENT_ENABLE		(1 << 16 | 1 << 17 | 1 << 20 | 1 << 22) /* USR OS INT EN */

#define TRACEFS			"/sys/kernel/tracing"

static int nmis;
static bool intel;

static void arm(void)
{
	wrmsr(intel ? 0xc1 : 0xc0010004, intel ? (u32)ARMED : ARMED);
}

static void nmi_handler(struct ex_regs *regs)
{
	WRITE_ONCE(nmis, nmis + 1);
	arm();
	if (intel) {
		/* GLOBAL_OVF_CTRL; and LVTPC masked itself when it delivered. */
		wrmsr(0x390, 1);
		x2apic_write_reg(LVTPC, APIC_DM_NMI);
	}
}

static void guest_code(void)
{
	u32 control = intel ? 0x186 : 0xc0010000;
	u32 a, b, c, d;
	int i;

	x2apic_enable();
	x2apic_write_reg(LVTPC, APIC_DM_NMI);
	if (intel)
		wrmsr(0x38f, 1);
	arm();
	wrmsr(control, EVENT_INSTRUCTIONS | EVENT_ENABLE);
	for (i = 0; i < CPUIDS; i++)
		__cpuid(0, 0, &a, &b, &c, &d);
	wrmsr(control, 0);
	GUEST_DONE();
}

static void trace_write(const char *file, const char *text)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), TRACEFS "/%s", file);
	fd = open(path, O_WRONLY | (strcmp(file, "kprobe_events") ? 0 : O_APPEND));
	TEST_ASSERT(fd >= 0 && write(fd, text, strlen(text)) == strlen(text), "%s > %s", text, path);
	close(fd);
}

static long trace_hits(const char *event)
{
	char name[64];
	long hits, missed;
	FILE *f = fopen(TRACEFS "/kprobe_profile", "r");

	TEST_ASSERT(f, "no " TRACEFS "/kprobe_profile");
	while (fscanf(f, "%63s %ld %ld", name, &hits, &missed) == 3) {
		if (!strcmp(name, event)) {
			fclose(f);
			return hits;
		}
	}
	fclose(f);
	return -1;
}

TEST(no_cancelled_entries)
{
	long cancelled, delivered;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	struct ucall uc;

	intel = host_cpu_is_intel;
	vm = vm_create_with_one_vcpu(&vcpu, guest_code);
	vm_install_exception_handler(vm, NMI_VECTOR, nmi_handler);
	sync_global_to_guest(vm, intel);

	trace_write("kprobe_events", intel ? "p:event_test/cancelled vmx_cancel_injection\n" :
					     "p:event_test/cancelled svm_cancel_injection\n");
	trace_write("kprobe_events", "p:event_test/delivered kvm_pmu_deliver_pmi\n");
	trace_write("events/event_test/enable", "1");
	vcpu_run(vcpu);
	cancelled = trace_hits("cancelled");
	delivered = trace_hits("delivered");
	trace_write("events/event_test/enable", "0");
	trace_write("kprobe_events", "-:event_test/cancelled\n-:event_test/delivered\n");

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
	TEST_REQUIRE(kvm_is_pmu_enabled());
	TEST_REQUIRE(!access(TRACEFS "/kprobe_events", W_OK));
	return test_harness_run(argc, argv);
}
