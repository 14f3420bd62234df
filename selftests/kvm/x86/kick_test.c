// SPDX-License-Identifier: GPL-2.0
/*
 * A kick makes a vCPU look at what was requested of it: from its own thread, from another
 * one, from a timer's interrupt; in guest mode, asleep, preempted, on its way to another
 * CPU. Nothing is lost, nothing is seen twice, and a kick of oneself takes neither an
 * atomic operation nor an IPI.
 *
 * A kick of oneself once took the path of the others: a full barrier and a compare-and-exchange
 * for every IPI that a vCPU sends to itself. On VMX such an IPI is sent on the fast path,
 * with IRQs off, between a VM-Exit and the next VM-Enter: only a kick keeps it from being
 * late there. (So it is on SVM where the CPU saves the next RIP, which the lab's doesn't.)
 */
#include <sys/resource.h>
#include <sys/sysinfo.h>

#include "event_test.h"
#include "event_trace.h"
#include "apic.h"

#define IPI_VECTOR	0x40
#define TIMER_VECTOR	0x50
#define APIC_SELF_IPI_REG	0x3f0
/* Of each: 1,000 to oneself, 300 from others, 100 from a timer. */
#define SELF_KICKS	1000
#define KICKS		300
#define TIMERS		100
/*
 * What KVM injects is there before the guest's next instruction; hardware that delivers by
 * itself (APICv, AVIC) may take a few.
 */
#define SOON		16

static long seen;
static long sent;
static long latest;
static bool started;
static bool stop;

static u32 reg;
static u64 value;
static u32 timer_mode;
static bool timer_is_past;

static bool can_count;

static void nmi_handler(struct ex_regs *regs)
{
	WRITE_ONCE(seen, seen + 1);
}

static void irq_handler(struct ex_regs *regs)
{
	WRITE_ONCE(seen, seen + 1);
	x2apic_write_reg(APIC_EOI, 0);
}

static void guest_enable_irqs(void)
{
	x2apic_enable();
	asm volatile("sti");
	WRITE_ONCE(started, true);
}

/* Each must be there at once, and once. */
static void guest_to_itself(void)
{
	long waited;

	guest_enable_irqs();
	while (sent < SELF_KICKS) {
		sent++;
		x2apic_write_reg(reg, value);
		for (waited = 0; READ_ONCE(seen) < sent && waited < SOON; waited++)
			;
		__GUEST_ASSERT(seen == sent, "%ld seen of %ld", seen, sent);
		latest = max(latest, waited);
	}
	GUEST_DONE();
}

/* Never leaves guest mode by itself. */
static void guest_spins(void)
{
	guest_enable_irqs();
	while (!READ_ONCE(stop))
		;
	GUEST_DONE();
}

static void guest_sleeps(void)
{
	guest_enable_irqs();
	while (!READ_ONCE(stop))
		asm volatile("hlt");
	GUEST_DONE();
}

/* Spins, and sends itself an IPI now and then; some cross those from outside. */
static void guest_spins_and_sends(void)
{
	int i;

	guest_enable_irqs();
	while (!READ_ONCE(stop)) {
		for (i = 0; i < 500; i++)
			barrier();
		sent++;
		x2apic_write_reg(reg, value);
		for (i = 0; READ_ONCE(latest) < sent && i < SOON; i++)
			;
		__GUEST_ASSERT(latest == sent, "%ld seen of %ld", latest, sent);
	}
	GUEST_DONE();
}

static void own_irq_handler(struct ex_regs *regs)
{
	WRITE_ONCE(latest, latest + 1);
	x2apic_write_reg(APIC_EOI, 0);
}

static void guest_timer(void)
{
	long waited;

	guest_enable_irqs();
	x2apic_write_reg(APIC_TDCR, 0xb);
	x2apic_write_reg(APIC_LVTT, timer_mode | TIMER_VECTOR);
	while (sent < TIMERS) {
		sent++;
		if (timer_mode != APIC_LVT_TIMER_TSCDEADLINE)
			x2apic_write_reg(APIC_TMICT, 100000);
		else
			wrmsr(MSR_IA32_TSC_DEADLINE, timer_is_past ? 1 : rdtsc() + 100000);
		for (waited = 0; READ_ONCE(seen) < sent; waited++)
			__GUEST_ASSERT(!timer_is_past || waited < SOON, "late: %ld of %ld",
				       seen, sent);
		__GUEST_ASSERT(seen == sent, "%ld seen of %ld", seen, sent);
	}
	GUEST_DONE();
}

static struct kvm_vcpu *create_guest(void *guest_code)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;

	vm = vm_create_with_one_vcpu(&vcpu, guest_code);
	vm_install_exception_handler(vm, NMI_VECTOR, nmi_handler);
	vm_install_exception_handler(vm, IPI_VECTOR, irq_handler);
	vm_install_exception_handler(vm, TIMER_VECTOR, irq_handler);
	return vcpu;
}

