// SPDX-License-Identifier: GPL-2.0
/*
 * What an event costs, for make bench: by the TSC, which counts instructions where the machine
 * is emulated to be exact (QEMU's icount, Bochs). The guest's TSC is the host's.
 *
 * event_costs roundtrip: from one instruction of the guest through a VM-Exit to the next.
 * event_costs deliver N: from where an event arises to where the guest sees it first, in a VM
 * of N vCPUs, of which those that have no part in it wait for SIPI.
 * event_costs kicks: says nothing itself; who counts the instructions of a kick looks on
 * (scripts/paths.py).
 */
#include "bench.h"
#include "event_pmu.h"
#include "nested_event_test.h"
#include "svm_util.h"
#include "vmx.h"

#define WARM_UP		8
#define SAMPLES		20
#define EVENT_VECTOR	0x61
#define ICR		0x300
#define ICR_SELF	0x40000
/* Where an AP in real mode leaves its TSC. */
#define AP_TSC		0x9800
#define EXIT_INIT_SVM	0x63
#define EXIT_INIT_VMX	3
#define EXIT_SIPI_VMX	4
#define WAIT_FOR_SIPI	3
#define L2_STACK_SIZE	4096

enum path {
	NO_REQUEST,
	EVENT,
	PMU,
	PMI,
	NMI,
	SMI,
	IRQ,
	PATHS,
};

static const char * const names[PATHS] = {
	[NO_REQUEST] = "roundtrip.no_request",
	[EVENT] = "roundtrip.event",
	[PMU] = "roundtrip.pmu",
	[PMI] = "roundtrip.pmi",
	[NMI] = "roundtrip.nmi",
	[SMI] = "roundtrip.smi",
	[IRQ] = "roundtrip.irq",
};

/* Something else is measured from here on: a read of /dev/lab_pmu, which scripts/paths.py sees. */
static void mark(void)
{
	lab_pmu_overflows();
}

static u64 costs[PATHS][SAMPLES];
static u64 sent, seen;
/* Of the vCPU that gets NMIs by IPI. */
static int ready, handled;
static u8 l2_stack[L2_STACK_SIZE] __aligned(16);

static void keep(enum path path, int i, u64 cost)
{
	if (i >= WARM_UP)
		costs[path][i - WARM_UP] = cost;
}

static void on_nmi(struct ex_regs *regs)
{
	seen = rdtsc();
}

static void on_irq(struct ex_regs *regs)
{
	x2apic_write_reg(APIC_EOI, 0);
}

/* Prepares what the next overflow needs, with the counter on: this counts too. */
static void arm_pmi(void)
{
	if (intel)
		wrmsr(0x390, 1);
	x2apic_write_reg(LVTPC, APIC_DM_NMI);
	arm(0, 2);
}

/* @what on each way @before which something has to be done. */
#define MEASURE(path, before, what)					\
do {									\
	u64 __from;							\
	int __i;							\
									\
	for (__i = 0; __i < WARM_UP + SAMPLES; __i++) {			\
		before;							\
		__from = rdtsc();					\
		what;							\
		keep(path, __i, rdtsc() - __from);			\
	}								\
} while (0)

static void guest_roundtrips(void)
{
	u32 a, b, c, d;

	x2apic_enable();
	MEASURE(NO_REQUEST, (void)0, __cpuid(0, 0, &a, &b, &c, &d));
	/* Of a counter that is off, every second time with its interrupt. */
	MEASURE(PMU, (void)0, wrmsr(control_msr(1), __i & 1 ? EVENT_TOLD : EVENT_TOLD | 1 << 20));
	start_counter(0);
	MEASURE(PMI, arm_pmi(), __cpuid(0, 0, &a, &b, &c, &d));
	stop_counter(0);
	MEASURE(NMI, (void)0, x2apic_write_reg(ICR, ICR_SELF | APIC_DM_NMI));
	MEASURE(SMI, (void)0, x2apic_write_reg(ICR, ICR_SELF | 0x200));
	asm volatile("sti");
	MEASURE(IRQ, (void)0, x2apic_write_reg(ICR, ICR_SELF | EVENT_VECTOR));
	/* An interrupt that the priority keeps back: there is nothing to inject. */
	x2apic_write_reg(APIC_TASKPRI, 0xff);
	MEASURE(EVENT, (void)0, x2apic_write_reg(ICR, ICR_SELF | EVENT_VECTOR));
	guest_stops(0);
}

