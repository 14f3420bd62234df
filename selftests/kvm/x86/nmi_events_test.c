// SPDX-License-Identifier: GPL-2.0
/*
 * NMIs are counted exactly: what userspace sets and gets, what the limit is, and how many
 * the guest's handler sees. No test of KVM's did so; a guest that gets one too many says
 * "NMI received for unknown reason".
 */
#include "event_test.h"

#define IN_HANDLER	0x7ead

static int handled;
static bool in_handler;
static bool nested;
static bool stop_in_handler;

static void nmi_handler(struct ex_regs *regs)
{
	if (in_handler)
		WRITE_ONCE(nested, true);
	WRITE_ONCE(in_handler, true);
	WRITE_ONCE(handled, handled + 1);
	if (stop_in_handler && handled == 1)
		GUEST_SYNC(IN_HANDLER);
	WRITE_ONCE(in_handler, false);
}

/* Reports after every look around how many NMIs it got. */
static void guest_code(void)
{
	int i;

	for (;;) {
		for (i = 0; i < 1000; i++)
			cpu_relax();
		GUEST_ASSERT(!READ_ONCE(nested));
		GUEST_SYNC(READ_ONCE(handled));
	}
}

FIXTURE(nmi_events)
{
	struct kvm_vcpu *vcpu;
};

static struct kvm_vcpu *create_guest(void)
{
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;

	vm = vm_create_with_one_vcpu(&vcpu, guest_code);
	vm_install_exception_handler(vm, NMI_VECTOR, nmi_handler);
	return vcpu;
}

FIXTURE_SETUP(nmi_events)
{
	self->vcpu = create_guest();
}

FIXTURE_TEARDOWN(nmi_events)
{
	kvm_vm_free(self->vcpu->vm);
}

/* Runs the guest to its next report, and returns that. */
static int run_guest(struct kvm_vcpu *vcpu)
{
	struct ucall uc;

	vcpu_run(vcpu);
	switch (get_ucall(vcpu, &uc)) {
	case UCALL_SYNC:
		return uc.args[1];
	case UCALL_ABORT:
		REPORT_GUEST_ASSERT(uc);
	default:
		TEST_FAIL("exit %d, ucall %d", vcpu->run->exit_reason, (int)uc.cmd);
	}
	return -1;
}

static void set_nmis(struct kvm_vcpu *vcpu, u8 pending, bool masked, bool injected)
{
	struct kvm_vcpu_events events;

	vcpu_events_get(vcpu, &events);
	events.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING;
	events.nmi.pending = pending;
	events.nmi.masked = masked;
	events.nmi.injected = injected;
	vcpu_events_set(vcpu, &events);
}

static const u8 counts[] = { 0, 1, 2, 3, 255 };

/* The limit is applied under the mask that is set together with the count. */
TEST_F(nmi_events, set_and_get)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		set_nmis(self->vcpu, counts[i], false, false);
		EXPECT_EQ(min_t(int, counts[i], 2), pending_nmis(self->vcpu));
		set_nmis(self->vcpu, counts[i], true, false);
		EXPECT_EQ(min_t(int, counts[i], 1), pending_nmis(self->vcpu));
		set_nmis(self->vcpu, counts[i], false, true);
		EXPECT_EQ(min_t(int, counts[i], 1), pending_nmis(self->vcpu));
		set_nmis(self->vcpu, counts[i], true, true);
		EXPECT_EQ(min_t(int, counts[i], 1), pending_nmis(self->vcpu));
	}
}

TEST_F(nmi_events, get_loses_nothing)
{
	int sent;

	for (sent = 1; sent <= 3; sent++) {
		vcpu_ioctl(self->vcpu, KVM_NMI, NULL);
		EXPECT_EQ(min_t(int, sent, 2), pending_nmis(self->vcpu));
		EXPECT_EQ(min_t(int, sent, 2), pending_nmis(self->vcpu));
	}
}