/* Runs a guest that ends by itself; the harness limits how long. */
static void run_guest(struct kvm_vcpu *vcpu)
{
	struct ucall uc;

	vcpu_run(vcpu);
	switch (get_ucall(vcpu, &uc)) {
	case UCALL_DONE:
		break;
	case UCALL_ABORT:
		REPORT_GUEST_ASSERT(uc);
	default:
		TEST_FAIL("exit %d, ucall %d", vcpu->run->exit_reason, (int)uc.cmd);
	}
	sync_global_from_guest(vcpu->vm, seen);
	sync_global_from_guest(vcpu->vm, sent);
	sync_global_from_guest(vcpu->vm, latest);
}

/* Not in a kernel built for one processor. */
static bool can_send;

/* What a thread's kicks came to. */
struct kicks {
	int kicks, atomic, out, ipis;
};

/* Reschedule IPIs to @cpu are counted, but for those of an interrupt handler's. */
static void count_kicks(struct kicks *k, int cpu)
{
	char filter[64];

	snprintf(filter, sizeof(filter), "cpu == %d && !(common_flags & 0x18)", cpu);
	k->ipis = can_send ? trace_count("ipi", filter) : 0;
	k->out = trace_count("out", "ret == 1");
	k->atomic = trace_count("atomic", NULL);
	k->kicks = trace_count("kick", NULL);
}

static void counted_kicks(struct kicks *k)
{
	k->kicks = trace_hits(k->kicks);
	k->atomic = trace_hits(k->atomic);
	k->out = trace_hits(k->out);
	k->ipis = can_send ? trace_hits(k->ipis) : 0;
}

FIXTURE(self_kick)
{
	struct kvm_vcpu *vcpu;
};

FIXTURE_VARIANT(self_kick)
{
	u32 reg;
	u64 value;
};

/* The one that KVM sends on its fast path; the APIC ID is 0. */
FIXTURE_VARIANT_ADD(self_kick, icr)
{
	.reg = APIC_ICR,
	.value = APIC_DM_FIXED | IPI_VECTOR,
};

FIXTURE_VARIANT_ADD(self_kick, icr_shorthand)
{
	.reg = APIC_ICR,
	.value = APIC_DEST_SELF | APIC_DM_FIXED | IPI_VECTOR,
};

FIXTURE_VARIANT_ADD(self_kick, icr_nmi)
{
	.reg = APIC_ICR,
	.value = APIC_DM_NMI,
};

FIXTURE_VARIANT_ADD(self_kick, self_ipi)
{
	.reg = APIC_SELF_IPI_REG,
	.value = IPI_VECTOR,
};

FIXTURE_SETUP(self_kick)
{
	self->vcpu = create_guest(guest_to_itself);
	reg = variant->reg;
	value = variant->value;
	sync_global_to_guest(self->vcpu->vm, reg);
	sync_global_to_guest(self->vcpu->vm, value);
	run_on(pthread_self(), cpus[0]);
}

FIXTURE_TEARDOWN(self_kick)
{
	kvm_vm_free(self->vcpu->vm);
}

/* Hardware that sends an IPI to itself without KVM makes no kick. */
static bool ipis_need_kicks(void)
{
	return !(host_cpu_is_intel ? get_kvm_intel_param_bool("enable_apicv") :
				     get_kvm_amd_param_bool("avic"));
}

TEST_F(self_kick, at_once_and_once)
{
	run_guest(self->vcpu);
	TH_LOG("%ld IPIs, seen after at most %ld looks", seen, latest);
	EXPECT_EQ(SELF_KICKS, seen);
}

TEST_F(self_kick, no_atomic_no_ipi)
{
	struct kicks k;

	if (!can_count)
		SKIP(return, "no tracefs with kprobe_events that can be written");
	count_kicks(&k, cpus[0]);
	run_guest(self->vcpu);
	counted_kicks(&k);
	TH_LOG("%ld IPIs, %d kicks, %d of them atomic, %d reschedule IPIs", seen, k.kicks,
	       k.atomic, k.ipis);
	if (ipis_need_kicks() || variant->value == APIC_DM_NMI)
		EXPECT_GE(k.kicks, SELF_KICKS);
	EXPECT_EQ(0, k.atomic);
	EXPECT_EQ(0, k.ipis);
}

FIXTURE(timer)
{
	struct kvm_vcpu *vcpu;
};

FIXTURE_VARIANT(timer)
{
	u32 mode;
	bool past;
};

FIXTURE_VARIANT_ADD(timer, one_shot)
{
	.mode = APIC_LVT_TIMER_ONESHOT,
};

