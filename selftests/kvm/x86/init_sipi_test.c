// SPDX-License-Identifier: GPL-2.0
/*
 * INIT and SIPI, outside of nested guests: who takes them when, what is dropped, what waits,
 * what userspace may set, and that nothing is lost or stolen on the way.
 *
 * Two ways to break it, each with a defect that is put back: to take a snapshot of what is
 * pending and clear all of it in the end, which steals a SIPI sent in between (the AP
 * then waits for ever); and to take a SIPI without waiting for one.
 */
#include <limits.h>
#include <sys/utsname.h>

#include "event_test.h"
#include "apic.h"

#define AP_SPIN			0xa000
#define AP_SPIN_VECTOR		(AP_SPIN >> 12)
#define PORT_SPINS		0xe4
#define PORT_RESET		0xe5
#define RESET_PAGE		0xfffff000
#define RESET_SLOT		2

/*
 * mov al, 1; out PORT_SPINS, al; sti; 1: jmp 1b
 * Interrupts are on where a guest spins: Bochs lets the host interrupt no other guest.
 */
static const u8 spin_code[] = { 0xb0, 1, 0xe6, PORT_SPINS, 0xfb, 0xeb, 0xfe };

static bool kernel_is_at_least(int major, int minor)
{
	struct utsname name;
	int a, b;

	TEST_ASSERT(!uname(&name) && sscanf(name.release, "%d.%d", &a, &b) == 2, "uname");
	return a > major || (a == major && b >= minor);
}

/* Since 6.17, wait-for-SIPI with SIPI blocked is refused by KVM_RUN, not where it is set. */
static bool blocked_is_set(void)
{
	return kernel_is_at_least(6, 17);
}

static struct kvm_vcpu *bsp_of(struct ap *ap)
{
	struct kvm_vcpu *vcpu;

	list_for_each_entry(vcpu, &ap->vcpu->vm->vcpus, list) {
		if (!vcpu->id)
			return vcpu;
	}
	TEST_FAIL("no BSP");
	return NULL;
}

/* The BSP's own ICR, which knows of levels, as no MSI does. */
static void ap_send_icr(struct ap *ap, u32 what)
{
	struct kvm_vcpu *bsp = bsp_of(ap);

	vcpu_set_msr(bsp, MSR_IA32_APICBASE,
		     vcpu_get_msr(bsp, MSR_IA32_APICBASE) | X2APIC_ENABLE);
	vcpu_set_msr(bsp, APIC_BASE_MSR + (APIC_ICR >> 4), (u64)ap->vcpu->id << 32 | what);
}

static int set_mp_state(struct kvm_vcpu *vcpu, u32 mp_state)
{
	struct kvm_mp_state state = { .mp_state = mp_state };

	return __vcpu_ioctl(vcpu, KVM_SET_MP_STATE, &state) ? errno : 0;
}

static u64 cs_base(struct kvm_vcpu *vcpu)
{
	struct kvm_sregs sregs;

	vcpu_sregs_get(vcpu, &sregs);
	return sregs.cs.base;
}

/* Puts the code of AP_START where @vector starts. */
static void ap_add_start(struct ap *ap, u8 vector)
{
	memcpy(addr_gpa2hva(ap->vcpu->vm, vector << 12), addr_gpa2hva(ap->vcpu->vm, AP_START), 64);
}

FIXTURE(init_sipi)
{
	struct ap ap;
};

FIXTURE_SETUP(init_sipi)
{
	struct kvm_vm *vm;

	ap_create(&self->ap, KVM_MP_STATE_UNINITIALIZED);
	vm = self->ap.vcpu->vm;
	memcpy(addr_gpa2hva(vm, AP_SPIN), spin_code, sizeof(spin_code));
	self->ap.ended = true;
}

FIXTURE_TEARDOWN(init_sipi)
{
	if (!self->ap.ended)
		ap_stop(&self->ap);
	kvm_vm_free(self->ap.vcpu->vm);
}

