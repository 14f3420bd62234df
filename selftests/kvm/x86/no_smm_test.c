// SPDX-License-Identifier: GPL-2.0
/*
 * Where KVM can't emulate SMM, an SMI goes nowhere: its sender learns that no vCPU took it, no
 * vCPU is woken or enters SMM, and INIT is not blocked from then on. VMX has no SMM without
 * unrestricted guests and without the emulation of what a guest then can't run; a TDX guest,
 * an SEV-ES guest and a KVM without CONFIG_KVM_SMM have none either.
 *
 * Upstream before 7.x lets the SMI through. The vCPU then fails to enter SMM, as its VM has no
 * memory there, and KVM_RUN returns -EIO for ever.
 */
#include "nested_event_test.h"
#include "event_trace.h"
#include "apic.h"

#define MSI_DM_SMI	0x200

/* What the guest is to do next; it tells that it is done. */
#define JUST_TELL	0
#define SEND_SMI	1
#define HALT		2

static u32 todo;

static void guest_code(u32 apic_id)
{
	u32 done = 0;

	x2apic_enable();
	for (;;) {
		switch (READ_ONCE(todo)) {
		case SEND_SMI:
			x2apic_write_reg(APIC_ICR, (u64)apic_id << 32 | APIC_DM_SMI);
			break;
		case HALT:
			asm volatile("sti; hlt; cli");
			break;
		}
		tell(PORT_L1, ++done);
	}
}

static void set_todo(struct ap *ap, u32 what)
{
	*(u32 *)addr_gva2hva(ap->vcpu->vm, (unsigned long)&todo) = what;
}

FIXTURE(no_smm)
{
	struct ap ap;
};

FIXTURE_SETUP(no_smm)
{
	nested_ap_create(&self->ap, false, guest_code);
	vcpu_args_set(self->ap.vcpu, 1, self->ap.vcpu->id);
	ASSERT_RUNS_TO(&self->ap, PORT_L1);
}

FIXTURE_TEARDOWN(no_smm)
{
	if (!self->ap.ended)
		ap_stop(&self->ap);
	kvm_vm_free(self->ap.vcpu->vm);
}

static int send_smi(struct ap *ap)
{
	struct kvm_msi msi = {
		.address_lo = 0xfee00000 | ap->vcpu->id << 12,
		.data = MSI_DM_SMI,
	};

	return __vm_ioctl(ap->vcpu->vm, KVM_SIGNAL_MSI, &msi);
}

#define EXPECT_NO_SMI(ap)						\
do {									\
	struct kvm_vcpu_events __events;				\
									\
	vcpu_events_get((ap)->vcpu, &__events);				\
	EXPECT_EQ(0, __events.smi.pending);				\
	EXPECT_EQ(0, __events.smi.smm);					\
} while (0)

/* The guest goes on where it was, and takes an INIT as ever. */
#define EXPECT_NOT_IN_SMM(ap)						\
do {									\
	set_todo(ap, JUST_TELL);					\
	ASSERT_RUNS_TO(ap, PORT_L1);					\
	EXPECT_NO_SMI(ap);						\
	ap_send(ap, MSI_DM_INIT);					\
	EXPECT_EQ(KVM_MP_STATE_INIT_RECEIVED, mp_state_of((ap)->vcpu));	\
	EXPECT_FALSE(init_is_latched((ap)->vcpu));			\
} while (0)

TEST_F(no_smm, by_ioctl)
{
	EXPECT_EQ(-1, __vcpu_ioctl(self->ap.vcpu, KVM_SMI, NULL));
	EXPECT_EQ(ENOTTY, errno);
	EXPECT_NO_SMI(&self->ap);
	EXPECT_NOT_IN_SMM(&self->ap);
}

TEST_F(no_smm, by_msi)
{
	EXPECT_EQ(0, send_smi(&self->ap));
	EXPECT_NO_SMI(&self->ap);
	EXPECT_NOT_IN_SMM(&self->ap);
}

TEST_F(no_smm, by_icr)
{
	set_todo(&self->ap, SEND_SMI);
	ASSERT_RUNS_TO(&self->ap, PORT_L1);
	EXPECT_EQ(2, ap_told(&self->ap));
	EXPECT_NO_SMI(&self->ap);
	EXPECT_NOT_IN_SMM(&self->ap);
}

static int set_events(struct ap *ap, bool pending, bool smm, bool inside_nmi)
{
	struct kvm_vcpu_events events;

	vcpu_events_get(ap->vcpu, &events);
	events.flags |= KVM_VCPUEVENT_VALID_SMM;
	events.smi.pending = pending;
	events.smi.smm = smm;
	events.smi.smm_inside_nmi = inside_nmi;
	return __vcpu_ioctl(ap->vcpu, KVM_SET_VCPU_EVENTS, &events) ? errno : 0;
}

/* As without CONFIG_KVM_SMM: nothing of SMM's can be set, and what KVM reported can be. */
TEST_F(no_smm, by_set_events)
{
	EXPECT_EQ(EINVAL, set_events(&self->ap, true, false, false));
	EXPECT_EQ(EINVAL, set_events(&self->ap, false, true, false));
	EXPECT_EQ(EINVAL, set_events(&self->ap, false, true, true));
	EXPECT_EQ(0, set_events(&self->ap, false, false, false));
	EXPECT_NO_SMI(&self->ap);
	EXPECT_NOT_IN_SMM(&self->ap);
}

static int count_kicks(void)
{
	TEST_ASSERT(trace_probe('p', "kick", "__kvm_vcpu_kick") ||
		    trace_probe('p', "kick", "kvm_vcpu_kick"), "no kvm_vcpu_kick");
	return trace_count("kick", NULL);
}

/* A vCPU that sleeps in a HLT sleeps on, and nobody kicks it. */
TEST_F(no_smm, while_halted)
{
	const bool can_count = trace_find();
	int kicks;

	set_todo(&self->ap, HALT);
	ap_start(&self->ap);
	EXPECT_SLEEPS(&self->ap);
	if (can_count)
		kicks = count_kicks();
	EXPECT_EQ(0, send_smi(&self->ap));
	if (can_count) {
		EXPECT_EQ(0, trace_hits(kicks));
		trace_remove("kick");
	}
	EXPECT_SLEEPS(&self->ap);
	ASSERT_TRUE(ap_stop(&self->ap));
	EXPECT_EQ(EINTR, self->ap.err);
	EXPECT_EQ(KVM_MP_STATE_HALTED, mp_state_of(self->ap.vcpu));
	EXPECT_NO_SMI(&self->ap);
}

int main(int argc, char **argv)
{
	__TEST_REQUIRE(!kvm_has_cap(KVM_CAP_X86_SMM), "KVM can emulate SMM");
	return test_harness_run(argc, argv);
}
