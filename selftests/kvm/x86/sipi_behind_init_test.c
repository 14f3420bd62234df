// SPDX-License-Identifier: GPL-2.0
/*
 * kvm.sipi_behind_init: what becomes of a SIPI that finds an INIT latched, as the vCPU is in
 * SMM. Off, and where KVM doesn't have it, the SIPI is dropped: that is what processors do,
 * whose SMM ends long before the second SIPI. On, it is kept behind that INIT and starts the
 * vCPU after it: on an overloaded host a vCPU can sit in SMM through INIT, SIPI and SIPI,
 * and the guest's boot then waited for that AP for ever.
 */
#include "event_parameter.h"
#include "event_test.h"

#define PARAMETER	"sipi_behind_init"

/* An SMI handler that stops twice: out PORT_SMI, al; out PORT_SMI, al; rsm */
static const u8 long_smi[] = { 0xe6, PORT_SMI, 0xe6, PORT_SMI, 0x0f, 0xaa };

FIXTURE(sipi_behind_init)
{
	struct ap ap;
	struct ap other;
	char parameter;
};

FIXTURE_VARIANT(sipi_behind_init)
{
	bool on;
};

FIXTURE_VARIANT_ADD(sipi_behind_init, off)
{
	.on = false,
};

FIXTURE_VARIANT_ADD(sipi_behind_init, on)
{
	.on = true,
};

FIXTURE_SETUP(sipi_behind_init)
{
	self->parameter = get_parameter(PARAMETER);
	if (variant->on && !self->parameter)
		SKIP(return, "KVM has no parameter sipi_behind_init");
	if (self->parameter)
		set_parameter(PARAMETER, variant->on ? 'Y' : 'N');
	ap_create(&self->ap, KVM_MP_STATE_UNINITIALIZED);
	ap_create(&self->other, KVM_MP_STATE_UNINITIALIZED);
	ap_add_smi_handler(&self->ap);
	ap_add_smi_handler(&self->other);
	self->ap.ended = true;
	self->other.ended = true;
}

FIXTURE_TEARDOWN(sipi_behind_init)
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

/* Out of SMM, and started by what was kept; or waiting for another SIPI. */
#define EXPECT_STARTS_IF(on, ap)					\
do {									\
	ap_start(ap);							\
	if (on) {							\
		EXPECT_PORTS(ap, PORT_STARTED, PORT_LATER);		\
		EXPECT_CS_OF_SIPI(ap);					\
		EXPECT_HALTS(ap);					\
	} else {							\
		EXPECT_WAITS_FOR_SIPI(ap);				\
	}								\
} while (0)

/* Neither what is saved nor what is kept has anything left of a SIPI. */
#define EXPECT_NO_SIPI(ap)						\
do {									\
	struct kvm_vcpu_events __events;				\
									\
	vcpu_events_get((ap)->vcpu, &__events);				\
	EXPECT_FALSE(__events.flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR);	\
} while (0)

static void send_init_sipi_sipi(struct ap *ap)
{
	ap_send(ap, MSI_DM_INIT);
	ap_send(ap, MSI_DM_STARTUP | AP_VECTOR);
	ap_send(ap, MSI_DM_STARTUP | AP_VECTOR);
}

TEST_F(sipi_behind_init, all_while_it_is_stopped)
{
	START_IN_SMM(&self->ap);
	send_init_sipi_sipi(&self->ap);
	EXPECT_STARTS_IF(variant->on, &self->ap);
	EXPECT_NO_SIPI(&self->ap);
}

/* The AP runs in SMM, and finds the INIT blocked, before the first SIPI and after it. */
TEST_F(sipi_behind_init, one_by_one)
{
	memcpy(addr_gpa2hva(self->ap.vcpu->vm, AP_SMRAM) + 0x8000, long_smi, sizeof(long_smi));
	START_IN_SMM(&self->ap);
	ap_send(&self->ap, MSI_DM_INIT);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp_state_of(self->ap.vcpu));
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	ap_start(&self->ap);
	EXPECT_PORTS(&self->ap, PORT_SMI);
	EXPECT_TRUE(init_is_latched(self->ap.vcpu));
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp_state_of(self->ap.vcpu));
	EXPECT_STARTS_IF(variant->on, &self->ap);
	EXPECT_NO_SIPI(&self->ap);
}

/* A SIPI has nothing to be kept behind when no INIT was latched, in SMM or out of it. */
TEST_F(sipi_behind_init, sipi_alone)
{
	START_IN_SMM(&self->ap);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp_state_of(self->ap.vcpu));
	EXPECT_NO_SIPI(&self->ap);
	EXPECT_HALTS(&self->ap);

	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	EXPECT_HALTS(&self->ap);
	ap_send(&self->ap, MSI_DM_INIT);
	EXPECT_STARTS_IF(false, &self->ap);
}

TEST_F(sipi_behind_init, sipi_before_init)
{
	START_IN_SMM(&self->ap);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	ap_send(&self->ap, MSI_DM_INIT);
	EXPECT_STARTS_IF(false, &self->ap);
}

