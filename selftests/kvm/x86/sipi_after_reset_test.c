// SPDX-License-Identifier: GPL-2.0
/*
 * kvm.sipi_after_reset: what a SIPI does to an AP that saw no INIT yet. Off, and where KVM doesn't
 * have it, the SIPI is dropped. On, it starts the AP, as it starts a processor after RESET. What a
 * guest sees that sends INIT as well is the same with both.
 */
#include "event_parameter.h"
#include "event_test.h"

#define PARAMETER	"sipi_after_reset"

FIXTURE(sipi_after_reset)
{
	struct ap ap;
	struct ap other;
	char parameter;
};

FIXTURE_VARIANT(sipi_after_reset)
{
	bool on;
};

FIXTURE_VARIANT_ADD(sipi_after_reset, off)
{
	.on = false,
};

FIXTURE_VARIANT_ADD(sipi_after_reset, on)
{
	.on = true,
};

/* As userspace resets an AP. What the library makes is in long mode, where no SIPI starts anything. */
static void create_reset(struct ap *ap)
{
	struct kvm_mp_state state = { .mp_state = KVM_MP_STATE_UNINITIALIZED };

	ap_create(ap, KVM_MP_STATE_INIT_RECEIVED);
	vcpu_mp_state_set(ap->vcpu, &state);
	ap->ended = true;
}

FIXTURE_SETUP(sipi_after_reset)
{
	self->parameter = get_parameter(PARAMETER);
	if (variant->on && !self->parameter)
		SKIP(return, "KVM has no parameter sipi_after_reset");
	if (self->parameter)
		set_parameter(PARAMETER, variant->on ? 'Y' : 'N');
	create_reset(&self->ap);
	create_reset(&self->other);
}

FIXTURE_TEARDOWN(sipi_after_reset)
{
	if (self->parameter)
		set_parameter(PARAMETER, self->parameter);
	if (!self->ap.ended)
		ap_stop(&self->ap);
	if (!self->other.ended)
		ap_stop(&self->other);
	kvm_vm_free(self->ap.vcpu->vm);
	kvm_vm_free(self->other.vcpu->vm);
}

/* Started by the SIPI that was sent; or as before it, and started by INIT and SIPI. */
#define EXPECT_STARTS_IF(on, ap)					\
do {									\
	if (on) {							\
		EXPECT_PORTS(ap, PORT_STARTED, PORT_LATER);		\
		EXPECT_CS_OF_SIPI(ap);					\
		EXPECT_HALTS(ap);					\
	} else {							\
		EXPECT_SLEEPS(ap);					\
		ASSERT_TRUE(ap_stop(ap));				\
		EXPECT_EQ(KVM_MP_STATE_UNINITIALIZED, mp_state_of((ap)->vcpu)); \
		EXPECT_STARTS_BY_INIT_SIPI(ap);				\
	}								\
} while (0)

TEST_F(sipi_after_reset, while_it_sleeps)
{
	ap_start(&self->ap);
	EXPECT_SLEEPS(&self->ap);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	EXPECT_STARTS_IF(variant->on, &self->ap);
}

TEST_F(sipi_after_reset, before_it_runs)
{
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	ap_start(&self->ap);
	EXPECT_STARTS_IF(variant->on, &self->ap);
}

TEST_F(sipi_after_reset, two_sipis)
{
	ap_start(&self->ap);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	EXPECT_STARTS_IF(variant->on, &self->ap);
}

/* To look is to take it. */
TEST_F(sipi_after_reset, get_mp_state)
{
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	EXPECT_EQ(variant->on ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_UNINITIALIZED,
		  mp_state_of(self->ap.vcpu));
	ap_start(&self->ap);
	EXPECT_STARTS_IF(variant->on, &self->ap);
}

/* A guest that sends INIT as well sees no difference. */
TEST_F(sipi_after_reset, init_sipi_sipi)
{
	ap_start(&self->ap);
	ap_send(&self->ap, MSI_DM_INIT);
	EXPECT_SLEEPS(&self->ap);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	EXPECT_PORTS(&self->ap, PORT_STARTED, PORT_LATER);
	EXPECT_CS_OF_SIPI(&self->ap);
	EXPECT_HALTS(&self->ap);
}

TEST_F(sipi_after_reset, init_cancels_sipi)
{
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	ap_send(&self->ap, MSI_DM_INIT);
	ap_start(&self->ap);
	EXPECT_WAITS_FOR_SIPI(&self->ap);
	EXPECT_STARTS_BY_INIT_SIPI(&self->ap);
}

/* It starts by the SIPI, and again by INIT and SIPI. */
TEST_F(sipi_after_reset, sipi_init_sipi)
{
	ap_start(&self->ap);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	if (variant->on)
		EXPECT_PORTS(&self->ap, PORT_STARTED);
	else
		EXPECT_SLEEPS(&self->ap);
	if (self->ap.ended)
		ap_start(&self->ap);
	ASSERT_TRUE(ap_stop(&self->ap));
	EXPECT_STARTS_BY_INIT_SIPI(&self->ap);
	EXPECT_HALTS(&self->ap);
}

/* A started AP drops a SIPI, as ever. */
TEST_F(sipi_after_reset, halted)
{
	EXPECT_STARTS_BY_INIT_SIPI(&self->ap);
	ap_start(&self->ap);
	EXPECT_SLEEPS(&self->ap);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	EXPECT_SLEEPS(&self->ap);
	ASSERT_TRUE(ap_stop(&self->ap));
	EXPECT_EQ(KVM_MP_STATE_HALTED, mp_state_of(self->ap.vcpu));
}

/* Userspace resets the AP: it waits as a new one does. */
TEST_F(sipi_after_reset, reset_by_userspace)
{
	struct kvm_mp_state state = { .mp_state = KVM_MP_STATE_UNINITIALIZED };

	EXPECT_STARTS_BY_INIT_SIPI(&self->ap);
	vcpu_mp_state_set(self->ap.vcpu, &state);
	ap_start(&self->ap);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	EXPECT_STARTS_IF(variant->on, &self->ap);
}

TEST_F(sipi_after_reset, restored)
{
	move_ap(&self->other, &self->ap);
	EXPECT_EQ(KVM_MP_STATE_UNINITIALIZED, mp_state_of(self->other.vcpu));
	ap_start(&self->other);
	ap_send(&self->other, MSI_DM_STARTUP | AP_VECTOR);
	EXPECT_STARTS_IF(variant->on, &self->other);
}

/* A SIPI that was taken when the AP was saved needs no parameter where it goes on. */
TEST_F(sipi_after_reset, restored_where_it_is_off)
{
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	EXPECT_EQ(variant->on ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_UNINITIALIZED,
		  mp_state_of(self->ap.vcpu));
	move_ap(&self->other, &self->ap);
	if (self->parameter)
		set_parameter(PARAMETER, 'N');
	ap_start(&self->other);
	EXPECT_STARTS_IF(variant->on, &self->other);
}

TEST_HARNESS_MAIN
