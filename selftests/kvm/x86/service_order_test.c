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

static const char * const tracefs[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };
static int trace_at = -1;

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

static void trace_path(char *path, size_t size, int at, const char *file)
{
	snprintf(path, size, "%s/%s", tracefs[at], file);
}

/* Where this process may set kprobes; -1 if nowhere. */
static int trace_find(void)
{
	char path[128];
	int i;

	for (i = 0; i < ARRAY_SIZE(tracefs); i++) {
		trace_path(path, sizeof(path), i, "kprobe_events");
		if (!access(path, W_OK))
			return i;
	}
	return -1;
}

static bool trace_write(const char *file, const char *text)
{
	char path[128];
	bool done;
	int fd;

	trace_path(path, sizeof(path), trace_at, file);
	fd = open(path, O_WRONLY | (strcmp(file, "kprobe_events") ? 0 : O_APPEND));
	if (fd < 0)
		return false;
	done = write(fd, text, strlen(text)) == strlen(text);
	close(fd);
	return done;
}

/* Also for what an earlier run left when it was killed. */
static void trace_end(void)
{
	trace_write("events/event_test/enable", "0");
	trace_write("kprobe_events", "-:event_test/cancelled\n");
	trace_write("kprobe_events", "-:event_test/delivered\n");
}

static long trace_hits(const char *event)
{
	char name[64], path[128];
	long hits, missed;
	FILE *f;

	trace_path(path, sizeof(path), trace_at, "kprobe_profile");
	f = fopen(path, "r");
	TEST_ASSERT(f, "no %s", path);
	while (fscanf(f, "%63s %ld %ld", name, &hits, &missed) == 3) {
		if (!strcmp(name, event)) {
			fclose(f);
			return hits;
		}
	}
	fclose(f);
	return -1;
}

/* With no virtual PMU, KVM drops what is written to these, or refuses it. */
static bool has_counter(struct kvm_vcpu *vcpu)
{
	u32 control = intel ? 0x186 : 0xc0010000;

	if (_vcpu_set_msr(vcpu, control, EVENT_INSTRUCTIONS) != 1 ||
	    vcpu_get_msr(vcpu, control) != EVENT_INSTRUCTIONS)
		return false;
	return _vcpu_set_msr(vcpu, control, 0) == 1;
}

TEST(no_cancelled_entries)
{
	long cancelled, delivered;
	bool delivery_seen;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	struct ucall uc;

	intel = host_cpu_is_intel;
	vm = vm_create_with_one_vcpu(&vcpu, guest_code);
	vm_install_exception_handler(vm, NMI_VECTOR, nmi_handler);
	sync_global_to_guest(vm, intel);
	if (!has_counter(vcpu))
		SKIP(return, "the vCPU has no performance counter");

	trace_end();
	atexit(trace_end);
	TEST_ASSERT(trace_write("kprobe_events", intel ?
				"p:event_test/cancelled vmx_cancel_injection\n" :
				"p:event_test/cancelled svm_cancel_injection\n"),
		    "no kprobe on the cancelling of VM-Enters");
	/* The guest's own count is enough where that function has another name. */
	delivery_seen = trace_write("kprobe_events",
				    "p:event_test/delivered kvm_pmu_deliver_pmi\n");
	TEST_ASSERT(trace_write("events/event_test/enable", "1"), "the kprobes can't be enabled");
	vcpu_run(vcpu);
	cancelled = trace_hits("cancelled");
	delivered = trace_hits("delivered");
	trace_end();

	if (get_ucall(vcpu, &uc) == UCALL_ABORT)
		REPORT_GUEST_ASSERT(uc);
	ASSERT_EQ(UCALL_DONE, uc.cmd);
	sync_global_from_guest(vm, nmis);
	TH_LOG("%d NMIs, %ld PMIs delivered, %ld VM-Enters cancelled", nmis, delivered, cancelled);
	/* Three counted CPUIDs and the handler's return make a round. */
	EXPECT_GT(nmis, CPUIDS / 4);
	if (delivery_seen)
		EXPECT_EQ(nmis, delivered);
	ASSERT_GE(cancelled, 0);
	/* A timer or a signal may cancel one now and then; the order of service, each. */
	EXPECT_LE(cancelled, 2 + nmis / 100);
	kvm_vm_free(vm);
}

int main(int argc, char **argv)
{
	__TEST_REQUIRE(kvm_is_pmu_enabled(), "KVM's virtual PMU is off (kvm.enable_pmu=N)");
	trace_at = trace_find();
	__TEST_REQUIRE(trace_at >= 0, "no tracefs with kprobe_events that can be written");
	return test_harness_run(argc, argv);
}
