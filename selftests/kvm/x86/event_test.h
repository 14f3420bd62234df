/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the event delivery tests: an AP whose thread sits in KVM_RUN, what is sent to
 * it, and how much it ran meanwhile. Every wait has a limit.
 */
#ifndef SELFTEST_KVM_EVENT_TEST_H
#define SELFTEST_KVM_EVENT_TEST_H

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#include <linux/compiler.h>
#include <linux/kernel.h>

#include "kvm_test_harness.h"
#include "kvm_util.h"
#include "processor.h"
#include "test_util.h"

#define MSI_DM_NMI	0x400
#define MSI_DM_INIT	0x500
#define MSI_DM_STARTUP	0x600

/* Where an AP starts in real mode, and the ports that tell how far it came. */
#define AP_START	0x9000
#define AP_NMI		0x9100
/* Where it goes on an SMI: 0x8000 above its SMBASE, in SMM's own address space. */
#define AP_SMRAM	0x1000000
#define AP_SMRAM_PAGES	16
#define AP_SMRAM_SLOT	(1 << 16 | 1)
#define AP_VECTOR	(AP_START >> 12)
#define PORT_STARTED	0xe0
#define PORT_NMI	0xe1
#define PORT_LATER	0xe2
#define PORT_SMI	0xe3

/* A vCPU that sleeps uses next to nothing; one that spins, most of the time. */
#define WATCH_MS	300
#define IDLE_MS		(WATCH_MS / 5)
/* How long something that must happen may take on an emulated machine. */
#define LIMIT_MS	10000

static inline long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Whether @condition came true within the limit; looks often. */
#define wait_for(condition)						\
({									\
	long __end = now_ms() + LIMIT_MS;				\
									\
	while (!(condition) && now_ms() < __end)			\
		usleep(50);						\
	(condition);							\
})

/* The CPUs that this process may use, of which two are enough. */
static int cpus[2];
static int nr_cpus;

static inline void find_cpus(void)
{
	cpu_set_t set;
	int i;

	TEST_ASSERT(!sched_getaffinity(0, sizeof(set), &set), "sched_getaffinity");
	for (i = 0; i < CPU_SETSIZE && nr_cpus < 2; i++) {
		if (CPU_ISSET(i, &set))
			cpus[nr_cpus++] = i;
	}
	if (nr_cpus == 1)
		cpus[1] = cpus[0];
}

static inline void run_on(pthread_t thread, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	TEST_ASSERT(!pthread_setaffinity_np(thread, sizeof(set), &set), "to CPU %d", cpu);
}

struct ap {
	struct kvm_vcpu *vcpu;
	pthread_t thread;
	long again;	/* KVM_RUN returned -EAGAIN so often */
	int err;	/* what ended the thread: an errno, or 0 for an exit */
	bool ended;
	bool stop;	/* to end even if it spins */
};

static inline void wake_only(int sig)
{
}

static inline void *ap_run(void *arg)
{
	struct ap *ap = arg;

	for (;;) {
		if (!__vcpu_run(ap->vcpu)) {
			ap->err = 0;
			break;
		}
		/* A signal that comes between two calls ends neither. */
		if (errno != EAGAIN || READ_ONCE(ap->stop)) {
			ap->err = errno == EAGAIN ? EINTR : errno;
			break;
		}
		WRITE_ONCE(ap->again, ap->again + 1);
	}
	WRITE_ONCE(ap->ended, true);
	return NULL;
}

static inline void ap_start(struct ap *ap)
{
	struct sigaction sa = { .sa_handler = wake_only };

	ap->again = 0;
	ap->ended = false;
	ap->stop = false;
	sigaction(SIGUSR1, &sa, NULL);
	TEST_ASSERT(!pthread_create(&ap->thread, NULL, ap_run, ap), "pthread_create");
}

