// SPDX-License-Identifier: GPL-2.0
/*
 * INIT and SIPI where SVM blocks or intercepts them: while L2 runs, while GIF is clear,
 * with a VMRUN that is not through. INIT exits to L1 if L1 intercepts it, and stays
 * latched until STGI; SIPI is never latched. Before 5.11, whoever took INITs did so
 * without asking whether L1 intercepts them. No test of KVM's sends one to L2.
 *
 * With vGIF upstream doesn't see the STGI, and takes the INIT late (svm_vgif_init_test), which fails
 * here: where the processor has it, load kvm_amd with vgif=0.
 */
#include <fcntl.h>

#include "svm_event_test.h"

#define INJECTED_VECTOR	0x41
#define OTHER_VECTOR	(AP_VECTOR + 1)

static u64 intercept;
static bool l2_spins;
static bool l2_halts;
static u64 spins;
static u8 l2_stack[L2_STACK_SIZE] __aligned(16);

static void injected_handler(struct ex_regs *regs)
{
}

static void l2_code(void)
{
	tell(PORT_L2, 0);
	while (READ_ONCE(l2_spins))
		WRITE_ONCE(spins, spins + 1);
	while (READ_ONCE(l2_halts))
		asm volatile("hlt");
	tell(PORT_L2, 1);
	vmmcall();
}

static void l1_code(struct svm_test_data *svm)
{
	struct vmcb *vmcb = svm->vmcb;

	generic_svm_setup(svm, l2_code, l2_stack + L2_STACK_SIZE);
	vmcb->control.intercept |= intercept;

	tell(PORT_L1, 0);
	clgi();
	tell(PORT_GIF_CLEAR, 0);
	tell(PORT_GIF_CLEAR, 1);
	stgi();
	tell(PORT_L1, 1);

	run_guest(vmcb, svm->vmcb_gpa);
	tell(PORT_EXIT, vmcb->control.exit_code);
	stgi();
	tell(PORT_L1, 2);
}

/* From the start to a place at which something is to be sent. */
#define ASSERT_RUNS_TO_GIF_CLEAR(ap)	ASSERT_RUNS_TO(ap, PORT_L1, PORT_GIF_CLEAR)
#define ASSERT_RUNS_TO_L2(ap)						\
	ASSERT_RUNS_TO(ap, PORT_L1, PORT_GIF_CLEAR, PORT_GIF_CLEAR, PORT_L1, PORT_L2)

/* Whether the AP comes to wait for SIPI, and stays there. */
static bool waits_for_sipi(struct ap *ap)
{
	int i, waits = 0;

	for (i = 0; i < LIMIT_MS / 20 && waits < 3; i++) {
		if (ap_run_for(ap, 20) != -EINTR)
			return false;
		waits += mp_state_of(ap->vcpu) == KVM_MP_STATE_INIT_RECEIVED;
	}
	return waits == 3;
}

/* Where the vCPU comes to, but -EINTR as soon as it is seen to wait for SIPI. */
static int run_or_wait_for_sipi(struct ap *ap)
{
	int i, port = -EINTR;

	for (i = 0; i < LIMIT_MS / 500 && port == -EINTR; i++) {
		port = ap_run_for(ap, 500);
		if (mp_state_of(ap->vcpu) == KVM_MP_STATE_INIT_RECEIVED)
			break;
	}
	return port;
}

#define ASSERT_STARTS(ap)						\
do {									\
	ASSERT_RUNS_TO(ap, PORT_STARTED);				\
	EXPECT_CS_OF_SIPI(ap);						\
	ASSERT_RUNS_TO(ap, PORT_LATER);					\
} while (0)

