// SPDX-License-Identifier: GPL-2.0
/*
 * How often, and how long, for make bench.
 *
 * event_rates wait: CPU time of a vCPU that waits for SIPI with an NMI queued.
 * event_rates again N: how often KVM_RUN of an uninitialized AP returns -EAGAIN, and what N such
 * do to a vCPU that works, in a monitor that takes one lock at each return, as QEMU does.
 * event_rates load MS: VM-Enters that are cancelled, in a guest that samples as fast as it can.
 * event_rates both: NMIs for one VM-Exit in which perf and KVM find an overflow each.
 */
#include "bench.h"
#include "event_pmu.h"
#include "event_trace.h"

#define WINDOW_MS	300
#define WORK_PORT	0xed
#define CPUIDS		2000
#define BOTH_ROUNDS	100
/*
 * vcpu->requests, where both kernel lines have it, and of them NMI, PMI and SMI: what a wrong
 * order of service leaves behind. (With the defects, that is every one: seen if not.) Not PMU:
 * KVM makes that request too when the scheduler puts the vCPU thread back on a CPU, and that can
 * be behind the service of requests.
 */
#define REQUESTS	"req=+0x38(%di):x64"
#define SERVED		"req & 0x1a0000"
/* What the guest that samples overflows with, its handler's own instructions among them. */
#define LOAD_PERIOD	4

static int nmis;

/* One AP or the vCPU that works; all of a VM's take one lock. */
struct thread {
	struct ap ap;
	long returns, again;
};

static pthread_mutex_t monitor = PTHREAD_MUTEX_INITIALIZER;
static bool stop;

static void *run_vcpu(void *arg)
{
	struct thread *t = arg;
	bool again;

	while (!READ_ONCE(stop)) {
		again = __vcpu_run(t->ap.vcpu) && errno == EAGAIN;
		pthread_mutex_lock(&monitor);
		WRITE_ONCE(t->returns, t->returns + 1);
		t->again += again;
		pthread_mutex_unlock(&monitor);
	}
	WRITE_ONCE(t->ap.ended, true);
	return NULL;
}

static void guest_works(void)
{
	for (;;)
		asm volatile("outb %%al, %w0" : : "Nd"(WORK_PORT));
}

/* An AP that was reset; and then got an NMI, or not. */
static void add_ap(struct kvm_vm *vm, struct thread *t, int id, bool nmi)
{
	struct kvm_mp_state state = { .mp_state = KVM_MP_STATE_UNINITIALIZED };

	t->ap.vcpu = vm_vcpu_add(vm, id, never_run);
	vcpu_mp_state_set(t->ap.vcpu, &state);
	set_pending_nmis(t->ap.vcpu, 0);
	if (nmi)
		vcpu_ioctl(t->ap.vcpu, KVM_NMI, NULL);
}

static void start_thread(struct thread *t)
{
	t->returns = 0;
	t->again = 0;
	t->ap.ended = false;
	TEST_ASSERT(!pthread_create(&t->ap.thread, NULL, run_vcpu, t), "pthread_create");
}

/* What vCPU 0 does in a second beside @n APs, and how often they came back. */
static double work_beside(int n, bool nmi, double *again)
{
	struct thread *threads = calloc(n + 1, sizeof(*threads));
	long work, start, ms, i;
	struct kvm_vm *vm;

	vm = vm_create_with_one_vcpu(&threads[0].ap.vcpu, guest_works);
	for (i = 1; i <= n; i++)
		add_ap(vm, &threads[i], i, nmi);
	stop = false;
	for (i = 0; i <= n; i++)
		start_thread(&threads[i]);
	usleep(100000);
	for (i = 1, *again = 0; i <= n; i++)
		*again -= READ_ONCE(threads[i].again);
	work = READ_ONCE(threads[0].returns);
	start = now_ms();
	usleep(WINDOW_MS * 1000);
	ms = now_ms() - start;
	work = READ_ONCE(threads[0].returns) - work;
	for (i = 1; i <= n; i++)
		*again += READ_ONCE(threads[i].again);
	WRITE_ONCE(stop, true);
	for (i = 0; i <= n; i++)
		TEST_ASSERT(ap_stop(&threads[i].ap), "vCPU %ld does not end", i);
	kvm_vm_free(vm);
	free(threads);
	*again = *again * 1000 / ms;
	return work * 1000.0 / ms;
}

static void come_back(int n)
{
	double alone, beside, returns;
	int nmi;

	for (nmi = 0; nmi < 2; nmi++) {
		alone = work_beside(0, nmi, &returns);
		beside = work_beside(n, nmi, &returns);
		sample(nmi ? "again.nmi" : "again.no_nmi", n, returns);
		sample(nmi ? "progress.nmi" : "progress.no_nmi", n, beside * 100 / alone);
	}
}