TEST_F(init_sipi, init_sipi_sipi)
{
	ap_start(&self->ap);
	ap_send_init_sipi(&self->ap);
	EXPECT_PORTS(&self->ap, PORT_STARTED);
	/* The second finds it started, and is dropped. */
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	ap_start(&self->ap);
	EXPECT_PORTS(&self->ap, PORT_LATER);
	EXPECT_CS_OF_SIPI(&self->ap);
	EXPECT_HALTS(&self->ap);
}

TEST_F(init_sipi, starts_where_the_vector_says)
{
	static const u8 vectors[] = { 0x01, 0x9a, 0xff };
	struct kvm_sregs sregs;
	int i;

	for (i = 0; i < ARRAY_SIZE(vectors); i++) {
		ap_add_start(&self->ap, vectors[i]);
		ap_send(&self->ap, MSI_DM_INIT);
		ap_send(&self->ap, MSI_DM_STARTUP | vectors[i]);
		ap_start(&self->ap);
		EXPECT_PORTS(&self->ap, PORT_STARTED, PORT_LATER);
		vcpu_sregs_get(self->ap.vcpu, &sregs);
		EXPECT_EQ(vectors[i] << 12, sregs.cs.base);
		EXPECT_EQ(vectors[i] << 8, sregs.cs.selector);
	}
}

/* What comes before the AP runs is taken when it does: the first INIT, and the last SIPI. */
TEST_F(init_sipi, newest_vector)
{
	ap_send(&self->ap, MSI_DM_INIT);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_SPIN_VECTOR);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	ap_start(&self->ap);
	EXPECT_PORTS(&self->ap, PORT_STARTED, PORT_LATER);
	EXPECT_CS_OF_SIPI(&self->ap);
	EXPECT_HALTS(&self->ap);
}

TEST_F(init_sipi, init_cancels_sipi)
{
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	ap_send(&self->ap, MSI_DM_INIT);
	ap_start(&self->ap);
	EXPECT_WAITS_FOR_SIPI(&self->ap);

	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	ap_send(&self->ap, MSI_DM_INIT);
	ap_start(&self->ap);
	EXPECT_WAITS_FOR_SIPI(&self->ap);
	EXPECT_STARTS_BY_INIT_SIPI(&self->ap);
}

/* In UNINITIALIZED no SIPI is waited for, and none is kept for later. */
TEST_F(init_sipi, sipi_alone_is_dropped)
{
	ap_start(&self->ap);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	EXPECT_SLEEPS(&self->ap);
	ap_send(&self->ap, MSI_DM_INIT);
	EXPECT_WAITS_FOR_SIPI(&self->ap);
	EXPECT_STARTS_BY_INIT_SIPI(&self->ap);
}

/* Nor by an AP that halts, or spins. */
TEST_F(init_sipi, sipi_to_a_halted_ap_is_dropped)
{
	EXPECT_STARTS_BY_INIT_SIPI(&self->ap);
	ap_start(&self->ap);
	usleep(50000);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_SPIN_VECTOR);
	EXPECT_SLEEPS(&self->ap);
	ASSERT_TRUE(ap_stop(&self->ap));
	EXPECT_CS_OF_SIPI(&self->ap);
	ap_send(&self->ap, MSI_DM_INIT);
	ap_start(&self->ap);
	EXPECT_WAITS_FOR_SIPI(&self->ap);
}

#define START_SPINNING(ap)						\
do {									\
	ap_send(ap, MSI_DM_INIT);					\
	ap_send(ap, MSI_DM_STARTUP | AP_SPIN_VECTOR);			\
	ap_start(ap);							\
	EXPECT_PORTS(ap, PORT_SPINS);					\
	ap_start(ap);							\
	usleep(20000);							\
} while (0)

