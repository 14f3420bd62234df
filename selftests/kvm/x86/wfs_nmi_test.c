// SPDX-License-Identifier: GPL-2.0
/*
 * An AP that waits for INIT or SIPI sleeps, whatever is queued for it: NMI and SMI are
 * blocked in that state, and a paravirtual kick ends a HLT, not this wait. Upstream counts
 * them as a reason to run: in UNINITIALIZED, KVM_RUN returns -EAGAIN as fast as it is
 * called; in INIT_RECEIVED its thread never leaves the CPU.
 */
#include "event_test.h"

FIXTURE(wfs_nmi)
{
	struct ap ap;
	struct kvm_vcpu *bsp;
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

/* Kicks, as a paravirtual spinlock does when it is released, whenever the BSP is run. */
static void guest_kicks(u32 apic_id)
{
	for (;;)
		GUEST_SYNC(kvm_hypercall(KVM_HC_KICK_CPU, 0, apic_id, 0, 0));
}

FIXTURE_SETUP(wfs_nmi)
{
	self->bsp = ap_create_beside(&self->ap, variant->mp_state, guest_kicks);
	vcpu_args_set(self->bsp, 1, self->ap.vcpu->id);
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
	if (!kvm_has_cap(KVM_CAP_X86_SMM))
		SKIP(return, "KVM has no SMM");
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
	EXPECT_PORTS(&self->ap, PORT_STARTED, PORT_LATER);
}

static void pv_kick(struct kvm_vcpu *bsp)
{
	struct ucall uc;

	vcpu_run(bsp);
	TEST_ASSERT(get_ucall(bsp, &uc) == UCALL_SYNC && !uc.args[1],
		    "KVM_HC_KICK_CPU: ucall %d, result %ld", (int)uc.cmd, (long)uc.args[1]);
}

TEST_F(wfs_nmi, pv_kick)
{
	pv_kick(self->bsp);
	ap_start(&self->ap);
	EXPECT_SLEEPS(&self->ap);
}

TEST_F(wfs_nmi, pv_kick_while_asleep)
{
	ap_start(&self->ap);
	usleep(50000);
	pv_kick(self->bsp);
	EXPECT_SLEEPS(&self->ap);

	ap_send_init_sipi(&self->ap);
	EXPECT_PORTS(&self->ap, PORT_STARTED, PORT_LATER);
}

/* The AP runs when it is kicked. An INIT leaves the kick alone. */
TEST_F(wfs_nmi, pv_kick_before_init)
{
	EXPECT_STARTS_BY_INIT_SIPI(&self->ap);
	pv_kick(self->bsp);
	ap_send(&self->ap, MSI_DM_INIT);
	ap_start(&self->ap);
	EXPECT_SLEEPS(&self->ap);

	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	EXPECT_PORTS(&self->ap, PORT_STARTED, PORT_LATER);
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
FIXTURE(kept_until_sipi)
{
	struct ap ap;
};

FIXTURE_SETUP(kept_until_sipi)
{
	ap_create(&self->ap, KVM_MP_STATE_INIT_RECEIVED);
	self->ap.ended = true;
}

FIXTURE_TEARDOWN(kept_until_sipi)
{
	if (!self->ap.ended)
		ap_stop(&self->ap);
	kvm_vm_free(self->ap.vcpu->vm);
}

static void wait_then_sipi(struct ap *ap)
{
	ap_start(ap);
	usleep(50000);
	ap_send(ap, MSI_DM_STARTUP | AP_VECTOR);
}

TEST_F(kept_until_sipi, nmi)
{
	vcpu_ioctl(self->ap.vcpu, KVM_NMI, NULL);
	wait_then_sipi(&self->ap);
	EXPECT_PORTS(&self->ap, PORT_NMI, PORT_STARTED, PORT_LATER);
}

/* The second waits for the first one's IRET. */
TEST_F(kept_until_sipi, two_nmis)
{
	set_pending_nmis(self->ap.vcpu, 2);
	wait_then_sipi(&self->ap);
	EXPECT_PORTS(&self->ap, PORT_NMI, PORT_NMI, PORT_STARTED, PORT_LATER);
}

TEST_F(kept_until_sipi, smi)
{
	if (!kvm_has_cap(KVM_CAP_X86_SMM))
		SKIP(return, "KVM has no SMM");
	ap_add_smi_handler(&self->ap);
	vcpu_ioctl(self->ap.vcpu, KVM_SMI, NULL);
	wait_then_sipi(&self->ap);
	EXPECT_PORTS(&self->ap, PORT_SMI, PORT_STARTED, PORT_LATER);
}

/* A monitor that stops the AP and looks finds them, and does not take them away by it. */
TEST_F(kept_until_sipi, seen_by_get)
{
	vcpu_ioctl(self->ap.vcpu, KVM_NMI, NULL);
	ap_start(&self->ap);
	usleep(50000);
	ASSERT_TRUE(ap_stop(&self->ap));
	EXPECT_EQ(EINTR, self->ap.err);
	EXPECT_EQ(1, pending_nmis(self->ap.vcpu));
	EXPECT_EQ(1, pending_nmis(self->ap.vcpu));
	wait_then_sipi(&self->ap);
	EXPECT_PORTS(&self->ap, PORT_NMI, PORT_STARTED, PORT_LATER);
}

TEST_HARNESS_MAIN