/* The vCPU takes an INIT before it comes to its next port. A SIPI starts it, if it is an AP. */
#define ASSERT_TAKES_INIT(ap)						\
do {									\
	if ((ap)->vcpu->id == 0) {					\
		ASSERT_RUNS_TO(ap, PORT_RESET);				\
	} else {							\
		ASSERT_TRUE(waits_for_sipi(ap)) {			\
			TH_LOG("it came to port %x", ap_port(ap));	\
		}							\
		ap_send(ap, MSI_DM_STARTUP | AP_VECTOR);		\
		ASSERT_STARTS(ap);					\
	}								\
	EXPECT_FALSE(init_is_latched((ap)->vcpu));				\
	EXPECT_EQ(KVM_STATE_NESTED_GIF_SET, nested_flags((ap)->vcpu));	\
} while (0)

/* The vCPU is at L1's report of the exit: GIF is clear, and holds the INIT up to STGI. */
#define ASSERT_LATCHED_BY_EXIT(ap)					\
do {									\
	ASSERT_EQ(PORT_EXIT, ap_port(ap));				\
	EXPECT_EQ(SVM_EXIT_INIT, ap_told(ap));				\
	EXPECT_TRUE(init_is_latched((ap)->vcpu));				\
	EXPECT_EQ(0, nested_flags((ap)->vcpu));				\
	ASSERT_TAKES_INIT(ap);						\
} while (0)

#define ASSERT_EXITS_THEN_TAKES_INIT(ap)				\
do {									\
	ASSERT_EQ(PORT_EXIT, run_or_wait_for_sipi(ap));			\
	ASSERT_LATCHED_BY_EXIT(ap);					\
} while (0)

static struct svm_test_data *create(struct ap *ap, bool bsp, bool intercepted)
{
	struct svm_test_data *svm = svm_ap_create(ap, bsp, l1_code);
	struct kvm_vm *vm = ap->vcpu->vm;

	intercept = intercepted ? 1ULL << INTERCEPT_INIT : 0;
	sync_global_to_guest(vm, intercept);
	vm_install_exception_handler(vm, INJECTED_VECTOR, injected_handler);
	return svm;
}

static void destroy(struct ap *ap)
{
	if (!ap->ended)
		ap_stop(ap);
	kvm_vm_free(ap->vcpu->vm);
}

/* INIT while L2 runs. */
FIXTURE(l2_init)
{
	struct ap ap;
	struct svm_test_data *svm;
};

FIXTURE_VARIANT(l2_init)
{
	bool bsp;
	bool intercepted;
};

FIXTURE_VARIANT_ADD(l2_init, bsp)
{
	.bsp = true,
};

FIXTURE_VARIANT_ADD(l2_init, bsp_intercepted)
{
	.bsp = true,
	.intercepted = true,
};

FIXTURE_VARIANT_ADD(l2_init, ap)
{
};

FIXTURE_VARIANT_ADD(l2_init, ap_intercepted)
{
	.intercepted = true,
};

FIXTURE_SETUP(l2_init)
{
	self->svm = create(&self->ap, variant->bsp, variant->intercepted);
}

FIXTURE_TEARDOWN(l2_init)
{
	destroy(&self->ap);
}

TEST_F(l2_init, stopped)
{
	struct ap *ap = &self->ap;

	ASSERT_RUNS_TO_L2(ap);
	ap_send(ap, MSI_DM_INIT);
	EXPECT_TRUE(init_is_latched(ap->vcpu));
	if (variant->intercepted)
		ASSERT_EXITS_THEN_TAKES_INIT(ap);
	else
		ASSERT_TAKES_INIT(ap);
}

/* The vCPU runs in its own thread, and an INIT was sent. */
#define ASSERT_WAKES(ap)						\
do {									\
	if (variant->intercepted || variant->bsp) {			\
		ASSERT_TRUE(ap_wait(ap));				\
		if (variant->intercepted)				\
			ASSERT_LATCHED_BY_EXIT(ap);			\
		else							\
			EXPECT_EQ(PORT_RESET, ap_port(ap));		\
	} else {							\
		ASSERT_TRUE(ap_stop(ap));				\
		ASSERT_TAKES_INIT(ap);					\
	}								\
} while (0)

