// SPDX-License-Identifier: GPL-2.0
/*
 * What KVM_SET_VCPU_EVENTS has changed of INIT and SIPI when it returns EINVAL. KVM checks as it
 * goes along: what stands in front of the check that fails is set, what stands behind it is not.
 * A VMM that tries a field, and does without it if KVM refuses it, relies on that.
 */
#include "event_test.h"

/* Where a second vector starts the AP. */
#define OTHER_START	0xa000
#define OTHER_VECTOR	(OTHER_START >> 12)
#define PORT_OTHER	0xe4

static void create(struct ap *ap, u32 mp_state)
{
	/* out PORT_OTHER, al; 1: hlt; jmp 1b */
	static const u8 other[] = { 0xe6, PORT_OTHER, 0xf4, 0xeb, 0xfd };

	ap_create(ap, mp_state);
	ap->ended = true;
	memcpy(addr_gpa2hva(ap->vcpu->vm, OTHER_START), other, sizeof(other));
}

/* The AP's events, but with @init, and with another vector for the SIPI. */
static void other_events(struct ap *ap, struct kvm_vcpu_events *events, bool init)
{
	vcpu_events_get(ap->vcpu, events);
	events->flags |= KVM_VCPUEVENT_VALID_SMM | KVM_VCPUEVENT_VALID_SIPI_VECTOR;
	events->smi.latched_init = init;
	events->sipi_vector = OTHER_VECTOR;
}

#define EXPECT_EINVAL(ap, events)					\
do {									\
	EXPECT_EQ(-1, __vcpu_ioctl((ap)->vcpu, KVM_SET_VCPU_EVENTS, events)); \
	EXPECT_EQ(EINVAL, errno);					\
} while (0)

/* The INIT is still there, and the SIPI, which starts the AP by the vector that @port is for. */
#define EXPECT_STARTS(ap, port)						\
do {									\
	EXPECT_TRUE(init_is_latched((ap)->vcpu));			\
	ap_start(ap);							\
	EXPECT_PORTS(ap, port);						\
} while (0)

FIXTURE(refused)
{
	struct ap ap;
};

/* An AP with an INIT and a SIPI pending, of which it has taken neither. */
FIXTURE_SETUP(refused)
{
	create(&self->ap, KVM_MP_STATE_UNINITIALIZED);
	ap_send(&self->ap, MSI_DM_INIT);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	ASSERT_TRUE(init_is_latched(self->ap.vcpu));
}

FIXTURE_TEARDOWN(refused)
{
	if (!self->ap.ended)
		ap_stop(&self->ap);
	kvm_vm_free(self->ap.vcpu->vm);
}

/* The first check. */
TEST_F(refused, unknown_flag)
{
	struct kvm_vcpu_events events;

	other_events(&self->ap, &events, false);
	events.flags |= 1u << 31;
	EXPECT_EINVAL(&self->ap, &events);
	EXPECT_STARTS(&self->ap, PORT_STARTED);
}

TEST_F(refused, bad_exception)
{
	struct kvm_vcpu_events events;

	other_events(&self->ap, &events, false);
	events.exception.injected = 1;
	events.exception.nr = NMI_VECTOR;
	EXPECT_EINVAL(&self->ap, &events);
	EXPECT_STARTS(&self->ap, PORT_STARTED);
}

/* The last check: INIT and the vector are what userspace said. */
TEST_F(refused, triple_fault)
{
	struct kvm_vcpu_events events;

	other_events(&self->ap, &events, false);
	events.flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	events.triple_fault.pending = 1;
	EXPECT_EINVAL(&self->ap, &events);
	EXPECT_FALSE(init_is_latched(self->ap.vcpu));

	events.smi.latched_init = 1;
	EXPECT_EINVAL(&self->ap, &events);
	EXPECT_STARTS(&self->ap, PORT_OTHER);
}

/* A KVM without SMM refuses each of its fields, between the SIPI's vector and the INIT. */
#define EXPECT_SMM_FIELD_IS_SET_OR_REFUSED(ap, field)			\
do {									\
	struct kvm_vcpu_events __events;				\
									\
	other_events(ap, &__events, false);				\
	__events.smi.field = 1;						\
	if (kvm_has_cap(KVM_CAP_X86_SMM)) {				\
		vcpu_events_set((ap)->vcpu, &__events);			\
		EXPECT_FALSE(init_is_latched((ap)->vcpu));		\
	} else {							\
		EXPECT_EINVAL(ap, &__events);				\
		EXPECT_STARTS(ap, PORT_OTHER);				\
	}								\
} while (0)

TEST_F(refused, smm)
{
	EXPECT_SMM_FIELD_IS_SET_OR_REFUSED(&self->ap, smm);
}

TEST_F(refused, smi_pending)
{
	EXPECT_SMM_FIELD_IS_SET_OR_REFUSED(&self->ap, pending);
}

TEST_F(refused, smm_inside_nmi)
{
	EXPECT_SMM_FIELD_IS_SET_OR_REFUSED(&self->ap, smm_inside_nmi);
}

FIXTURE(refused_in_wait_for_sipi)
{
	struct ap ap;
};

FIXTURE_SETUP(refused_in_wait_for_sipi)
{
	create(&self->ap, KVM_MP_STATE_INIT_RECEIVED);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
}

FIXTURE_TEARDOWN(refused_in_wait_for_sipi)
{
	if (!self->ap.ended)
		ap_stop(&self->ap);
	kvm_vm_free(self->ap.vcpu->vm);
}

/* No vCPU waits for SIPI in SMM. KVM refuses the events, and changes nothing, or the next KVM_RUN. */
TEST_F(refused_in_wait_for_sipi, smm)
{
	struct kvm_vcpu_events events;

	other_events(&self->ap, &events, true);
	events.smi.smm = 1;
	if (__vcpu_ioctl(self->ap.vcpu, KVM_SET_VCPU_EVENTS, &events)) {
		EXPECT_EQ(EINVAL, errno);
		EXPECT_FALSE(init_is_latched(self->ap.vcpu));
		ap_start(&self->ap);
		if (kvm_has_cap(KVM_CAP_X86_SMM))
			EXPECT_PORTS(&self->ap, PORT_STARTED);
		else
			ASSERT_TRUE(ap_wait(&self->ap));
	} else {
		EXPECT_TRUE(init_is_latched(self->ap.vcpu));
		ap_start(&self->ap);
		ASSERT_TRUE(ap_wait(&self->ap));
		EXPECT_EQ(EINVAL, self->ap.err);
	}
}

TEST_HARNESS_MAIN