static void wait_for_sipi(void)
{
	struct ap ap = { };
	long cpu, start;

	ap_create(&ap, KVM_MP_STATE_INIT_RECEIVED);
	vcpu_ioctl(ap.vcpu, KVM_NMI, NULL);
	ap_start(&ap);
	usleep(100000);
	cpu = thread_cpu_ms(ap.thread);
	start = now_ms();
	usleep(WINDOW_MS * 1000);
	cpu = thread_cpu_ms(ap.thread) - cpu;
	sample("wait.cpu", 0, cpu * 1000.0 / (now_ms() - start));
	TEST_ASSERT(ap_stop(&ap), "the vCPU does not end");
	kvm_vm_free(ap.vcpu->vm);
}

static void on_pmi(struct ex_regs *regs)
{
	WRITE_ONCE(nmis, nmis + 1);
	arm(0, LOAD_PERIOD);
	if (intel) {
		wrmsr(0x390, 1);
		x2apic_write_reg(LVTPC, APIC_DM_NMI);
	}
}

static void guest_samples(void)
{
	u32 a, b, c, d;
	int i;

	x2apic_enable();
	x2apic_write_reg(LVTPC, APIC_DM_NMI);
	arm(0, LOAD_PERIOD);
	start_counter(0);
	for (;;) {
		for (i = 0; i < CPUIDS; i++)
			__cpuid(0, 0, &a, &b, &c, &d);
		guest_stops(0);
	}
}

static struct kvm_vm *create(struct kvm_vcpu **vcpu, void *guest_code)
{
	struct kvm_vm *vm = vm_create_with_one_vcpu(vcpu, guest_code);

	vm_install_exception_handler(vm, NMI_VECTOR, on_pmi);
	sync_global_to_guest(vm, intel);
	TEST_ASSERT(has_counter(*vcpu), "the vCPU has no performance counter");
	return vm;
}

static void cancelled_under_load(int least_ms)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create(&vcpu, guest_samples);
	long start, ms, hits, by_order;
	int fd, by_order_fd;

	TEST_ASSERT(trace_find() &&
		    trace_probe('p', "cancelled", intel ?
				"vmx_cancel_injection " REQUESTS :
				"svm_cancel_injection " REQUESTS),
		    "no kprobe on the cancelling of VM-Enters");
	run_to_stop(vcpu);
	fd = trace_count("cancelled", NULL);
	by_order_fd = trace_count("cancelled", SERVED);
	nmis = 0;
	sync_global_to_guest(vm, nmis);
	start = now_ms();
	do {
		run_to_stop(vcpu);
		ms = now_ms() - start;
	} while (ms < least_ms);
	hits = trace_hits(fd);
	by_order = trace_hits(by_order_fd);
	trace_remove("cancelled");
	sync_global_from_guest(vm, nmis);
	TEST_ASSERT(nmis > CPUIDS / 4, "%d PMIs", nmis);
	sample("cancelled.per_10s", 0, hits * 10000.0 / ms);
	sample("cancelled.per_1000_pmis", 0, hits * 1000.0 / nmis);
	sample("cancelled.by_order", 0, by_order * 10000.0 / ms);
	kvm_vm_free(vm);
}

static void on_both(struct ex_regs *regs)
{
	nmis++;
}

static void guest_overflows_twice(void)
{
	u32 a, b, c, d;

	x2apic_enable();
	for (;;) {
		x2apic_write_reg(LVTPC, APIC_DM_NMI);
		arm(0, 1000);
		start_counter_of(0, EVENT_TOLD);
		/* The WRMSR, the stop, the CPUID. */
		arm(1, 3);
		start_counter(1);
		guest_stops(0);
		__cpuid(0, 0, &a, &b, &c, &d);
		stop_counter(0);
		stop_counter(1);
		if (intel)
			wrmsr(0x390, 3);
	}
}

static void both_sources(void)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create(&vcpu, guest_overflows_twice);
	int i, before;

	find_cpus();
	run_on(pthread_self(), cpus[0]);
	vm_install_exception_handler(vm, NMI_VECTOR, on_both);
	set_guest_vendor(vcpu, "AuthenticAMD");
	run_to_stop(vcpu);
	for (i = 0; i < BOTH_ROUNDS; i++) {
		before = nmis;
		lab_pmu_tell("%d %#x %s 2", cpus[0], EVENT_TOLD, i & 1 ? "nmi" : "irq");
		run_to_stop(vcpu);
		sync_global_from_guest(vm, nmis);
		if (i % 10 == 9)
			sample("both.nmis", 0, nmis - before);
	}
	TEST_ASSERT(lab_pmu_overflows() >= BOTH_ROUNDS, "not all of perf's overflows came");
	kvm_vm_free(vm);
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = wake_only };

	intel = host_cpu_is_intel;
	sigaction(SIGUSR1, &sa, NULL);
	if (argc == 2 && !strcmp(argv[1], "wait"))
		wait_for_sipi();
	else if (argc == 3 && !strcmp(argv[1], "again") && atoi(argv[2]) > 0)
		come_back(atoi(argv[2]));
	else if (argc == 3 && !strcmp(argv[1], "load") && atoi(argv[2]) > 0)
		cancelled_under_load(atoi(argv[2]));
	else if (argc == 2 && !strcmp(argv[1], "both"))
		both_sources();
	else
		return bad_usage("event_rates wait | again APS | load MS | both");
	return 0;
}