TEST_F(l2_init, running)
{
	struct ap *ap = &self->ap;
	u64 *now = addr_gva2hva(ap->vcpu->vm, (uintptr_t)&spins);
	int ms;

	l2_spins = true;
	sync_global_to_guest(ap->vcpu->vm, l2_spins);
	ASSERT_RUNS_TO_L2(ap);
	ap_start(ap);
	for (ms = 0; ms < LIMIT_MS && !READ_ONCE(*now); ms++)
		usleep(1000);
	ASSERT_NE(0, READ_ONCE(*now));

	ap_send(ap, MSI_DM_INIT);
	ASSERT_WAKES(ap);
}

/* L1 doesn't intercept HLT: L0 has the vCPU sleep in L2. */
TEST_F(l2_init, halted)
{
	struct ap *ap = &self->ap;

	l2_halts = true;
	sync_global_to_guest(ap->vcpu->vm, l2_halts);
	ASSERT_RUNS_TO_L2(ap);
	ap_start(ap);
	EXPECT_SLEEPS(ap);
	ap_send(ap, MSI_DM_INIT);
	ASSERT_WAKES(ap);
}

/* L2 has what L1 injected before INIT takes it away. */
TEST_F(l2_init, pending_entry)
{
	struct ap *ap = &self->ap;
	struct vmcb *vmcb = self->svm->vmcb_hva;
	struct kvm_regs regs;

	ASSERT_RUNS_TO_L2(ap);
	set_pending_entry(ap->vcpu, INJECTED_VECTOR | SVM_EVTINJ_TYPE_INTR | SVM_EVTINJ_VALID);
	vcpu_regs_get(ap->vcpu, &regs);
	ap_send(ap, MSI_DM_INIT);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp_state_of(ap->vcpu));
	EXPECT_TRUE(nested_flags(ap->vcpu) & KVM_STATE_NESTED_RUN_PENDING);
	EXPECT_TRUE(init_is_latched(ap->vcpu));

	if (variant->intercepted) {
		ASSERT_EXITS_THEN_TAKES_INIT(ap);
		EXPECT_EQ(0, vmcb->control.exit_int_info);
		/* In front of the handler, with a frame on the stack. */
		EXPECT_NE(regs.rip, vmcb->save.rip);
		EXPECT_EQ((regs.rsp & ~0xfull) - 5 * sizeof(u64), vmcb->save.rsp);
	} else {
		ASSERT_TAKES_INIT(ap);
	}
}

/* A monitor that only looks makes the vCPU take the INIT, or exit to L1. */
TEST_F(l2_init, get_mp_state)
{
	struct ap *ap = &self->ap;

	ASSERT_RUNS_TO_L2(ap);
	vcpu_run_complete_io(ap->vcpu);
	ap_send(ap, MSI_DM_INIT);
	EXPECT_EQ(variant->intercepted || variant->bsp ? KVM_MP_STATE_RUNNABLE :
		  KVM_MP_STATE_INIT_RECEIVED, mp_state_of(ap->vcpu));
	EXPECT_EQ(variant->intercepted, init_is_latched(ap->vcpu));
	EXPECT_EQ(variant->intercepted ? 0 : KVM_STATE_NESTED_GIF_SET, nested_flags(ap->vcpu));
	if (variant->intercepted)
		ASSERT_EXITS_THEN_TAKES_INIT(ap);
	else
		ASSERT_TAKES_INIT(ap);
}

TEST_F(l2_init, restored)
{
	struct ap *ap = &self->ap;

	ASSERT_RUNS_TO_L2(ap);
	ap_send(ap, MSI_DM_INIT);
	nested_ap_restore(ap);
	if (variant->intercepted)
		ASSERT_EXITS_THEN_TAKES_INIT(ap);
	else
		ASSERT_TAKES_INIT(ap);
}