TEST_F(init_sipi, sipi_to_a_spinning_ap_is_dropped)
{
	START_SPINNING(&self->ap);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	usleep(WATCH_MS * 1000);
	ASSERT_TRUE(ap_stop(&self->ap));
	EXPECT_EQ(EINTR, self->ap.err);
	EXPECT_EQ(AP_SPIN, cs_base(self->ap.vcpu));
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp_state_of(self->ap.vcpu));
	ap_send(&self->ap, MSI_DM_INIT);
	ap_start(&self->ap);
	EXPECT_WAITS_FOR_SIPI(&self->ap);
}

TEST_F(init_sipi, init_to_a_halted_ap)
{
	struct kvm_regs regs;

	EXPECT_STARTS_BY_INIT_SIPI(&self->ap);
	ap_start(&self->ap);
	usleep(50000);
	ap_send(&self->ap, MSI_DM_INIT);
	EXPECT_WAITS_FOR_SIPI(&self->ap);
	vcpu_regs_get(self->ap.vcpu, &regs);
	EXPECT_EQ(0xffff0000, cs_base(self->ap.vcpu));
	EXPECT_EQ(0xfff0, regs.rip);
	EXPECT_EQ(0, regs.rax);
	EXPECT_STARTS_BY_INIT_SIPI(&self->ap);
}

TEST_F(init_sipi, init_to_a_spinning_ap)
{
	START_SPINNING(&self->ap);
	ap_send(&self->ap, MSI_DM_INIT);
	usleep(50000);
	EXPECT_WAITS_FOR_SIPI(&self->ap);
	EXPECT_STARTS_BY_INIT_SIPI(&self->ap);
}

/* An INIT with level de-asserted ends one of old; no processor since the Pentium has it. */
TEST_F(init_sipi, init_deassert_is_ignored)
{
	START_SPINNING(&self->ap);
	ap_send_icr(&self->ap, APIC_INT_LEVELTRIG | APIC_DM_INIT);
	usleep(WATCH_MS * 1000);
	ASSERT_TRUE(ap_stop(&self->ap));
	EXPECT_EQ(EINTR, self->ap.err);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp_state_of(self->ap.vcpu));
	EXPECT_EQ(AP_SPIN, cs_base(self->ap.vcpu));

	ap_start(&self->ap);
	ap_send_icr(&self->ap, APIC_INT_LEVELTRIG | APIC_INT_ASSERT | APIC_DM_INIT);
	usleep(50000);
	EXPECT_WAITS_FOR_SIPI(&self->ap);

	/* Nor does it cancel a SIPI, as an INIT would. */
	ap_send_icr(&self->ap, APIC_DM_STARTUP | AP_VECTOR);
	ap_send_icr(&self->ap, APIC_INT_LEVELTRIG | APIC_DM_INIT);
	ap_start(&self->ap);
	EXPECT_PORTS(&self->ap, PORT_STARTED, PORT_LATER);
}

TEST_F(init_sipi, init_waits_for_rsm)
{
	if (!kvm_has_cap(KVM_CAP_X86_SMM))
		SKIP(return, "KVM has no SMM");
	ap_add_smi_handler(&self->ap);
	START_IN_SMM(&self->ap);
	EXPECT_FALSE(init_is_latched(self->ap.vcpu));
	ap_send(&self->ap, MSI_DM_INIT);
	EXPECT_TRUE(init_is_latched(self->ap.vcpu));
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp_state_of(self->ap.vcpu));
	EXPECT_TRUE(init_is_latched(self->ap.vcpu));
	/* RSM, and the INIT at once: its HLT would be PORT_LATER's. */
	ap_start(&self->ap);
	EXPECT_WAITS_FOR_SIPI(&self->ap);
	EXPECT_FALSE(init_is_latched(self->ap.vcpu));
	EXPECT_STARTS_BY_INIT_SIPI(&self->ap);
	EXPECT_HALTS(&self->ap);
}

TEST_F(init_sipi, sipi_in_smm_is_dropped)
{
	if (!kvm_has_cap(KVM_CAP_X86_SMM))
		SKIP(return, "KVM has no SMM");
	ap_add_smi_handler(&self->ap);
	START_IN_SMM(&self->ap);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_SPIN_VECTOR);
	EXPECT_HALTS(&self->ap);
	EXPECT_CS_OF_SIPI(&self->ap);
}

