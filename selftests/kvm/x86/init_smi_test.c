// SPDX-License-Identifier: GPL-2.0
/*
 * An INIT drops the SMI that came before it, whoever takes the INIT: vcpu_enter_guest(), which has
 * made the SMI pending before; and KVM_GET_MP_STATE and a halted vCPU, which have not.
 */
#include "event_test.h"

FIXTURE(init_smi)
{
	struct ap ap;
};

FIXTURE_SETUP(init_smi)
{
	if (!kvm_has_cap(KVM_CAP_X86_SMM))
		SKIP(return, "KVM has no SMM");
	ap_create(&self->ap, KVM_MP_STATE_UNINITIALIZED);
	self->ap.ended = true;
	ap_add_smi_handler(&self->ap);
	EXPECT_STARTS_BY_INIT_SIPI(&self->ap);
}

FIXTURE_TEARDOWN(init_smi)
{
	if (!self->ap.ended)
		ap_stop(&self->ap);
	kvm_vm_free(self->ap.vcpu->vm);
}

static void smi_then_init(struct ap *ap)
{
	vcpu_ioctl(ap->vcpu, KVM_SMI, NULL);
	ap_send(ap, MSI_DM_INIT);
}

/* The AP starts, and no SMI comes in its way. */
#define EXPECT_STARTS_WITHOUT_SMI(ap)					\
do {									\
	ap_send(ap, MSI_DM_STARTUP | AP_VECTOR);			\
	EXPECT_PORTS(ap, PORT_STARTED, PORT_LATER);			\
	EXPECT_HALTS(ap);						\
} while (0)

TEST_F(init_smi, running)
{
	smi_then_init(&self->ap);
	ap_start(&self->ap);
	usleep(100000);
	EXPECT_STARTS_WITHOUT_SMI(&self->ap);
}

TEST_F(init_smi, get_mp_state)
{
	smi_then_init(&self->ap);
	EXPECT_EQ(KVM_MP_STATE_INIT_RECEIVED, mp_state_of(self->ap.vcpu));
	ap_start(&self->ap);
	EXPECT_STARTS_WITHOUT_SMI(&self->ap);
}

TEST_F(init_smi, halted)
{
	ap_start(&self->ap);
	EXPECT_SLEEPS(&self->ap);
	ASSERT_TRUE(ap_stop(&self->ap));
	smi_then_init(&self->ap);
	ap_start(&self->ap);
	usleep(100000);
	EXPECT_STARTS_WITHOUT_SMI(&self->ap);
}

/* One that comes after the INIT waits, and is the AP's that a SIPI starts. */
TEST_F(init_smi, smi_after_init)
{
	ap_send(&self->ap, MSI_DM_INIT);
	EXPECT_EQ(KVM_MP_STATE_INIT_RECEIVED, mp_state_of(self->ap.vcpu));
	vcpu_ioctl(self->ap.vcpu, KVM_SMI, NULL);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	ap_start(&self->ap);
	EXPECT_PORTS(&self->ap, PORT_SMI, PORT_STARTED, PORT_LATER);
}

TEST_HARNESS_MAIN