FIXTURE_VARIANT_ADD(timer, tsc_deadline)
{
	.mode = APIC_LVT_TIMER_TSCDEADLINE,
};

FIXTURE_VARIANT_ADD(timer, tsc_deadline_past)
{
	.mode = APIC_LVT_TIMER_TSCDEADLINE,
	.past = true,
};

FIXTURE_SETUP(timer)
{
	self->vcpu = create_guest(guest_timer);
	vcpu_set_cpuid_feature(self->vcpu, X86_FEATURE_TSC_DEADLINE_TIMER);
	timer_mode = variant->mode;
	timer_is_past = variant->past;
	sync_global_to_guest(self->vcpu->vm, timer_mode);
	sync_global_to_guest(self->vcpu->vm, timer_is_past);
	run_on(pthread_self(), cpus[0]);
}

FIXTURE_TEARDOWN(timer)
{
	kvm_vm_free(self->vcpu->vm);
}

/* How often this thread has left its CPU to another thread. */
static long switches(void)
{
	struct rusage usage;

	TEST_ASSERT(!getrusage(RUSAGE_THREAD, &usage), "getrusage");
	return usage.ru_nvcsw + usage.ru_nivcsw;
}

/*
 * The timer's interrupt finds the vCPU's own thread below it: that too is a self-kick. A timer that
 * finds another thread in the vCPU thread's place has to kick it atomically: at most one for each
 * time that the vCPU thread left its CPU.
 */
TEST_F(timer, is_seen)
{
	struct kicks k = {};
	long left;

	if (can_count)
		count_kicks(&k, cpus[0]);
	left = switches();
	run_guest(self->vcpu);
	left = switches() - left;
	if (can_count)
		counted_kicks(&k);
	TH_LOG("%ld interrupts, %d kicks, %d of them atomic, %ld switches to other threads", seen, k.kicks,
	       k.atomic, left);
	EXPECT_EQ(TIMERS, seen);
	EXPECT_LE(k.atomic, left);
}

/* A vCPU that other threads kick, and what they share with its guest. */
struct target {
	struct ap ap;
	long *seen;
	bool *stop;
};

FIXTURE(kick)
{
	struct target target;
};

FIXTURE_VARIANT(kick)
{
	u32 what;
};

FIXTURE_VARIANT_ADD(kick, ipi)
{
	.what = IPI_VECTOR,
};

FIXTURE_VARIANT_ADD(kick, nmi)
{
	.what = MSI_DM_NMI,
};

FIXTURE_SETUP(kick)
{
	run_on(pthread_self(), cpus[0]);
}

FIXTURE_TEARDOWN(kick)
{
	kvm_vm_free(self->target.ap.vcpu->vm);
}

static void start_guest(struct target *t, void *guest_code)
{
	struct kvm_vm *vm;
	bool *up;

	t->ap.vcpu = create_guest(guest_code);
	vm = t->ap.vcpu->vm;
	vm_install_exception_handler(vm, IPI_VECTOR + 1, own_irq_handler);
	reg = APIC_ICR;
	value = APIC_DM_FIXED | (IPI_VECTOR + 1);
	sync_global_to_guest(vm, reg);
	sync_global_to_guest(vm, value);
	t->seen = addr_gva2hva(vm, (unsigned long)&seen);
	t->stop = addr_gva2hva(vm, (unsigned long)&stop);
	up = addr_gva2hva(vm, (unsigned long)&started);
	ap_start(&t->ap);
	run_on(t->ap.thread, cpus[1]);
	/* Its APIC takes nothing before it is enabled. */
	TEST_ASSERT(wait_for(READ_ONCE(*up)), "the guest does not start");
}

/* Sends one after the other, and sees each, once. Returns how many were seen. */
static long send_all(struct target *t, u32 what)
{
	long n;

	for (n = 1; n <= KICKS; n++) {
		ap_send(&t->ap, what);
		if (!wait_for(READ_ONCE(*t->seen) >= n) || READ_ONCE(*t->seen) != n)
			break;
	}
	return READ_ONCE(*t->seen);
}

/* One more, after which the guest ends. */
static bool stop_guest(struct target *t, u32 what)
{
	struct ucall uc;

	WRITE_ONCE(*t->stop, true);
	ap_send(&t->ap, what);
	if (!ap_wait(&t->ap)) {
		ap_stop(&t->ap);
		return false;
	}
	if (get_ucall(t->ap.vcpu, &uc) == UCALL_ABORT)
		REPORT_GUEST_ASSERT(uc);
	return uc.cmd == UCALL_DONE;
}