/* What a monitor writes back as it read it: the INIT is as latched as before. */
TEST_F(init_sipi, latched_init_is_set_and_cleared)
{
	struct kvm_vcpu_events events;

	if (!kvm_has_cap(KVM_CAP_X86_SMM))
		SKIP(return, "KVM has no SMM");
	ap_add_smi_handler(&self->ap);
	START_IN_SMM(&self->ap);
	ap_send(&self->ap, MSI_DM_INIT);
	vcpu_events_get(self->ap.vcpu, &events);
	ASSERT_TRUE(events.smi.latched_init);
	ASSERT_TRUE(events.flags & KVM_VCPUEVENT_VALID_SMM);
	vcpu_events_set(self->ap.vcpu, &events);
	EXPECT_TRUE(init_is_latched(self->ap.vcpu));

	events.flags &= ~KVM_VCPUEVENT_VALID_SMM;
	events.smi.latched_init = 0;
	vcpu_events_set(self->ap.vcpu, &events);
	EXPECT_TRUE(init_is_latched(self->ap.vcpu));

	events.flags |= KVM_VCPUEVENT_VALID_SMM;
	vcpu_events_set(self->ap.vcpu, &events);
	EXPECT_FALSE(init_is_latched(self->ap.vcpu));
	EXPECT_HALTS(&self->ap);
}

/* The BSP restarts at its reset vector, and waits for nobody. */
TEST(init_to_the_bsp)
{
	/* mov al, 1; out PORT_RESET, al; out PORT_LATER, al; sti; 1: jmp 1b */
	static const u8 reset[] = { 0xb0, 1, 0xe6, PORT_RESET, 0xe6, PORT_LATER, 0xfb, 0xeb, 0xfe };
	struct kvm_lapic_state lapic;
	struct ap bsp = {};
	struct kvm_vm *vm;

	vm = vm_create_with_one_vcpu(&bsp.vcpu, never_run);
	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, RESET_PAGE, RESET_SLOT, 1, 0);
	memcpy(addr_gpa2hva(vm, RESET_PAGE) + 0xff0, reset, sizeof(reset));
	vcpu_ioctl(bsp.vcpu, KVM_GET_LAPIC, &lapic);
	vcpu_ioctl(bsp.vcpu, KVM_SET_LAPIC, &lapic);

	/* Twice: out of what userspace set up, and out of what INIT left. */
	ap_send(&bsp, MSI_DM_INIT);
	ap_start(&bsp);
	EXPECT_PORTS(&bsp, PORT_RESET, PORT_LATER);
	EXPECT_EQ(0xffff0000, cs_base(bsp.vcpu));
	ap_start(&bsp);
	usleep(20000);
	ap_send(&bsp, MSI_DM_INIT);
	EXPECT_PORTS(&bsp, PORT_RESET);

	ap_send(&bsp, MSI_DM_STARTUP | AP_VECTOR);
	ap_start(&bsp);
	EXPECT_PORTS(&bsp, PORT_LATER);
	EXPECT_EQ(0xffff0000, cs_base(bsp.vcpu));
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp_state_of(bsp.vcpu));
	kvm_vm_free(vm);
}

/*
 * KVM_SET_MP_STATE, from every state to every state. SIPI_RECEIVED is INIT_RECEIVED with a
 * SIPI pending: KVM_GET_MP_STATE takes that, and the AP is found running.
 */
static const u32 states[] = {
	KVM_MP_STATE_RUNNABLE,
	KVM_MP_STATE_UNINITIALIZED,
	KVM_MP_STATE_INIT_RECEIVED,
	KVM_MP_STATE_HALTED,
	KVM_MP_STATE_SIPI_RECEIVED,
	KVM_MP_STATE_AP_RESET_HOLD,
};

