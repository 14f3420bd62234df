// SPDX-License-Identifier: GPL-2.0
/*
 * What ftrace sees of event delivery: traces, BPF programs and live patches name KVM's functions, so
 * these are there, and are called; and an IPI that kicks a vCPU comes from whoever kicks, not from
 * the kick itself.
 */
#include <sys/stat.h>

#include "event_test.h"
#include "event_trace.h"
#include "apic.h"

#define IPI_VECTOR	0x40
#define KICKS		300
#define NMIS		3

/* A trace of this test's own, which changes nobody else's. */
#define INSTANCE	"event_ftrace_test"

static char instance[100];
/* The word that traced() found last. */
static char last_traced[100];

static bool instance_write(const char *file, const char *text)
{
	char path[200];
	bool done;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", instance, file);
	fd = open(path, O_WRONLY | O_TRUNC);
	if (fd < 0)
		return false;
	done = write(fd, text, strlen(text)) == strlen(text);
	close(fd);
	return done;
}

/* Counts the lines of the trace that have @text, and @more behind it in the same word. */
static int traced(const char *text, const char *more)
{
	char line[500], *found;
	int n = 0;
	FILE *f;

	snprintf(line, sizeof(line), "%s/trace", instance);
	f = fopen(line, "r");
	TEST_ASSERT(f, "%s: errno %d", line, errno);
	while (fgets(line, sizeof(line), f)) {
		found = line[0] == '#' ? NULL : strstr(line, text);
		if (!found)
			continue;
		found += strlen(text);
		found[strcspn(found, "\n ")] = 0;
		n += !!strstr(found, more);
		snprintf(last_traced, sizeof(last_traced), "%s", found);
	}
	fclose(f);
	return n;
}

static void start_instance(void)
{
	snprintf(instance, sizeof(instance), "%s/instances/" INSTANCE, trace_root);
	/* An earlier run may have been killed. */
	rmdir(instance);
	TEST_ASSERT(!mkdir(instance, 0700), "%s: errno %d", instance, errno);
}

/* A kick has another name in 7.2, where it can also wait; the events of L2 have one for each vendor. */
static const char * const functions[][2] = {
	{ "kvm_vcpu_kick", "__kvm_vcpu_kick" },
	{ "kvm_vcpu_wake_up" },
	{ "kvm_inject_nmi" },
	{ "kvm_apic_accept_events" },
	{ "kvm_apic_local_deliver" },
	{ "kvm_pmu_deliver_pmi" },
	{ "kvm_arch_vcpu_ioctl_set_mpstate" },
	{ "vmx_check_nested_events", "svm_check_nested_events" },
};

static bool is_one_of(const char *name, const char * const *names)
{
	return !strcmp(name, names[0]) || (names[1] && !strcmp(name, names[1]));
}

TEST(functions_are_there)
{
	bool found[ARRAY_SIZE(functions)] = {};
	char path[100], name[500];
	FILE *f;
	int i;

	snprintf(path, sizeof(path), "%s/available_filter_functions", trace_root);
	f = fopen(path, "r");
	ASSERT_NE(NULL, f);
	/* A line is a name, and its module's. */
	while (fscanf(f, "%499s%*[^\n]", name) == 1) {
		for (i = 0; i < ARRAY_SIZE(functions); i++)
			found[i] |= is_one_of(name, functions[i]);
	}
	fclose(f);
	for (i = 0; i < ARRAY_SIZE(functions); i++) {
		EXPECT_TRUE(found[i]) {
			TH_LOG("ftrace has no function %s", functions[i][0]);
		}
	}
}

TEST(nmi_is_traced)
{
	bool is_there;
	struct ap ap;
	int i;

	start_instance();
	ap_create(&ap, KVM_MP_STATE_UNINITIALIZED);
	/* Without an end of line, only close() would look for it. */
	is_there = instance_write("set_ftrace_filter", "kvm_inject_nmi\n");
	EXPECT_TRUE(is_there) {
		TH_LOG("ftrace has no function kvm_inject_nmi");
	}
	if (is_there) {
		EXPECT_TRUE(instance_write("current_tracer", "function"));
		for (i = 0; i < NMIS; i++)
			ap_send(&ap, MSI_DM_NMI);
		EXPECT_TRUE(instance_write("tracing_on", "0"));
		EXPECT_EQ(NMIS, traced(": kvm_inject_nmi <-", ""));
	}
	EXPECT_TRUE(instance_write("current_tracer", "nop"));
	EXPECT_EQ(0, rmdir(instance));
	kvm_vm_free(ap.vcpu->vm);
}

