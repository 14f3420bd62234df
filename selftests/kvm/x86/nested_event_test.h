/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the tests of events and nested virtualisation: a vCPU that runs L1 and L2, and
 * tells by the ports that it writes to where it is. It is stopped at each, and only there is
 * anything sent to it: what comes next is the same every time.
 */
#ifndef SELFTEST_KVM_NESTED_EVENT_TEST_H
#define SELFTEST_KVM_NESTED_EVENT_TEST_H

#include <sys/time.h>

#include "event_test.h"

/* Where a BSP goes on INIT. */
#define RESET_PAGE	0xfffff000
#define RESET_SLOT	1

#define PORT_RESET	0xe4
#define PORT_L1		0xe5
#define PORT_EXIT	0xe7	/* L2's exit, with its code or reason */
#define PORT_L2		0xe8	/* L2 runs */

static inline void tell(u16 port, u32 what)
{
	asm volatile("outl %0, %w1" : : "a"(what), "Nd"(port) : "memory");
}

/* What came with the port that the vCPU was last stopped at. */
static inline u32 ap_told(struct ap *ap)
{
	struct kvm_run *run = ap->vcpu->run;

	return ap_port(ap) < 0 ? 0 : *(u32 *)((void *)run + run->io.data_offset);
}

/* A VM whose BSP or AP runs @l1. */
static inline void nested_ap_create(struct ap *ap, bool is_bsp, void *l1)
{
	/* out PORT_RESET, al; 1: hlt; jmp 1b */
	static const u8 reset[] = { 0xe6, PORT_RESET, 0xf4, 0xeb, 0xfd };
	struct kvm_lapic_state lapic;
	struct kvm_vcpu *bsp;
	struct kvm_vm *vm;

	vm = vm_create_with_one_vcpu(&bsp, is_bsp ? l1 : (void *)never_run);
	ap->vcpu = is_bsp ? bsp : vm_vcpu_add(vm, 1, l1);
	ap->ended = true;
	vm_enable_cap(vm, KVM_CAP_EXCEPTION_PAYLOAD, 1);
	ap_add_code(vm);
	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, RESET_PAGE, RESET_SLOT, 1, 0);
	memcpy(addr_gpa2hva(vm, RESET_PAGE) + 0xff0, reset, sizeof(reset));
	/* KVM finds a new vCPU's APIC by its ID only once that APIC's state was written. */
	vcpu_ioctl(ap->vcpu, KVM_GET_LAPIC, &lapic);
	vcpu_ioctl(ap->vcpu, KVM_SET_LAPIC, &lapic);
}

/* As KVM_X86_SET_MCE reports a machine check. */
static inline void add_machine_check(struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_events events;

	vcpu_events_get(vcpu, &events);
	events.flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	events.exception.pending = 1;
	events.exception.nr = MC_VECTOR;
	events.exception.has_error_code = 0;
	events.exception_has_payload = 0;
	vcpu_events_set(vcpu, &events);
}

static inline void add_triple_fault(struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_events events;

	vcpu_events_get(vcpu, &events);
	events.flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	events.triple_fault.pending = 1;
	vcpu_events_set(vcpu, &events);
}

/* Saves the vCPU and restores it in a VM that has only the memory of the old one. */
static inline void nested_ap_restore(struct ap *ap)
{
	struct kvm_vm *vm = ap->vcpu->vm;
	struct kvm_mp_state mp_state;
	struct kvm_lapic_state lapic;
	struct kvm_x86_state *state;
	u32 id = ap->vcpu->id;

	/*
	 * KVM_GET_MP_STATE takes an INIT, and with it the vCPU may leave L2 and drop other
	 * events, so it goes first. The library gets the events before it.
	 */
	vcpu_run_complete_io(ap->vcpu);
	vcpu_mp_state_get(ap->vcpu, &mp_state);
	state = vcpu_save_state(ap->vcpu);
	vcpu_ioctl(ap->vcpu, KVM_GET_LAPIC, &lapic);
	kvm_vm_release(vm);

	kvm_vm_restart(vm);
	vm_enable_cap(vm, KVM_CAP_EXCEPTION_PAYLOAD, 1);
	ap->vcpu = vm_vcpu_recreate(vm, id);
	vcpu_load_state(ap->vcpu, state);
	/* Again: KVM_SET_REGS, which the library has behind it, drops a pending exception. */
	vcpu_events_set(ap->vcpu, &state->events);
	vcpu_ioctl(ap->vcpu, KVM_SET_LAPIC, &lapic);
	kvm_x86_state_cleanup(state);
}

/*
 * Runs the vCPU in this thread: every other one would wait for RCU first. Returns the port
 * that it comes to, or -EINTR if it comes to none within @ms.
 */
static inline int ap_run_for(struct ap *ap, int ms)
{
	/* Again and again, as the first may come before KVM_RUN. */
	struct itimerval timer = {
		.it_value = { ms / 1000, ms % 1000 * 1000 },
		.it_interval = { 0, 10000 },
	};
	struct sigaction sa = { .sa_handler = wake_only };

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	ap->err = __vcpu_run(ap->vcpu) ? errno : 0;
	timer = (struct itimerval) { };
	setitimer(ITIMER_REAL, &timer, NULL);
	return ap_port(ap);
}

/* Runs the vCPU to each of these ports in turn. */
#define ASSERT_RUNS_TO(ap, ...)						\
do {									\
	static const int __ports[] = { __VA_ARGS__ };			\
	int __i;							\
									\
	for (__i = 0; __i < ARRAY_SIZE(__ports); __i++)			\
		ASSERT_EQ(__ports[__i], ap_run_for(ap, LIMIT_MS));	\
} while (0)

#endif /* SELFTEST_KVM_NESTED_EVENT_TEST_H */