/* Here the INIT is still pending, in L2, when it is saved. */
TEST_F(l2_init, restored_pending_entry)
{
	struct ap *ap = &self->ap;

	ASSERT_RUNS_TO_L2(ap);
	set_pending_entry(ap->vcpu, 0);
	ap_send(ap, MSI_DM_INIT);
	nested_ap_restore(ap);
	EXPECT_TRUE(nested_flags(ap->vcpu) & KVM_STATE_NESTED_RUN_PENDING);
	EXPECT_TRUE(init_is_latched(ap->vcpu));
	if (variant->intercepted)
		ASSERT_EXITS_THEN_TAKES_INIT(ap);
	else
		ASSERT_TAKES_INIT(ap);
}

/* INIT while GIF is clear. */
FIXTURE(gif_init)
{
	struct ap ap;
};

FIXTURE_VARIANT(gif_init)
{
	bool bsp;
};

FIXTURE_VARIANT_ADD(gif_init, bsp)
{
	.bsp = true,
};

FIXTURE_VARIANT_ADD(gif_init, ap)
{
};

FIXTURE_SETUP(gif_init)
{
	create(&self->ap, variant->bsp, false);
}

FIXTURE_TEARDOWN(gif_init)
{
	destroy(&self->ap);
}

TEST_F(gif_init, held)
{
	struct ap *ap = &self->ap;

	ASSERT_RUNS_TO_GIF_CLEAR(ap);
	ap_send(ap, MSI_DM_INIT);
	EXPECT_TRUE(init_is_latched(ap->vcpu));
	ASSERT_RUNS_TO(ap, PORT_GIF_CLEAR);
	EXPECT_TRUE(init_is_latched(ap->vcpu));
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp_state_of(ap->vcpu));
	EXPECT_TRUE(init_is_latched(ap->vcpu));
	ASSERT_TAKES_INIT(ap);
}

TEST_F(gif_init, restored)
{
	struct ap *ap = &self->ap;

	ASSERT_RUNS_TO_GIF_CLEAR(ap);
	ap_send(ap, MSI_DM_INIT);
	nested_ap_restore(ap);
	EXPECT_TRUE(init_is_latched(ap->vcpu));
	EXPECT_EQ(0, nested_flags(ap->vcpu));
	ASSERT_RUNS_TO(ap, PORT_GIF_CLEAR);
	EXPECT_TRUE(init_is_latched(ap->vcpu));
	ASSERT_TAKES_INIT(ap);
}

/* A SIPI means something only to an AP that waits for it. */
FIXTURE(sipi)
{
	struct ap ap;
};

FIXTURE_SETUP(sipi)
{
	create(&self->ap, false, false);
}

FIXTURE_TEARDOWN(sipi)
{
	destroy(&self->ap);
}

/* Not by an INIT: that would drop it. */
#define ASSERT_NO_SIPI_LEFT(ap)						\
do {									\
	struct kvm_mp_state __wait = { .mp_state = KVM_MP_STATE_INIT_RECEIVED }; \
									\
	vcpu_mp_state_set((ap)->vcpu, &__wait);				\
	ASSERT_TRUE(waits_for_sipi(ap));				\
} while (0)

TEST_F(sipi, in_l1)
{
	struct ap *ap = &self->ap;

	ASSERT_RUNS_TO(ap, PORT_L1);
	ap_send(ap, MSI_DM_STARTUP | OTHER_VECTOR);
	ASSERT_RUNS_TO(ap, PORT_GIF_CLEAR, PORT_GIF_CLEAR, PORT_L1);
	ASSERT_NO_SIPI_LEFT(ap);
}

TEST_F(sipi, gif_clear)
{
	struct ap *ap = &self->ap;

	ASSERT_RUNS_TO_GIF_CLEAR(ap);
	ap_send(ap, MSI_DM_STARTUP | OTHER_VECTOR);
	ASSERT_RUNS_TO(ap, PORT_GIF_CLEAR, PORT_L1);
	ASSERT_NO_SIPI_LEFT(ap);
}

