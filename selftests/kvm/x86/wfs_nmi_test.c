// SPDX-License-Identifier: GPL-2.0
/*
 * An AP that waits for INIT or SIPI sleeps, whatever is queued for it: NMI and SMI are
 * blocked in that state. Upstream counts them as a reason to run: in UNINITIALIZED,
 * KVM_RUN returns -EAGAIN as fast as it is called; in INIT_RECEIVED its thread never
 * leaves the CPU.
 */
#include "event_test.h"

FIXTURE(wfs_nmi)
{
	struct ap ap;
};

FIXTURE_VARIANT(wfs_nmi)
{
	u32 mp_state;
};

FIXTURE_VARIANT_ADD(wfs_nmi, uninitialized)
{
	.mp_state = KVM_MP_STATE_UNINITIALIZED,
};

FIXTURE_VARIANT_ADD(wfs_nmi, init_received)
{
	.mp_state = KVM_MP_STATE_INIT_RECEIVED,
};

FIXTURE_SETUP(wfs_nmi)
{
	ap_create(&self->ap, variant->mp_state);
	self->ap.ended = true;
}

FIXTURE_TEARDOWN(wfs_nmi)
{
	if (!self->ap.ended)
		ap_stop(&self->ap);
	kvm_vm_free(self->ap.vcpu->vm);
}

/* As a monitor's inject-nmi does to every vCPU. */
TEST_F(wfs_nmi, ioctl)
{
	vcpu_ioctl(self->ap.vcpu, KVM_NMI, NULL);
	ap_start(&self->ap);
	EXPECT_SLEEPS(&self->ap);
}

TEST_F(wfs_nmi, while_asleep)
{
	ap_start(&self->ap);
	usleep(50000);
	ap_send(&self->ap, MSI_DM_NMI);
	EXPECT_SLEEPS(&self->ap);
}

TEST_F(wfs_nmi, set_events_1)
{
	set_pending_nmis(self->ap.vcpu, 1);
	ap_start(&self->ap);
	EXPECT_SLEEPS(&self->ap);
}

TEST_F(wfs_nmi, set_events_2)
{
	set_pending_nmis(self->ap.vcpu, 2);
	ap_start(&self->ap);
	EXPECT_SLEEPS(&self->ap);
}

TEST_F(wfs_nmi, smi)
{
	TEST_REQUIRE(kvm_has_cap(KVM_CAP_X86_SMM));
	vcpu_ioctl(self->ap.vcpu, KVM_SMI, NULL);
	ap_start(&self->ap);
	EXPECT_SLEEPS(&self->ap);
}

/* A second INIT drops the NMI. What is left of its request must not keep the AP awake. */
TEST_F(wfs_nmi, init_drops_it)
{
	vcpu_ioctl(self->ap.vcpu, KVM_NMI, NULL);
	ap_start(&self->ap);
	ap_send(&self->ap, MSI_DM_INIT);
	usleep(100000);
	EXPECT_SLEEPS(&self->ap);

	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	ASSERT_TRUE(ap_wait(&self->ap));
	EXPECT_EQ(PORT_STARTED, ap_port(&self->ap));
	ap_start(&self->ap);
	ASSERT_TRUE(ap_wait(&self->ap));
	EXPECT_EQ(PORT_LATER, ap_port(&self->ap));
}

TEST_F(wfs_nmi, signal_ends_it)
{
	vcpu_ioctl(self->ap.vcpu, KVM_NMI, NULL);
	ap_start(&self->ap);
	usleep(50000);
	ASSERT_TRUE(ap_stop(&self->ap));
	EXPECT_EQ(EINTR, self->ap.err);
}

/* Nothing is lost: what was queued in wait-for-SIPI is delivered when the AP starts. */
TEST(kept_until_sipi)
{
	struct ap ap;

	ap_create(&ap, KVM_MP_STATE_INIT_RECEIVED);
	vcpu_ioctl(ap.vcpu, KVM_NMI, NULL);
	ap_start(&ap);
	usleep(50000);
	ap_send(&ap, MSI_DM_STARTUP | AP_VECTOR);
	ASSERT_TRUE(ap_wait(&ap));
	EXPECT_EQ(PORT_NMI, ap_port(&ap));
	ap_start(&ap);
	ASSERT_TRUE(ap_wait(&ap));
	EXPECT_EQ(PORT_STARTED, ap_port(&ap));
	ap_start(&ap);
	ASSERT_TRUE(ap_wait(&ap));
	EXPECT_EQ(PORT_LATER, ap_port(&ap));
	kvm_vm_free(ap.vcpu->vm);
}

TEST_HARNESS_MAIN