static const u32 no_states[] = {
	KVM_MP_STATE_STOPPED,
	KVM_MP_STATE_CHECK_STOP,
	KVM_MP_STATE_OPERATING,
	KVM_MP_STATE_LOAD,
	KVM_MP_STATE_SUSPENDED,
	KVM_MP_STATE_SUSPENDED + 1,
	~0u,
};

static bool takes_sipi(u32 state)
{
	return state == KVM_MP_STATE_INIT_RECEIVED || state == KVM_MP_STATE_SIPI_RECEIVED;
}

TEST_F(init_sipi, every_state_from_every_state)
{
	struct kvm_vcpu *vcpu = self->ap.vcpu;
	u32 from, to, want;
	int i, j, look;

	for (i = 0; i < ARRAY_SIZE(states); i++) {
		for (j = 0; j < ARRAY_SIZE(states); j++) {
			for (look = 0; look < 2; look++) {
				from = states[i];
				to = states[j];
				/* A SIPI that an earlier round left is taken, or dropped, here. */
				EXPECT_EQ(0, set_mp_state(vcpu, KVM_MP_STATE_RUNNABLE));
				EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp_state_of(vcpu));

				EXPECT_EQ(0, set_mp_state(vcpu, from));
				want = from == KVM_MP_STATE_SIPI_RECEIVED ? KVM_MP_STATE_RUNNABLE : from;
				if (look)
					EXPECT_EQ(want, mp_state_of(vcpu));
				EXPECT_EQ(0, set_mp_state(vcpu, to));
				want = to;
				if (to == KVM_MP_STATE_SIPI_RECEIVED ||
				    (from == KVM_MP_STATE_SIPI_RECEIVED && !look && takes_sipi(to)))
					want = KVM_MP_STATE_RUNNABLE;
				EXPECT_EQ(want, mp_state_of(vcpu)) {
					TH_LOG("%d to %d, look %d", from, to, look);
				}
				EXPECT_EQ(want, mp_state_of(vcpu));
			}
		}
	}
}

/* The vector that SIPI_RECEIVED starts at is the one of KVM_SET_VCPU_EVENTS. */
TEST_F(init_sipi, sipi_received_with_a_vector)
{
	struct kvm_vcpu_events events;

	ap_send(&self->ap, MSI_DM_INIT);
	EXPECT_EQ(KVM_MP_STATE_INIT_RECEIVED, mp_state_of(self->ap.vcpu));
	vcpu_events_get(self->ap.vcpu, &events);
	events.flags |= KVM_VCPUEVENT_VALID_SIPI_VECTOR;
	events.sipi_vector = AP_VECTOR;
	vcpu_events_set(self->ap.vcpu, &events);
	EXPECT_EQ(0, set_mp_state(self->ap.vcpu, KVM_MP_STATE_SIPI_RECEIVED));
	ap_start(&self->ap);
	EXPECT_PORTS(&self->ap, PORT_STARTED, PORT_LATER);
	EXPECT_CS_OF_SIPI(&self->ap);
}

TEST_F(init_sipi, unknown_states_are_refused)
{
	struct kvm_vcpu *vcpu = self->ap.vcpu;
	int i, j;

	for (i = 0; i < ARRAY_SIZE(states); i++) {
		if (states[i] == KVM_MP_STATE_SIPI_RECEIVED)
			continue;
		EXPECT_EQ(0, set_mp_state(vcpu, states[i]));
		for (j = 0; j < ARRAY_SIZE(no_states); j++) {
			EXPECT_EQ(EINVAL, set_mp_state(vcpu, no_states[j]));
			EXPECT_EQ(states[i], mp_state_of(vcpu));
		}
	}
}

static int set_smm(struct kvm_vcpu *vcpu, bool smm, bool pending)
{
	struct kvm_vcpu_events events;

	vcpu_events_get(vcpu, &events);
	events.flags |= KVM_VCPUEVENT_VALID_SMM;
	events.smi.smm = smm;
	events.smi.pending = pending;
	return __vcpu_ioctl(vcpu, KVM_SET_VCPU_EVENTS, &events) ? errno : 0;
}