TEST_F(sipi, in_l2)
{
	struct ap *ap = &self->ap;

	ASSERT_RUNS_TO_L2(ap);
	ap_send(ap, MSI_DM_STARTUP | OTHER_VECTOR);
	ASSERT_RUNS_TO(ap, PORT_L2, PORT_EXIT, PORT_L1);
	ASSERT_NO_SIPI_LEFT(ap);
}

TEST_F(sipi, pending_entry)
{
	struct ap *ap = &self->ap;

	ASSERT_RUNS_TO_L2(ap);
	set_pending_entry(ap->vcpu, 0);
	ap_send(ap, MSI_DM_STARTUP | OTHER_VECTOR);
	ASSERT_RUNS_TO(ap, PORT_L2, PORT_EXIT, PORT_L1);
	ASSERT_NO_SIPI_LEFT(ap);
}

/* INIT and SIPI, both while L2 is stopped. */
FIXTURE(l2_sipi)
{
	struct ap ap;
};

FIXTURE_VARIANT(l2_sipi)
{
	bool intercepted;
};

FIXTURE_VARIANT_ADD(l2_sipi, init)
{
};

FIXTURE_VARIANT_ADD(l2_sipi, init_intercepted)
{
	.intercepted = true,
};

FIXTURE_SETUP(l2_sipi)
{
	create(&self->ap, false, variant->intercepted);
}

FIXTURE_TEARDOWN(l2_sipi)
{
	destroy(&self->ap);
}

/* INIT replaces a SIPI that was not taken yet. */
TEST_F(l2_sipi, in_front_of_init)
{
	struct ap *ap = &self->ap;

	ASSERT_RUNS_TO_L2(ap);
	ap_send(ap, MSI_DM_STARTUP | OTHER_VECTOR);
	ap_send(ap, MSI_DM_INIT);
	if (variant->intercepted)
		ASSERT_EXITS_THEN_TAKES_INIT(ap);
	else
		ASSERT_TAKES_INIT(ap);
}

/*
 * Both are taken at once, if nothing stands between them. The exit to L1 does: it clears
 * GIF, and the SIPI is dropped.
 */
TEST_F(l2_sipi, behind_init)
{
	struct ap *ap = &self->ap;

	ASSERT_RUNS_TO_L2(ap);
	ap_send(ap, MSI_DM_INIT);
	ap_send(ap, MSI_DM_STARTUP | AP_VECTOR);
	if (variant->intercepted)
		ASSERT_EXITS_THEN_TAKES_INIT(ap);
	else
		ASSERT_STARTS(ap);
}

/* The entry has to be made first: until then, both are kept. */
TEST_F(l2_sipi, behind_init_pending_entry)
{
	struct ap *ap = &self->ap;

	ASSERT_RUNS_TO_L2(ap);
	set_pending_entry(ap->vcpu, 0);
	ap_send(ap, MSI_DM_INIT);
	ap_send(ap, MSI_DM_STARTUP | AP_VECTOR);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp_state_of(ap->vcpu));
	if (variant->intercepted)
		ASSERT_EXITS_THEN_TAKES_INIT(ap);
	else
		ASSERT_STARTS(ap);
}

/*
 * INIT and SIPI both come while GIF is clear. The SIPI is dropped, but where KVM has the
 * module parameter sipi_behind_init, and it is on: there the SIPI waits behind the INIT.
 */
#define SIPI_BEHIND_INIT	"/sys/module/kvm/parameters/sipi_behind_init"

FIXTURE(gif_sipi)
{
	struct ap ap;
	bool kept;
	char before;
};

FIXTURE_VARIANT(gif_sipi)
{
	bool on;
};

FIXTURE_VARIANT_ADD(gif_sipi, param_off)
{
};

FIXTURE_VARIANT_ADD(gif_sipi, param_on)
{
	.on = true,
};