static struct kvm_vm *create(struct kvm_vcpu **vcpu, void *guest_code)
{
	struct kvm_vm *vm = vm_create_with_one_vcpu(vcpu, guest_code);
	struct kvm_lapic_state lapic;

	vm_install_exception_handler(vm, NMI_VECTOR, on_nmi);
	vm_install_exception_handler(vm, EVENT_VECTOR, on_irq);
	sync_global_to_guest(vm, intel);
	use_tsc_of_host(*vcpu);
	/* KVM finds a new vCPU's APIC by its ID only once that APIC's state was written. */
	vcpu_ioctl(*vcpu, KVM_GET_LAPIC, &lapic);
	vcpu_ioctl(*vcpu, KVM_SET_LAPIC, &lapic);
	return vm;
}

static void roundtrips(void)
{
	static const u8 rsm[] = { 0x0f, 0xaa };
	struct ap ap = { };
	struct kvm_vm *vm = create(&ap.vcpu, guest_roundtrips);
	int path, i;

	TEST_ASSERT(has_counter(ap.vcpu), "the vCPU has no performance counter");
	ap_add_smi_code(&ap, rsm, sizeof(rsm));
	run_to_stop(ap.vcpu);
	sync_global_from_guest(vm, costs);
	for (path = 0; path < PATHS; path++) {
		for (i = 0; i < SAMPLES; i++)
			sample(names[path], 0, costs[path][i]);
	}
	kvm_vm_free(vm);
}

static void add_vcpus(struct kvm_vm *vm, int first, int n)
{
	int i;

	for (i = first; i < n; i++)
		vm_vcpu_add(vm, i, never_run);
}

static void guest_waits(void)
{
	x2apic_enable();
	for (;;)
		guest_stops(0);
}

static void nmi_by_ioctl(int n)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create(&vcpu, guest_waits);
	u64 from;
	int i;

	add_vcpus(vm, 1, n);
	run_to_stop(vcpu);
	for (i = 0; i < WARM_UP + SAMPLES; i++) {
		from = rdtsc();
		vcpu_ioctl(vcpu, KVM_NMI, NULL);
		run_to_stop(vcpu);
		sync_global_from_guest(vm, seen);
		if (i >= WARM_UP)
			sample("deliver.nmi_ioctl", n, seen - from);
	}
	kvm_vm_free(vm);
}

static void guest_gets_pmis(void)
{
	u32 a, b, c, d;
	int i;

	x2apic_enable();
	start_counter(0);
	for (i = 0; i < WARM_UP + SAMPLES; i++) {
		arm_pmi();
		sent = rdtsc();
		__cpuid(0, 0, &a, &b, &c, &d);
		keep(PMI, i, seen - sent);
	}
	guest_stops(0);
}

static void by_pmi(int n)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm = create(&vcpu, guest_gets_pmis);
	int i;

	add_vcpus(vm, 1, n);
	run_to_stop(vcpu);
	sync_global_from_guest(vm, costs);
	for (i = 0; i < SAMPLES; i++)
		sample("deliver.pmi", n, costs[PMI][i]);
	kvm_vm_free(vm);
}

static void on_nmi_ipi(struct ex_regs *regs)
{
	seen = rdtsc();
	WRITE_ONCE(handled, handled + 1);
	/* To the sender, which sleeps. */
	x2apic_write_reg(ICR, EVENT_VECTOR);
}

static void guest_gets_ipis(void)
{
	x2apic_enable();
	WRITE_ONCE(ready, 1);
	for (;;)
		asm volatile("hlt");
}

/* On one CPU the receiver runs when the sender sleeps. */
static void guest_sends_ipis(void)
{
	int i;

	x2apic_enable();
	while (!READ_ONCE(ready))
		guest_stops(1);
	for (i = 0; i < WARM_UP + SAMPLES; i++) {
		sent = rdtsc();
		x2apic_write_reg(ICR, 1ull << 32 | APIC_DM_NMI);
		asm volatile("cli");
		while (READ_ONCE(handled) <= i)
			asm volatile("sti; hlt; cli");
		keep(NMI, i, seen - sent);
	}
	guest_stops(0);
}