/* Whether the thread ended by itself within the limit. */
static inline bool ap_wait(struct ap *ap)
{
	int ms;

	for (ms = 0; ms < LIMIT_MS && !READ_ONCE(ap->ended); ms++)
		usleep(1000);
	if (!READ_ONCE(ap->ended))
		return false;
	pthread_join(ap->thread, NULL);
	return true;
}

/* Ends the thread by a signal; a vCPU that spins may need more than one. */
static inline bool ap_stop(struct ap *ap)
{
	int ms;

	WRITE_ONCE(ap->stop, true);
	for (ms = 0; ms < LIMIT_MS && !READ_ONCE(ap->ended); ms += 10) {
		pthread_kill(ap->thread, SIGUSR1);
		usleep(10000);
	}
	return ap_wait(ap);
}

static inline long thread_cpu_ms(pthread_t thread)
{
	struct timespec ts;
	clockid_t clock;

	TEST_ASSERT(!pthread_getcpuclockid(thread, &clock), "pthread_getcpuclockid");
	TEST_ASSERT(!clock_gettime(clock, &ts), "clock_gettime");
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Prints and checks that the AP's thread sleeps in KVM_RUN. */
#define EXPECT_SLEEPS(ap)						\
do {									\
	long __cpu, __again;						\
									\
	usleep(100000);							\
	/* A thread that ended has no clock any more. */		\
	ASSERT_FALSE(READ_ONCE((ap)->ended)) {				\
		TH_LOG("KVM_RUN ended: errno %d, exit %d", (ap)->err,	\
		       (ap)->vcpu->run->exit_reason);			\
	}								\
	__cpu = thread_cpu_ms((ap)->thread);				\
	__again = READ_ONCE((ap)->again);				\
	usleep(WATCH_MS * 1000);					\
	ASSERT_FALSE(READ_ONCE((ap)->ended));				\
	__cpu = thread_cpu_ms((ap)->thread) - __cpu;			\
	__again = READ_ONCE((ap)->again) - __again;			\
	TH_LOG("in %d ms: %ld ms of CPU, %ld returns with EAGAIN",	\
	       WATCH_MS, __cpu, __again);				\
	EXPECT_LT(__cpu, IDLE_MS);					\
	EXPECT_EQ(0, __again);						\
} while (0)

static inline void ap_send(struct ap *ap, u32 what)
{
	struct kvm_msi msi = {
		.address_lo = 0xfee00000 | ap->vcpu->id << 12,
		.data = what,
	};

	int r = __vm_ioctl(ap->vcpu->vm, KVM_SIGNAL_MSI, &msi);

	TEST_ASSERT(r == 1, "KVM_SIGNAL_MSI of %x reached %d vCPUs", what, r);
}

static inline void never_run(void)
{
}

/* What runs where a SIPI starts an AP, and on an NMI there. */
static inline void ap_add_code(struct kvm_vm *vm)
{
	/* mov al, 1; out PORT_STARTED, al; out PORT_LATER, al; 1: hlt; jmp 1b */
	static const u8 start[] = { 0xb0, 1, 0xe6, PORT_STARTED, 0xe6, PORT_LATER, 0xf4, 0xeb, 0xfd };
	/* out PORT_NMI, al; iret */
	static const u8 nmi[] = { 0xe6, PORT_NMI, 0xcf };
	u16 *ivt;

	memcpy(addr_gpa2hva(vm, AP_START), start, sizeof(start));
	memcpy(addr_gpa2hva(vm, AP_NMI), nmi, sizeof(nmi));
	ivt = addr_gpa2hva(vm, 0);
	ivt[2 * NMI_VECTOR] = AP_NMI & 0xff;
	ivt[2 * NMI_VECTOR + 1] = (AP_NMI & ~0xff) >> 4;
}

/* A VM with a BSP for @bsp_code, and an AP with code at AP_START, in @mp_state. */
static inline struct kvm_vcpu *ap_create_beside(struct ap *ap, u32 mp_state, void *bsp_code)
{
	struct kvm_mp_state state = { .mp_state = KVM_MP_STATE_UNINITIALIZED };
	struct kvm_lapic_state lapic;
	struct kvm_vcpu *bsp;
	struct kvm_vm *vm;

	vm = vm_create_with_one_vcpu(&bsp, bsp_code);
	ap->vcpu = vm_vcpu_add(vm, 1, never_run);
	ap_add_code(vm);
	/* KVM finds a new vCPU's APIC by its ID only once that APIC's state was written. */
	vcpu_ioctl(ap->vcpu, KVM_GET_LAPIC, &lapic);
	vcpu_ioctl(ap->vcpu, KVM_SET_LAPIC, &lapic);
	vcpu_mp_state_set(ap->vcpu, &state);
	if (mp_state == KVM_MP_STATE_INIT_RECEIVED) {
		/* By a real INIT, so that its registers are those of a processor that took one. */
		ap_send(ap, MSI_DM_INIT);
		vcpu_ioctl(ap->vcpu, KVM_GET_MP_STATE, &state);
		TEST_ASSERT(state.mp_state == mp_state, "after INIT: mp_state %d", state.mp_state);
	}
	return bsp;
}

/* The same with a BSP that never runs. */
static inline void ap_create(struct ap *ap, u32 mp_state)
{
	ap_create_beside(ap, mp_state, never_run);
}

/* What the AP does on an SMI; an INIT leaves its SMBASE alone. */
static inline void ap_add_smi_code(struct ap *ap, const u8 *code, size_t size)
{
	struct kvm_vm *vm = ap->vcpu->vm;

	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, AP_SMRAM, AP_SMRAM_SLOT,
				    AP_SMRAM_PAGES, 0);
	memcpy(addr_gpa2hva(vm, AP_SMRAM) + 0x8000, code, size);
	vcpu_set_msr(ap->vcpu, MSR_IA32_SMBASE, AP_SMRAM);
}