static int run_errno(struct kvm_vcpu *vcpu)
{
	return __vcpu_run(vcpu) ? errno : 0;
}

/* Wait-for-SIPI with SIPI blocked, in either order, and with an SMI on its way. */
TEST_F(init_sipi, blocked_states_are_refused)
{
	int refused = blocked_is_set() ? 0 : EINVAL;
	struct kvm_vcpu *vcpu = self->ap.vcpu;
	int i, j;

	if (!kvm_has_cap(KVM_CAP_X86_SMM))
		SKIP(return, "KVM has no SMM");
	for (i = 0; i < 2; i++) {
		for (j = 0; j < ARRAY_SIZE(states); j++) {
			EXPECT_EQ(0, set_mp_state(vcpu, KVM_MP_STATE_RUNNABLE));
			EXPECT_EQ(0, set_smm(vcpu, i, !i));
			EXPECT_EQ(takes_sipi(states[j]) ? refused : 0,
				  set_mp_state(vcpu, states[j]));
			EXPECT_EQ(0, set_mp_state(vcpu, KVM_MP_STATE_RUNNABLE));
			EXPECT_EQ(0, set_smm(vcpu, false, false));

			EXPECT_EQ(0, set_mp_state(vcpu, states[j]));
			EXPECT_EQ(takes_sipi(states[j]) ? refused : 0, set_smm(vcpu, i, !i));
			EXPECT_EQ(0, set_mp_state(vcpu, KVM_MP_STATE_RUNNABLE));
			EXPECT_EQ(0, set_smm(vcpu, false, false));
			EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp_state_of(vcpu));
		}
	}
	if (!blocked_is_set())
		return;

	EXPECT_EQ(0, set_smm(vcpu, true, false));
	EXPECT_EQ(0, set_mp_state(vcpu, KVM_MP_STATE_INIT_RECEIVED));
	EXPECT_EQ(EINVAL, run_errno(vcpu));
	EXPECT_EQ(EINVAL, run_errno(vcpu));
	/* Out of SMM it waits, as it was told to. */
	EXPECT_EQ(0, set_smm(vcpu, false, false));
	ap_start(&self->ap);
	EXPECT_WAITS_FOR_SIPI(&self->ap);
	EXPECT_STARTS_BY_INIT_SIPI(&self->ap);
}

/* Without an APIC in the kernel, a vCPU runs, and that is all of its states. */
TEST(no_apic_in_the_kernel)
{
	struct kvm_vm *vm = vm_create_barebones();
	struct kvm_vcpu *vcpu = __vm_vcpu_add(vm, 0);
	struct kvm_vcpu_events events;
	int i;

	for (i = 0; i < ARRAY_SIZE(states); i++)
		EXPECT_EQ(states[i] == KVM_MP_STATE_RUNNABLE ? 0 : EINVAL,
			  set_mp_state(vcpu, states[i]));
	for (i = 0; i < ARRAY_SIZE(no_states); i++)
		EXPECT_EQ(EINVAL, set_mp_state(vcpu, no_states[i]));
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp_state_of(vcpu));

	vcpu_events_get(vcpu, &events);
	events.flags |= KVM_VCPUEVENT_VALID_SIPI_VECTOR | KVM_VCPUEVENT_VALID_SMM;
	events.sipi_vector = AP_VECTOR;
	events.smi.latched_init = 1;
	vcpu_events_set(vcpu, &events);
	EXPECT_FALSE(init_is_latched(vcpu));
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp_state_of(vcpu));
	kvm_vm_free(vm);
}

/* Where the AP of the storm counts its starts, and says where it started last. */
#define STORM_CS	0x500
#define STORM_STARTS	0x504
#define STORM_ROUNDS	3000
/* With one CPU there is no race to be found: the delays go down twice. */
#define STORM_ROUNDS_ALONE	150
#define STORM_VECTOR	0x10
/* Rounds that tell how long a start takes at least; delays go from twice that down. */
#define STORM_MEASURED	20