static void nmi_by_ipi(int n)
{
	struct kvm_vcpu *sender;
	struct kvm_vm *vm = create(&sender, guest_sends_ipis);
	struct ap receiver = { };
	int i;

	if (n < 2) {
		absent("deliver.nmi_ipi", n, "there is no other vCPU");
		kvm_vm_free(vm);
		return;
	}
	vm_install_exception_handler(vm, NMI_VECTOR, on_nmi_ipi);
	receiver.vcpu = vm_vcpu_add(vm, 1, guest_gets_ipis);
	add_vcpus(vm, 2, n);
	use_tsc_of_host(receiver.vcpu);
	vcpu_mp_state_set(receiver.vcpu, &(struct kvm_mp_state){ KVM_MP_STATE_RUNNABLE });
	ap_start(&receiver);
	while (run_to_stop(sender))
		usleep(10000);
	TEST_ASSERT(ap_stop(&receiver), "the receiver doesn't end");
	sync_global_from_guest(vm, costs);
	for (i = 0; i < SAMPLES; i++)
		sample("deliver.nmi_ipi", n, costs[NMI][i]);
	kvm_vm_free(vm);
}

static void by_init_sipi(int n)
{
	/* rdtsc; mov [AP_TSC], eax; mov [AP_TSC + 4], edx; out PORT_STARTED, al; 1: hlt; jmp 1b */
	static const u8 code[] = {
		0x0f, 0x31,
		0x66, 0xa3, AP_TSC & 0xff, AP_TSC >> 8,
		0x66, 0x89, 0x16, (AP_TSC + 4) & 0xff, (AP_TSC + 4) >> 8,
		0xe6, PORT_STARTED,
		0xf4, 0xeb, 0xfd,
	};
	struct ap ap = { };
	u64 from;
	int i;

	if (n < 2) {
		absent("deliver.init_sipi", n, "there is no AP");
		return;
	}
	ap_create(&ap, KVM_MP_STATE_UNINITIALIZED);
	memcpy(addr_gpa2hva(ap.vcpu->vm, AP_START), code, sizeof(code));
	add_vcpus(ap.vcpu->vm, 2, n);
	use_tsc_of_host(ap.vcpu);
	for (i = 0; i < WARM_UP + SAMPLES; i++) {
		from = rdtsc();
		ap_send(&ap, MSI_DM_INIT);
		ap_send(&ap, MSI_DM_STARTUP | AP_VECTOR);
		/* An uninitialized vCPU takes the INIT in a call of its own. */
		while (__vcpu_run(ap.vcpu))
			TEST_ASSERT(errno == EAGAIN, "KVM_RUN: errno %d", errno);
		TEST_ASSERT(ap_port(&ap) == PORT_STARTED, "exit at %x", ap_port(&ap));
		if (i >= WARM_UP)
			sample("deliver.init_sipi", n,
			       *(u64 *)addr_gpa2hva(ap.vcpu->vm, AP_TSC) - from);
	}
	kvm_vm_free(ap.vcpu->vm);
}

static void l2_code(void)
{
	tell(PORT_L2, 0);
}

static void l1_svm(struct svm_test_data *svm)
{
	generic_svm_setup(svm, l2_code, l2_stack + L2_STACK_SIZE);
	svm->vmcb->control.intercept |= 1ull << INTERCEPT_INIT;
	run_guest(svm->vmcb, svm->vmcb_gpa);
	seen = rdtsc();
	tell(PORT_EXIT, svm->vmcb->control.exit_code);
}

static u32 activity;

static void l1_vmx(struct vmx_pages *vmx)
{
	GUEST_ASSERT(prepare_for_vmx_operation(vmx));
	GUEST_ASSERT(load_vmcs(vmx));
	prepare_vmcs(vmx, l2_code, l2_stack + L2_STACK_SIZE);
	vmwrite(GUEST_ACTIVITY_STATE, activity);
	tell(PORT_L1, 0);
	GUEST_ASSERT(!vmlaunch());
	seen = rdtsc();
	tell(PORT_EXIT, vmreadz(VM_EXIT_REASON));
}