static inline void ap_add_smi_handler(struct ap *ap)
{
	/* out PORT_SMI, al; rsm */
	static const u8 smi[] = { 0xe6, PORT_SMI, 0x0f, 0xaa };

	ap_add_smi_code(ap, smi, sizeof(smi));
}

static inline void ap_send_init_sipi(struct ap *ap)
{
	ap_send(ap, MSI_DM_INIT);
	/* The AP takes the INIT before a SIPI can mean anything to it. */
	usleep(50000);
	ap_send(ap, MSI_DM_STARTUP | AP_VECTOR);
}

/* Where the AP's thread got to, in order: each KVM_RUN must end at the next of these ports. */
#define EXPECT_PORTS(ap, ...)						\
do {									\
	static const int __ports[] = { __VA_ARGS__ };			\
	int __i;							\
									\
	for (__i = 0; __i < ARRAY_SIZE(__ports); __i++) {		\
		if (__i)						\
			ap_start(ap);					\
		ASSERT_TRUE(ap_wait(ap));				\
		EXPECT_EQ(__ports[__i], ap_port(ap));			\
	}								\
} while (0)

/* What a SIPI says of where to start, and nothing else, is where the AP is. */
#define EXPECT_CS_OF_SIPI(ap)						\
do {									\
	struct kvm_sregs __sregs;					\
									\
	vcpu_sregs_get((ap)->vcpu, &__sregs);				\
	EXPECT_EQ(AP_VECTOR << 12, __sregs.cs.base);			\
	EXPECT_EQ(AP_VECTOR << 8, __sregs.cs.selector);			\
	EXPECT_EQ(0, __sregs.cr0 & X86_CR0_PE);				\
} while (0)

/* The port of the exit that the AP's thread ended with, or a negative errno. */
static inline int ap_port(struct ap *ap)
{
	if (ap->err)
		return -ap->err;
	if (ap->vcpu->run->exit_reason != KVM_EXIT_IO)
		return -ENOMSG;
	return ap->vcpu->run->io.port;
}