static long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000l + ts.tv_nsec;
}

/*
 * INIT, SIPI, SIPI to an AP that spins on another CPU: each round ends with one start, by one
 * of its own SIPIs, however early or late they cross the INIT that is being taken. Every
 * other round does without the second SIPI, which would hide that the first was stolen.
 */
TEST_F_TIMEOUT(init_sipi, storm, 180)
{
	/* mov ax, cs; mov [STORM_CS], ax; inc dword [STORM_STARTS]; sti; 1: jmp 1b */
	static const u8 code[] = {
		0x8c, 0xc8,
		0xa3, STORM_CS & 0xff, STORM_CS >> 8,
		0x66, 0xff, 0x06, STORM_STARTS & 0xff, STORM_STARTS >> 8,
		0xfb, 0xeb, 0xfe,
	};
	struct kvm_vm *vm = self->ap.vcpu->vm;
	u16 *cs = addr_gpa2hva(vm, STORM_CS);
	u32 *starts = addr_gpa2hva(vm, STORM_STARTS);
	long sent, took = LONG_MAX, delay = 0;
	u8 vector = 0;
	int i, rounds;

	*starts = 0;
	for (i = 0; i < 4; i++)
		memcpy(addr_gpa2hva(vm, (STORM_VECTOR + i) << 12), code, sizeof(code));

	find_cpus();
	run_on(pthread_self(), cpus[0]);
	ap_start(&self->ap);
	run_on(self->ap.thread, cpus[1]);
	rounds = nr_cpus > 1 ? STORM_ROUNDS : STORM_ROUNDS_ALONE;
	for (i = 1; i <= rounds; i++) {
		vector = STORM_VECTOR + i % 2 * 2;
		if (i > STORM_MEASURED)
			delay = delay > 1000 ? delay * 7 / 8 : 2 * took;
		sent = now_ns();
		ap_send(&self->ap, MSI_DM_INIT);
		while (now_ns() - sent < delay)
			;
		ap_send(&self->ap, MSI_DM_STARTUP | vector);
		if (i % 4 >= 2)
			ap_send(&self->ap, MSI_DM_STARTUP | (vector + 1));
		if (i <= STORM_MEASURED) {
			while (READ_ONCE(*starts) != i && now_ns() - sent < LIMIT_MS * 1000000l)
				;
			took = min(took, now_ns() - sent);
		}
		wait_for(READ_ONCE(*starts) == i);
		ASSERT_EQ(i, READ_ONCE(*starts));
		ASSERT_EQ(vector, READ_ONCE(*cs) >> 8 & (i % 4 >= 2 ? ~1 : ~0));
	}
	TH_LOG("%d starts, in %ld us and more", rounds, took / 1000);
	/* One too many, to where it would not stay. */
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	usleep(50000);
	ASSERT_TRUE(ap_stop(&self->ap));
	EXPECT_EQ(EINTR, self->ap.err);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp_state_of(self->ap.vcpu));
	EXPECT_EQ(*cs << 4, cs_base(self->ap.vcpu));
	EXPECT_EQ(rounds, *starts);
}

/* The AP is saved, and goes on in a fresh VM: nothing lost, nothing twice. */
FIXTURE(restored)
{
	struct ap ap;
	struct ap other;
};

FIXTURE_SETUP(restored)
{
	ap_create(&self->ap, KVM_MP_STATE_UNINITIALIZED);
	ap_create(&self->other, KVM_MP_STATE_UNINITIALIZED);
	self->ap.ended = true;
	self->other.ended = true;
}

FIXTURE_TEARDOWN(restored)
{
	if (!self->ap.ended)
		ap_stop(&self->ap);
	if (!self->other.ended)
		ap_stop(&self->other);
	kvm_vm_free(self->ap.vcpu->vm);
	kvm_vm_free(self->other.vcpu->vm);
}