/* INIT to an L2 that runs; or SIPI to one that waits for it. A VM each, as INIT may stay. */
static void nested(const char *id, int n, u32 state, u32 what, u32 exit)
{
	struct ap ap = { };
	struct kvm_vm *vm;
	u64 l1_arg, from;
	int i;

	for (i = 0; i < SAMPLES / 4; i++) {
		nested_ap_create(&ap, true, intel ? (void *)l1_vmx : (void *)l1_svm);
		vm = ap.vcpu->vm;
		add_vcpus(vm, 1, n);
		if (intel)
			vcpu_alloc_vmx(vm, &l1_arg);
		else
			vcpu_alloc_svm(vm, &l1_arg);
		vcpu_args_set(ap.vcpu, 1, l1_arg);
		use_tsc_of_host(ap.vcpu);
		activity = state;
		sync_global_to_guest(vm, activity);
		if (intel)
			TEST_ASSERT(ap_run_for(&ap, LIMIT_MS) == PORT_L1, "no L1");
		TEST_ASSERT(ap_run_for(&ap, state ? 100 : LIMIT_MS) == (state ? -EINTR : PORT_L2),
			    "L2: %x", ap_port(&ap));
		from = rdtsc();
		ap_send(&ap, what);
		if (ap_run_for(&ap, LIMIT_MS) != PORT_EXIT || ap_told(&ap) != exit) {
			/* As before KVM 5.11. */
			absent(id, n, "L1 is not asked: the event is taken from it");
			kvm_vm_free(vm);
			return;
		}
		sync_global_from_guest(vm, seen);
		sample(id, n, seen - from);
		kvm_vm_free(vm);
	}
}

#define KICKS	8

static void guest_kicks_itself(void)
{
	int i;

	x2apic_enable();
	for (i = 0; i < KICKS; i++)
		x2apic_write_reg(ICR, ICR_SELF | EVENT_VECTOR);
	guest_stops(0);
}

static void guest_spins(void)
{
	asm volatile("sti");
	for (;;)
		WRITE_ONCE(ready, 1);
}

static void guest_halts(void)
{
	x2apic_enable();
	for (;;)
		asm volatile("sti; hlt");
}

/* NMIs, as each of them kicks. */
static void kick(struct ap *ap)
{
	int i;

	mark();
	for (i = 0; i < KICKS; i++) {
		usleep(20000);
		ap_send(ap, MSI_DM_NMI);
	}
}

static void kicks(void)
{
	struct ap ap = { };
	struct kvm_vm *vm;

	find_cpus();
	TEST_ASSERT(nr_cpus == 2, "needs two CPUs, to kick one from the other");
	run_on(pthread_self(), cpus[0]);

	vm = create(&ap.vcpu, guest_kicks_itself);
	mark();
	run_to_stop(ap.vcpu);
	kvm_vm_free(vm);

	vm = create(&ap.vcpu, guest_spins);
	ap_start(&ap);
	run_on(ap.thread, cpus[1]);
	TEST_ASSERT(wait_for((sync_global_from_guest(vm, ready), ready)), "the guest doesn't run");
	kick(&ap);
	TEST_ASSERT(ap_stop(&ap), "the vCPU doesn't end");
	/* Its thread is in userspace. */
	kick(&ap);
	kvm_vm_free(vm);

	vm = create(&ap.vcpu, guest_halts);
	ap_start(&ap);
	run_on(ap.thread, cpus[1]);
	usleep(100000);
	kick(&ap);
	TEST_ASSERT(ap_stop(&ap), "the vCPU doesn't end");
	kvm_vm_free(vm);
	mark();
}

static void deliveries(int n)
{
	mark();
	nmi_by_ioctl(n);
	mark();
	nmi_by_ipi(n);
	mark();
	by_pmi(n);
	mark();
	by_init_sipi(n);
	mark();
	nested("deliver.nested_init", n, 0, MSI_DM_INIT, intel ? EXIT_INIT_VMX : EXIT_INIT_SVM);
	if (intel)
		nested("deliver.nested_sipi", n, WAIT_FOR_SIPI, MSI_DM_STARTUP | AP_VECTOR,
		       EXIT_SIPI_VMX);
	else
		absent("deliver.nested_sipi", n, "SVM has no exit for a SIPI");
}

int main(int argc, char **argv)
{
	intel = host_cpu_is_intel;
	if (argc == 2 && !strcmp(argv[1], "roundtrip"))
		roundtrips();
	else if (argc == 3 && !strcmp(argv[1], "deliver") && atoi(argv[2]) > 0)
		deliveries(atoi(argv[2]));
	else if (argc == 2 && !strcmp(argv[1], "kicks"))
		kicks();
	else
		return bad_usage("event_costs roundtrip | deliver VCPUS | kicks");
	return 0;
}