/* A thread that finds the vCPU in guest mode sends one IPI, to the CPU where it is. */
TEST_F_TIMEOUT(kick, in_guest_mode, 60)
{
	struct kicks k = {};

	start_guest(&self->target, guest_spins);
	if (can_count)
		count_kicks(&k, cpus[1]);
	EXPECT_EQ(KICKS, send_all(&self->target, variant->what));
	if (can_count)
		counted_kicks(&k);
	EXPECT_TRUE(stop_guest(&self->target, variant->what));
	TH_LOG("%d kicks, %d atomic, %d found it in guest mode, %d reschedule IPIs", k.kicks,
	       k.atomic, k.out, k.ipis);
	if (can_count && ipis_need_kicks()) {
		EXPECT_EQ(KICKS, k.kicks);
		EXPECT_EQ(KICKS, k.atomic);
		EXPECT_GE(k.ipis, k.out);
		if (nr_cpus > 1)
			EXPECT_GT(k.out, 0);
	}
}

/* A wake-up that is lost is lost for ever: no tick ends a HLT. */
TEST_F_TIMEOUT(kick, asleep, 60)
{
	start_guest(&self->target, guest_sleeps);
	EXPECT_EQ(KICKS, send_all(&self->target, variant->what));
	EXPECT_TRUE(stop_guest(&self->target, variant->what));
}

TEST_F_TIMEOUT(kick, crossed_by_its_own, 60)
{
	start_guest(&self->target, guest_spins_and_sends);
	EXPECT_EQ(KICKS, send_all(&self->target, variant->what));
	EXPECT_TRUE(stop_guest(&self->target, variant->what));
}

/* Of the threads that disturb: the vCPU's, which is moved, and whether to go on. */
static pthread_t moved;
static bool disturb;

static void *hog(void *arg)
{
	while (READ_ONCE(disturb))
		;
	return NULL;
}

/* With one CPU, nothing moves; the test is the same. */
static void *mover(void *arg)
{
	int i;

	for (i = 0; READ_ONCE(disturb); i++) {
		run_on(moved, cpus[i % 2]);
		usleep(100);
	}
	return NULL;
}

static void start_disturbing(struct target *t, pthread_t *thread, void *(*how)(void *))
{
	moved = t->ap.thread;
	WRITE_ONCE(disturb, true);
	TEST_ASSERT(!pthread_create(thread, NULL, how, NULL), "pthread_create");
}

static void stop_disturbing(pthread_t thread)
{
	WRITE_ONCE(disturb, false);
	pthread_join(thread, NULL);
}

/* Another thread wants the CPU all the time. */
TEST_F_TIMEOUT(kick, preempted, 60)
{
	pthread_t thread;

	start_guest(&self->target, guest_spins_and_sends);
	start_disturbing(&self->target, &thread, hog);
	run_on(thread, cpus[1]);
	EXPECT_EQ(KICKS, send_all(&self->target, variant->what));
	stop_disturbing(thread);
	EXPECT_TRUE(stop_guest(&self->target, variant->what));
}

TEST_F_TIMEOUT(kick, moving, 60)
{
	pthread_t thread;

	start_guest(&self->target, guest_spins_and_sends);
	start_disturbing(&self->target, &thread, mover);
	EXPECT_EQ(KICKS, send_all(&self->target, variant->what));
	stop_disturbing(thread);
	EXPECT_TRUE(stop_guest(&self->target, variant->what));
}

TEST_F_TIMEOUT(kick, moving_asleep, 60)
{
	pthread_t thread;

	start_guest(&self->target, guest_sleeps);
	start_disturbing(&self->target, &thread, mover);
	EXPECT_EQ(KICKS, send_all(&self->target, variant->what));
	stop_disturbing(thread);
	EXPECT_TRUE(stop_guest(&self->target, variant->what));
}

static pid_t owner;

static void remove_probes(void)
{
	if (getpid() != owner)
		return;
	trace_remove("kick");
	trace_remove("atomic");
	trace_remove("out");
	trace_remove("ipi");
}

/* A kick has two names: 7.2's can also wait. Where kprobes can be set, all of these must be. */
static void add_probes(void)
{
	owner = getpid();
	atexit(remove_probes);
	TEST_ASSERT(trace_probe('p', "kick", "__kvm_vcpu_kick") ||
		    trace_probe('p', "kick", "kvm_vcpu_kick"), "no kvm_vcpu_kick");
	TEST_ASSERT(trace_probe('p', "atomic", "kvm_arch_vcpu_should_kick") &&
		    trace_probe('r', "out", "kvm_arch_vcpu_should_kick ret=$retval:u8"),
		    "no kvm_arch_vcpu_should_kick");
	can_send = trace_probe('p', "ipi", "native_smp_send_reschedule cpu=%di:s32");
	TEST_ASSERT(can_send || get_nprocs_conf() == 1, "no native_smp_send_reschedule");
}

int main(int argc, char **argv)
{
	find_cpus();
	can_count = trace_find();
	if (can_count)
		add_probes();
	return test_harness_run(argc, argv);
}