/* Whether the SIPI was looked at in between, or not. */
TEST_F(sipi_behind_init, later_init_cancels)
{
	int look;

	for (look = 0; look < 2; look++) {
		START_IN_SMM(&self->ap);
		send_init_sipi_sipi(&self->ap);
		if (look)
			EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp_state_of(self->ap.vcpu));
		ap_send(&self->ap, MSI_DM_INIT);
		EXPECT_NO_SIPI(&self->ap);
		EXPECT_STARTS_IF(false, &self->ap);
	}
}

/* As a monitor resets an AP, while it is in SMM. */
static void reset(struct ap *ap, u32 mp_state)
{
	struct kvm_vcpu_events events = { .flags = KVM_VCPUEVENT_VALID_SMM };
	struct kvm_mp_state state = { .mp_state = mp_state };

	vcpu_run_complete_io(ap->vcpu);
	vcpu_events_set(ap->vcpu, &events);
	vcpu_mp_state_set(ap->vcpu, &state);
}

/* An INIT that comes later finds no SIPI behind it. */
TEST_F(sipi_behind_init, reset_cancels)
{
	int look;

	for (look = 0; look < 2; look++) {
		START_IN_SMM(&self->ap);
		send_init_sipi_sipi(&self->ap);
		if (look)
			EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp_state_of(self->ap.vcpu));
		reset(&self->ap, KVM_MP_STATE_UNINITIALIZED);
		EXPECT_FALSE(init_is_latched(self->ap.vcpu));
		EXPECT_NO_SIPI(&self->ap);
		ap_start(&self->ap);
		EXPECT_SLEEPS(&self->ap);
		ap_send(&self->ap, MSI_DM_INIT);
		EXPECT_WAITS_FOR_SIPI(&self->ap);
	}
}

/* Nor does a vCPU that is told to wait for SIPI find the one that was kept. */
TEST_F(sipi_behind_init, reset_to_wait_for_sipi)
{
	START_IN_SMM(&self->ap);
	send_init_sipi_sipi(&self->ap);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp_state_of(self->ap.vcpu));
	reset(&self->ap, KVM_MP_STATE_INIT_RECEIVED);
	EXPECT_FALSE(init_is_latched(self->ap.vcpu));
	EXPECT_NO_SIPI(&self->ap);
	EXPECT_STARTS_IF(false, &self->ap);
}

/* What is reported is what is kept, and is what restores it; more than once, if need be. */
TEST_F(sipi_behind_init, reported)
{
	struct kvm_vcpu_events events, without;

	START_IN_SMM(&self->ap);
	EXPECT_NO_SIPI(&self->ap);
	ap_send(&self->ap, MSI_DM_INIT);
	EXPECT_NO_SIPI(&self->ap);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp_state_of(self->ap.vcpu));
	vcpu_events_get(self->ap.vcpu, &events);
	EXPECT_TRUE(events.smi.smm);
	EXPECT_TRUE(events.smi.latched_init);
	EXPECT_EQ(variant->on, !!(events.flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR));
	EXPECT_EQ(variant->on ? AP_VECTOR : 0, events.sipi_vector);
	vcpu_events_set(self->ap.vcpu, &events);

	/* Without the INIT there is no SIPI either; and both come back together. */
	without = events;
	without.flags &= ~KVM_VCPUEVENT_VALID_SIPI_VECTOR;
	without.smi.latched_init = 0;
	vcpu_events_set(self->ap.vcpu, &without);
	EXPECT_NO_SIPI(&self->ap);
	vcpu_events_set(self->ap.vcpu, &events);
	EXPECT_STARTS_IF(variant->on, &self->ap);
	EXPECT_NO_SIPI(&self->ap);
}

TEST_F(sipi_behind_init, restored)
{
	START_IN_SMM(&self->ap);
	send_init_sipi_sipi(&self->ap);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp_state_of(self->ap.vcpu));
	move_ap(&self->other, &self->ap);
	move_smram(&self->other, &self->ap);
	EXPECT_TRUE(init_is_latched(self->other.vcpu));
	EXPECT_STARTS_IF(variant->on, &self->other);
	EXPECT_NO_SIPI(&self->other);
}

/* A monitor of old that sets no vector restores the INIT, and a SIPI is waited for. */
TEST_F(sipi_behind_init, restored_without_the_vector)
{
	struct kvm_vcpu_events events;

	START_IN_SMM(&self->ap);
	send_init_sipi_sipi(&self->ap);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp_state_of(self->ap.vcpu));
	move_ap(&self->other, &self->ap);
	move_smram(&self->other, &self->ap);
	vcpu_events_get(self->other.vcpu, &events);
	events.flags &= ~KVM_VCPUEVENT_VALID_SIPI_VECTOR;
	events.smi.latched_init = 0;
	vcpu_events_set(self->other.vcpu, &events);
	events.smi.latched_init = 1;
	vcpu_events_set(self->other.vcpu, &events);
	EXPECT_STARTS_IF(false, &self->other);
}

int main(int argc, char **argv)
{
	TEST_REQUIRE(kvm_has_cap(KVM_CAP_X86_SMM));
	return test_harness_run(argc, argv);
}