static bool started;

static void handler(struct ex_regs *regs)
{
	x2apic_write_reg(APIC_EOI, 0);
}

static void nmi_handler(struct ex_regs *regs)
{
}

static void guest_spins(void)
{
	x2apic_enable();
	asm volatile("sti");
	WRITE_ONCE(started, true);
	for (;;)
		cpu_relax();
}

FIXTURE(kick_ipi)
{
	struct ap ap;
};

FIXTURE_VARIANT(kick_ipi)
{
	u32 what;
	const char *caller;
};

FIXTURE_VARIANT_ADD(kick_ipi, nmi)
{
	.what = MSI_DM_NMI,
	.caller = "__apic_accept_irq+",
};

/* Which function kicks then, the vendor's module decides. */
FIXTURE_VARIANT_ADD(kick_ipi, fixed)
{
	.what = IPI_VECTOR,
	.caller = "",
};

FIXTURE_SETUP(kick_ipi)
{
	struct kvm_vm *vm;

	vm = vm_create_with_one_vcpu(&self->ap.vcpu, guest_spins);
	self->ap.ended = true;
	vm_install_exception_handler(vm, NMI_VECTOR, nmi_handler);
	vm_install_exception_handler(vm, IPI_VECTOR, handler);
}

FIXTURE_TEARDOWN(kick_ipi)
{
	if (!self->ap.ended)
		ap_stop(&self->ap);
	kvm_vm_free(self->ap.vcpu->vm);
}

/* Sends to a vCPU that runs on the other CPU, most of the time in guest mode. */
static void send_until_traced(struct ap *ap, u32 what, const char *caller)
{
	long end = now_ms() + LIMIT_MS;
	int i;

	do {
		for (i = 0; i < KICKS; i++) {
			ap_send(ap, what);
			usleep(200);
		}
	} while (!traced("callsite=", caller) && now_ms() < end);
}

TEST_F_TIMEOUT(kick_ipi, comes_from_its_caller, 60)
{
	struct kvm_vm *vm = self->ap.vcpu->vm;
	bool *up = addr_gva2hva(vm, (unsigned long)&started);
	int from_caller, from_kick;
	char filter[100];

	if (nr_cpus < 2)
		SKIP(return, "one CPU: no kick is an IPI");
	start_instance();
	run_on(pthread_self(), cpus[0]);
	ap_start(&self->ap);
	run_on(self->ap.thread, cpus[1]);
	ASSERT_TRUE(wait_for(READ_ONCE(*up)));

	/* Of this thread, and not of an interrupt on top of it. */
	snprintf(filter, sizeof(filter), "cpu == %d && common_pid == %d && !(common_flags & 0x18)",
		 cpus[1], getpid());
	EXPECT_TRUE(instance_write("events/ipi/ipi_send_cpu/filter", filter));
	EXPECT_TRUE(instance_write("events/ipi/ipi_send_cpu/enable", "1"));
	send_until_traced(&self->ap, variant->what, variant->caller);
	EXPECT_TRUE(instance_write("tracing_on", "0"));
	from_caller = traced("callsite=", variant->caller);
	from_kick = traced("callsite=", "kick");
	TH_LOG("%d from %s, %d from a kick, the last from %s", from_caller, variant->caller,
	       from_kick, last_traced);
	EXPECT_LT(0, from_caller);
	EXPECT_EQ(0, from_kick);

	EXPECT_EQ(0, rmdir(instance));
	EXPECT_TRUE(ap_stop(&self->ap));
}

int main(int argc, char **argv)
{
	__TEST_REQUIRE(trace_find(), "no tracefs that can be written");
	find_cpus();
	return test_harness_run(argc, argv);
}