/* Sets the parameter; returns what it was, or 0 if KVM has none. */
static char set_sipi_behind_init(char value)
{
	int fd = open(SIPI_BEHIND_INIT, O_RDWR);
	char before;

	if (fd < 0) {
		TEST_ASSERT(errno == ENOENT, "open " SIPI_BEHIND_INIT ": errno %d", errno);
		return 0;
	}
	TEST_ASSERT(pread(fd, &before, 1, 0) == 1, "read " SIPI_BEHIND_INIT);
	TEST_ASSERT(pwrite(fd, &value, 1, 0) == 1, "write " SIPI_BEHIND_INIT);
	close(fd);
	return before;
}

FIXTURE_SETUP(gif_sipi)
{
	self->before = set_sipi_behind_init(variant->on ? 'Y' : 'N');
	self->kept = self->before && variant->on;
	create(&self->ap, false, false);
}

FIXTURE_TEARDOWN(gif_sipi)
{
	if (self->before)
		set_sipi_behind_init(self->before);
	destroy(&self->ap);
}

#define ASSERT_STARTS_IF(ap, kept)					\
do {									\
	if (kept)							\
		ASSERT_STARTS(ap);					\
	else								\
		ASSERT_TAKES_INIT(ap);					\
} while (0)

TEST_F(gif_sipi, at_once)
{
	struct ap *ap = &self->ap;

	ASSERT_RUNS_TO_GIF_CLEAR(ap);
	ap_send(ap, MSI_DM_INIT);
	ap_send(ap, MSI_DM_STARTUP | AP_VECTOR);
	ASSERT_RUNS_TO(ap, PORT_GIF_CLEAR);
	EXPECT_TRUE(init_is_latched(ap->vcpu));
	ASSERT_STARTS_IF(ap, self->kept);
}

/* The vCPU has seen the INIT, and latched it, before the SIPI comes. */
TEST_F(gif_sipi, later)
{
	struct ap *ap = &self->ap;

	ASSERT_RUNS_TO_GIF_CLEAR(ap);
	ap_send(ap, MSI_DM_INIT);
	ASSERT_RUNS_TO(ap, PORT_GIF_CLEAR);
	ap_send(ap, MSI_DM_STARTUP | AP_VECTOR);
	ASSERT_STARTS_IF(ap, self->kept);
}

/* After INIT's exit from L2, that is while L1 has yet to say STGI. */
TEST_F(gif_sipi, after_exit)
{
	struct ap *ap = &self->ap;

	intercept = 1ULL << INTERCEPT_INIT;
	sync_global_to_guest(ap->vcpu->vm, intercept);
	ASSERT_RUNS_TO_L2(ap);
	ap_send(ap, MSI_DM_INIT);
	ASSERT_EQ(PORT_EXIT, run_or_wait_for_sipi(ap));
	EXPECT_EQ(SVM_EXIT_INIT, ap_told(ap));
	ap_send(ap, MSI_DM_STARTUP | AP_VECTOR);
	ASSERT_STARTS_IF(ap, self->kept);
}

TEST_F(gif_sipi, cancelled_by_init)
{
	struct ap *ap = &self->ap;

	ASSERT_RUNS_TO_GIF_CLEAR(ap);
	ap_send(ap, MSI_DM_INIT);
	ap_send(ap, MSI_DM_STARTUP | AP_VECTOR);
	ASSERT_RUNS_TO(ap, PORT_GIF_CLEAR);
	ap_send(ap, MSI_DM_INIT);
	ASSERT_TAKES_INIT(ap);
}

/* Nothing is kept without an INIT in front of it. */
TEST_F(gif_sipi, in_front_of_init)
{
	struct ap *ap = &self->ap;

	ASSERT_RUNS_TO_GIF_CLEAR(ap);
	ap_send(ap, MSI_DM_STARTUP | AP_VECTOR);
	ASSERT_RUNS_TO(ap, PORT_GIF_CLEAR);
	ap_send(ap, MSI_DM_INIT);
	ASSERT_TAKES_INIT(ap);
}

TEST_HARNESS_MAIN
