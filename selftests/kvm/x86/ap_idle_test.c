// SPDX-License-Identifier: GPL-2.0
/*
 * An AP that waits for INIT or SIPI, with no NMI, sleeps in KVM_RUN.
 *
 * KVM_SET_VCPU_EVENTS once requested NMI service whatever the number of NMIs was. A VMM
 * that resets its APs that way left each of them with a request that nothing on an
 * uninitialized vCPU's path ever takes, and KVM_RUN returned -EAGAIN for ever.
 */
#include "event_test.h"

FIXTURE(ap_idle)
{
	struct ap ap;
};

FIXTURE_VARIANT(ap_idle)
{
	u32 mp_state;
};

FIXTURE_VARIANT_ADD(ap_idle, uninitialized)
{
	.mp_state = KVM_MP_STATE_UNINITIALIZED,
};

FIXTURE_VARIANT_ADD(ap_idle, init_received)
{
	.mp_state = KVM_MP_STATE_INIT_RECEIVED,
};

FIXTURE_SETUP(ap_idle)
{
	ap_create(&self->ap, variant->mp_state);
	/* What a VMM does when it resets its APs. */
	set_pending_nmis(self->ap.vcpu, 0);
	ap_start(&self->ap);
}

FIXTURE_TEARDOWN(ap_idle)
{
	if (!self->ap.ended)
		ap_stop(&self->ap);
	kvm_vm_free(self->ap.vcpu->vm);
}

TEST_F(ap_idle, sleeps)
{
	EXPECT_SLEEPS(&self->ap);
}

TEST_F(ap_idle, signal_ends_it)
{
	usleep(50000);
	ASSERT_TRUE(ap_stop(&self->ap));
	EXPECT_EQ(EINTR, self->ap.err);
}

TEST_F(ap_idle, init_and_sipi_start_it)
{
	usleep(50000);
	ap_send_init_sipi(&self->ap);
	EXPECT_PORTS(&self->ap, PORT_STARTED);
	EXPECT_CS_OF_SIPI(&self->ap);
}

/* SIPI alone means something only after an INIT. */
TEST_F(ap_idle, sipi_alone)
{
	usleep(50000);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	if (variant->mp_state == KVM_MP_STATE_INIT_RECEIVED) {
		EXPECT_PORTS(&self->ap, PORT_STARTED);
		EXPECT_CS_OF_SIPI(&self->ap);
	} else {
		/* Dropped; KVM_RUN returns once to say that there was something. */
		EXPECT_SLEEPS(&self->ap);
	}
}

TEST_HARNESS_MAIN