TEST_F(restored, uninitialized)
{
	move_ap(&self->other, &self->ap);
	EXPECT_EQ(KVM_MP_STATE_UNINITIALIZED, mp_state_of(self->other.vcpu));
	ap_start(&self->other);
	EXPECT_SLEEPS(&self->other);
	ap_send_init_sipi(&self->other);
	EXPECT_PORTS(&self->other, PORT_STARTED, PORT_LATER);
	EXPECT_CS_OF_SIPI(&self->other);
	EXPECT_HALTS(&self->other);
}

TEST_F(restored, init_received)
{
	ap_send(&self->ap, MSI_DM_INIT);
	move_ap(&self->other, &self->ap);
	EXPECT_EQ(KVM_MP_STATE_INIT_RECEIVED, mp_state_of(self->other.vcpu));
	ap_start(&self->other);
	EXPECT_SLEEPS(&self->other);
	ap_send(&self->other, MSI_DM_STARTUP | AP_VECTOR);
	EXPECT_PORTS(&self->other, PORT_STARTED, PORT_LATER);
	EXPECT_CS_OF_SIPI(&self->other);
	EXPECT_HALTS(&self->other);
}

/* To look at it is to take it: the AP that is restored has been started already. */
TEST_F(restored, init_and_sipi_on_their_way)
{
	ap_send(&self->ap, MSI_DM_INIT);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp_state_of(self->ap.vcpu));
	move_ap(&self->other, &self->ap);
	ap_start(&self->other);
	EXPECT_PORTS(&self->other, PORT_STARTED, PORT_LATER);
	EXPECT_CS_OF_SIPI(&self->other);
	EXPECT_HALTS(&self->other);
}

TEST_F(restored, nmi_in_init_received)
{
	ap_send(&self->ap, MSI_DM_INIT);
	EXPECT_EQ(KVM_MP_STATE_INIT_RECEIVED, mp_state_of(self->ap.vcpu));
	ap_send(&self->ap, MSI_DM_NMI);
	move_ap(&self->other, &self->ap);
	EXPECT_EQ(KVM_MP_STATE_INIT_RECEIVED, mp_state_of(self->other.vcpu));
	EXPECT_EQ(1, pending_nmis(self->other.vcpu));
	ap_send(&self->other, MSI_DM_STARTUP | AP_VECTOR);
	ap_start(&self->other);
	EXPECT_PORTS(&self->other, PORT_NMI, PORT_STARTED, PORT_LATER);
	EXPECT_HALTS(&self->other);
}

TEST_F(restored, latched_in_smm)
{
	if (!kvm_has_cap(KVM_CAP_X86_SMM))
		SKIP(return, "KVM has no SMM");
	ap_add_smi_handler(&self->ap);
	ap_add_smi_handler(&self->other);
	START_IN_SMM(&self->ap);
	ap_send(&self->ap, MSI_DM_INIT);
	move_ap(&self->other, &self->ap);
	move_smram(&self->other, &self->ap);
	EXPECT_TRUE(init_is_latched(self->other.vcpu));
	ap_start(&self->other);
	EXPECT_WAITS_FOR_SIPI(&self->other);
	EXPECT_FALSE(init_is_latched(self->other.vcpu));
	ap_send(&self->other, MSI_DM_STARTUP | AP_VECTOR);
	ap_start(&self->other);
	EXPECT_PORTS(&self->other, PORT_STARTED, PORT_LATER);
	EXPECT_HALTS(&self->other);
}

TEST_F(restored, running)
{
	ap_send(&self->ap, MSI_DM_INIT);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	ap_start(&self->ap);
	EXPECT_PORTS(&self->ap, PORT_STARTED);
	move_ap(&self->other, &self->ap);
	ap_start(&self->other);
	EXPECT_PORTS(&self->other, PORT_LATER);
	EXPECT_CS_OF_SIPI(&self->other);
	EXPECT_HALTS(&self->other);
}

TEST_HARNESS_MAIN