TEST_F(nmi_events, set_without_valid_keeps)
{
	struct kvm_vcpu_events events;

	vcpu_events_get(self->vcpu, &events);
	events.flags &= ~KVM_VCPUEVENT_VALID_NMI_PENDING;
	events.nmi.pending = 0;
	vcpu_ioctl(self->vcpu, KVM_NMI, NULL);
	vcpu_ioctl(self->vcpu, KVM_NMI, NULL);
	vcpu_events_set(self->vcpu, &events);
	EXPECT_EQ(2, pending_nmis(self->vcpu));
}

TEST_F(nmi_events, set_zero_drops)
{
	vcpu_ioctl(self->vcpu, KVM_NMI, NULL);
	vcpu_ioctl(self->vcpu, KVM_NMI, NULL);
	set_nmis(self->vcpu, 0, false, false);
	EXPECT_EQ(0, pending_nmis(self->vcpu));
	EXPECT_EQ(0, run_guest(self->vcpu));
	EXPECT_EQ(0, run_guest(self->vcpu));
}

TEST_F(nmi_events, guest_gets_what_was_set)
{
	int i, expected = 0;

	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		set_nmis(self->vcpu, counts[i], false, false);
		expected += min_t(int, counts[i], 2);
		EXPECT_EQ(expected, run_guest(self->vcpu));
		EXPECT_EQ(expected, run_guest(self->vcpu));
	}
}

TEST_F(nmi_events, guest_gets_what_was_sent)
{
	int sent, i, expected = 0;

	for (sent = 1; sent <= 3; sent++) {
		for (i = 0; i < sent; i++)
			vcpu_ioctl(self->vcpu, KVM_NMI, NULL);
		expected += min_t(int, sent, 2);
		EXPECT_EQ(expected, run_guest(self->vcpu));
		EXPECT_EQ(expected, run_guest(self->vcpu));
	}
}

/* One more may wait while one is in service, and no NMI interrupts another's handler. */
TEST_F(nmi_events, one_waits_while_masked)
{
	stop_in_handler = true;
	sync_global_to_guest(self->vcpu->vm, stop_in_handler);
	vcpu_ioctl(self->vcpu, KVM_NMI, NULL);
	ASSERT_EQ(IN_HANDLER, run_guest(self->vcpu));

	/* NMIs are masked here: of three, one is kept. */
	vcpu_ioctl(self->vcpu, KVM_NMI, NULL);
	vcpu_ioctl(self->vcpu, KVM_NMI, NULL);
	vcpu_ioctl(self->vcpu, KVM_NMI, NULL);
	EXPECT_EQ(1, pending_nmis(self->vcpu));
	EXPECT_EQ(2, run_guest(self->vcpu));
	EXPECT_EQ(2, run_guest(self->vcpu));
}

/* An NMI that is being injected is delivered once, and one more after it. */
TEST_F(nmi_events, one_waits_while_injected)
{
	set_nmis(self->vcpu, 2, false, true);
	EXPECT_EQ(2, run_guest(self->vcpu));
	EXPECT_EQ(2, run_guest(self->vcpu));
}

/* Masked and saved, unmasked by nobody: the NMI stays where it is. */
TEST_F(nmi_events, masked_is_not_delivered)
{
	set_nmis(self->vcpu, 1, true, false);
	EXPECT_EQ(0, run_guest(self->vcpu));
	EXPECT_EQ(1, pending_nmis(self->vcpu));
	set_nmis(self->vcpu, 1, false, false);
	EXPECT_EQ(1, run_guest(self->vcpu));
	EXPECT_EQ(0, pending_nmis(self->vcpu));
}

/* Save into a fresh vCPU: nothing lost, nothing twice. */
TEST_F(nmi_events, restored_elsewhere)
{
	struct kvm_vcpu_events events;
	struct kvm_vcpu *other = create_guest();

	vcpu_ioctl(self->vcpu, KVM_NMI, NULL);
	vcpu_ioctl(self->vcpu, KVM_NMI, NULL);
	vcpu_events_get(self->vcpu, &events);
	vcpu_events_set(other, &events);
	EXPECT_EQ(2, pending_nmis(other));
	EXPECT_EQ(2, run_guest(other));
	EXPECT_EQ(2, run_guest(other));
	kvm_vm_free(other->vm);
}

TEST_HARNESS_MAIN