/* KVM_SET_VCPU_EVENTS with NMIs pending. */
static inline void set_pending_nmis(struct kvm_vcpu *vcpu, u8 count)
{
	struct kvm_vcpu_events events;

	vcpu_events_get(vcpu, &events);
	events.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING;
	events.nmi.pending = count;
	vcpu_events_set(vcpu, &events);
}

static inline int pending_nmis(struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_events events;

	vcpu_events_get(vcpu, &events);
	return events.nmi.pending;
}

static inline u32 mp_state_of(struct kvm_vcpu *vcpu)
{
	struct kvm_mp_state state;

	vcpu_mp_state_get(vcpu, &state);
	return state.mp_state;
}

static inline bool init_is_latched(struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_events events;

	vcpu_events_get(vcpu, &events);
	return events.smi.latched_init;
}

/* The thread sits in KVM_RUN, waits, and looks waiting when it is stopped. */
#define EXPECT_WAITS_FOR_SIPI(ap)					\
do {									\
	EXPECT_SLEEPS(ap);						\
	ASSERT_TRUE(ap_stop(ap));					\
	EXPECT_EQ(EINTR, (ap)->err);					\
	EXPECT_EQ(KVM_MP_STATE_INIT_RECEIVED, mp_state_of((ap)->vcpu));	\
} while (0)

/* Nothing is left: a HLT, which nothing ends. */
#define EXPECT_HALTS(ap)						\
do {									\
	ap_start(ap);							\
	EXPECT_SLEEPS(ap);						\
	ASSERT_TRUE(ap_stop(ap));					\
	EXPECT_EQ(KVM_MP_STATE_HALTED, mp_state_of((ap)->vcpu));	\
	EXPECT_FALSE(init_is_latched((ap)->vcpu));			\
	EXPECT_EQ(0, pending_nmis((ap)->vcpu));				\
} while (0)

/* From wherever it is, the AP starts by INIT and SIPI, and is left at its second port. */
#define EXPECT_STARTS_BY_INIT_SIPI(ap)					\
do {									\
	ap_send(ap, MSI_DM_INIT);					\
	ap_send(ap, MSI_DM_STARTUP | AP_VECTOR);			\
	ap_start(ap);							\
	EXPECT_PORTS(ap, PORT_STARTED, PORT_LATER);			\
	EXPECT_CS_OF_SIPI(ap);						\
} while (0)

/* Runs to the port of its SMI handler, and is in SMM. */
#define START_IN_SMM(ap)						\
do {									\
	struct kvm_vcpu_events __events;				\
									\
	EXPECT_STARTS_BY_INIT_SIPI(ap);					\
	vcpu_ioctl((ap)->vcpu, KVM_SMI, NULL);				\
	ap_start(ap);							\
	EXPECT_PORTS(ap, PORT_SMI);					\
	vcpu_events_get((ap)->vcpu, &__events);				\
	ASSERT_TRUE(__events.smi.smm);					\
} while (0)

/* Saves the AP, and loads what was saved into another of a fresh VM. */
static inline void move_ap(struct ap *to, struct ap *from)
{
	struct kvm_lapic_state lapic;
	struct kvm_x86_state *state;

	state = vcpu_save_state(from->vcpu);
	vcpu_ioctl(from->vcpu, KVM_GET_LAPIC, &lapic);
	vcpu_load_state(to->vcpu, state);
	vcpu_ioctl(to->vcpu, KVM_SET_LAPIC, &lapic);
	kvm_x86_state_cleanup(state);
}

/* What an AP that was saved in SMM needs of the VM's memory, too. */
static inline void move_smram(struct ap *to, struct ap *from)
{
	memcpy(addr_gpa2hva(to->vcpu->vm, AP_SMRAM), addr_gpa2hva(from->vcpu->vm, AP_SMRAM),
	       AP_SMRAM_PAGES * PAGE_SIZE);
}

#endif /* SELFTEST_KVM_EVENT_TEST_H */
