// SPDX-License-Identifier: GPL-2.0
/*
 * What is blocked ends no HLT (SDM vol. 2, "HLT"; APM vol. 3, "HLT"): an NMI in an NMI handler or in
 * SMM, an SMI in SMM, and any of them with GIF clear. It stays pending, and comes when it is no
 * longer blocked.
 */
#include "nested_event_test.h"
#include "svm_util.h"

#define MSI_DM_SMI	0x200
#define PORT_HALT_ENDS	0xea

FIXTURE(halt_blocked)
{
	struct ap ap;
};

/* out PORT_NMI, al; hlt; out PORT_HALT_ENDS, al; iret */
static const u8 nmi_halts[] = { 0xe6, PORT_NMI, 0xf4, 0xe6, PORT_HALT_ENDS, 0xcf };
/* out PORT_SMI, al; hlt; out PORT_HALT_ENDS, al; rsm */
static const u8 smi_halts[] = { 0xe6, PORT_SMI, 0xf4, 0xe6, PORT_HALT_ENDS, 0x0f, 0xaa };

FIXTURE_SETUP(halt_blocked)
{
	ap_create(&self->ap, KVM_MP_STATE_UNINITIALIZED);
	self->ap.ended = true;
	memcpy(addr_gpa2hva(self->ap.vcpu->vm, AP_NMI), nmi_halts, sizeof(nmi_halts));
}

FIXTURE_TEARDOWN(halt_blocked)
{
	if (!self->ap.ended)
		ap_stop(&self->ap);
	kvm_vm_free(self->ap.vcpu->vm);
}

/* The AP halts in its NMI handler. */
#define HALT_IN_NMI(ap)							\
do {									\
	EXPECT_STARTS_BY_INIT_SIPI(ap);					\
	vcpu_ioctl((ap)->vcpu, KVM_NMI, NULL);				\
	ap_start(ap);							\
	EXPECT_PORTS(ap, PORT_NMI);					\
	ap_start(ap);							\
	EXPECT_SLEEPS(ap);						\
} while (0)

/* And in its SMI handler. */
#define HALT_IN_SMM(ap)							\
do {									\
	ap_add_smi_code(ap, smi_halts, sizeof(smi_halts));		\
	START_IN_SMM(ap);						\
	ap_start(ap);							\
	EXPECT_SLEEPS(ap);						\
} while (0)

#define EXPECT_STILL_HALTS(ap)						\
do {									\
	EXPECT_SLEEPS(ap);						\
	ASSERT_TRUE(ap_stop(ap));					\
	EXPECT_EQ(EINTR, (ap)->err);					\
	EXPECT_EQ(KVM_MP_STATE_HALTED, mp_state_of((ap)->vcpu));	\
} while (0)

TEST_F(halt_blocked, nmi_in_nmi_handler)
{
	HALT_IN_NMI(&self->ap);
	ap_send(&self->ap, MSI_DM_NMI);
	EXPECT_STILL_HALTS(&self->ap);
	EXPECT_EQ(1, pending_nmis(self->ap.vcpu));
}

TEST_F(halt_blocked, nmi_in_smm)
{
	if (!kvm_has_cap(KVM_CAP_X86_SMM))
		SKIP(return, "KVM has no SMM");
	HALT_IN_SMM(&self->ap);
	ap_send(&self->ap, MSI_DM_NMI);
	EXPECT_STILL_HALTS(&self->ap);
	EXPECT_EQ(1, pending_nmis(self->ap.vcpu));
}

TEST_F(halt_blocked, smi_in_smm)
{
	struct kvm_vcpu_events events;

	if (!kvm_has_cap(KVM_CAP_X86_SMM))
		SKIP(return, "KVM has no SMM");
	HALT_IN_SMM(&self->ap);
	ap_send(&self->ap, MSI_DM_SMI);
	EXPECT_STILL_HALTS(&self->ap);
	vcpu_events_get(self->ap.vcpu, &events);
	EXPECT_EQ(1, events.smi.pending);
}

/* What is not blocked ends the HLT, and what was blocked comes after it. */
TEST_F(halt_blocked, smi_then_nmi)
{
	if (!kvm_has_cap(KVM_CAP_X86_SMM))
		SKIP(return, "KVM has no SMM");
	ap_add_smi_handler(&self->ap);
	HALT_IN_NMI(&self->ap);
	ap_send(&self->ap, MSI_DM_NMI);
	usleep(50000);
	ap_send(&self->ap, MSI_DM_SMI);
	/* The second NMI's handler is the first's. */
	EXPECT_PORTS(&self->ap, PORT_SMI, PORT_HALT_ENDS, PORT_NMI);
}

TEST_F(halt_blocked, init)
{
	HALT_IN_NMI(&self->ap);
	ap_send(&self->ap, MSI_DM_NMI);
	usleep(50000);
	ap_send(&self->ap, MSI_DM_INIT);
	usleep(50000);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	EXPECT_PORTS(&self->ap, PORT_STARTED, PORT_LATER);
	EXPECT_HALTS(&self->ap);
}

static void guest_halts_without_gif(void)
{
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	clgi();
	tell(PORT_L1, 0);
	asm volatile("hlt");
	tell(PORT_HALT_ENDS, 0);
}

FIXTURE(halt_without_gif)
{
	struct ap ap;
};

FIXTURE_SETUP(halt_without_gif)
{
	if (!kvm_cpu_has(X86_FEATURE_SVM))
		SKIP(return, "no SVM");
	nested_ap_create(&self->ap, true, guest_halts_without_gif);
	ASSERT_RUNS_TO(&self->ap, PORT_L1);
	ap_start(&self->ap);
	EXPECT_SLEEPS(&self->ap);
}

FIXTURE_TEARDOWN(halt_without_gif)
{
	if (!self->ap.ended)
		ap_stop(&self->ap);
	kvm_vm_free(self->ap.vcpu->vm);
}

TEST_F(halt_without_gif, nmi)
{
	ap_send(&self->ap, MSI_DM_NMI);
	EXPECT_STILL_HALTS(&self->ap);
	EXPECT_EQ(1, pending_nmis(self->ap.vcpu));
}

TEST_F(halt_without_gif, smi)
{
	if (!kvm_has_cap(KVM_CAP_X86_SMM))
		SKIP(return, "KVM has no SMM");
	ap_send(&self->ap, MSI_DM_SMI);
	EXPECT_STILL_HALTS(&self->ap);
}

TEST_HARNESS_MAIN
