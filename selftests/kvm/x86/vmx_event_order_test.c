// SPDX-License-Identifier: GPL-2.0
/*
 * The order of two events that are pending at once while L2 runs, on VMX: which of them L1
 * or L0 sees first, and what becomes of the other. L1 intercepts whatever VMX lets it.
 */
#include "vmx_event_test.h"

#define PORT_NMI_IN_L1	0xe9
#define IRQ_VECTOR	0x41
#define DR6_BS		(1 << 14)

static u8 l2_stack[L2_STACK_SIZE] __aligned(16);

static void nmi_handler(struct ex_regs *regs)
{
	tell(PORT_NMI_IN_L1, 0);
}

/* The second port is one more place at which what is pending is looked at. */
static void l2_code(void)
{
	tell(PORT_L2, 0);
	tell(PORT_L2, 1);
	vmcall();
}

static void l1_code(struct vmx_pages *vmx)
{
	x2apic_enable();
	GUEST_ASSERT(prepare_for_vmx_operation(vmx));
	GUEST_ASSERT(load_vmcs(vmx));
	prepare_vmcs(vmx, l2_code, l2_stack + L2_STACK_SIZE);
	vmwrite(PIN_BASED_VM_EXEC_CONTROL, vmreadz(PIN_BASED_VM_EXEC_CONTROL) |
		PIN_BASED_EXT_INTR_MASK | PIN_BASED_NMI_EXITING | PIN_TIMER);
	vmwrite(VM_EXIT_CONTROLS, vmreadz(VM_EXIT_CONTROLS) | VM_EXIT_ACK_INTR_ON_EXIT);
	vmwrite(VMX_PREEMPTION_TIMER_VALUE, 0xffffffff);
	vmwrite(EXCEPTION_BITMAP, 1 << GP_VECTOR | 1 << DB_VECTOR);
	l1_runs_l2();
}

/* Whether the SMI that is being handled came while L2 ran. */
static bool smi_came_in_l2(struct kvm_vcpu *vcpu)
{
	struct vmx_state state = { .head.size = sizeof(state) };

	vcpu_nested_state_get(vcpu, &state.head);
	return state.head.hdr.vmx.smm.flags & KVM_STATE_NESTED_SMM_GUEST_MODE;
}

/* One letter for what the vCPU stopped for; 0 for L2's end, '?' for what has none. */
static char letter(struct ap *ap)
{
	u32 told = ap_told(ap);

	if (ap_port(ap) == PORT_SMI)
		return smi_came_in_l2(ap->vcpu) ? 'S' : 's';
	if (ap_port(ap) == PORT_NMI_IN_L1)
		return 'n';
	if (ap_port(ap) != PORT_EXIT)
		return '?';
	switch (told & 0xffff) {
	case REASON_EXCEPTION_NMI:
		return told >> 16 == NMI_VECTOR ? 'N' : told >> 16 == DB_VECTOR ? 'T' : 'F';
	case REASON_INTERRUPT:
		return told >> 16 == IRQ_VECTOR ? 'X' : '?';
	case REASON_INIT:
		return 'I';
	case REASON_MTF:
		return 'M';
	case REASON_TIMER:
		return 'P';
	case REASON_VMCALL:
		return 0;
	}
	return '?';
}

static void stage_nested(struct kvm_vcpu *vcpu, const char *events)
{
	struct vmx_state state = { .head.size = sizeof(state) };

	if (!strpbrk(events, "MP"))
		return;
	vcpu_nested_state_get(vcpu, &state.head);
	TEST_ASSERT(state.head.flags & KVM_STATE_NESTED_GUEST_MODE, "the vCPU is not in L2");
	if (strchr(events, 'M'))
		state.head.flags |= KVM_STATE_NESTED_MTF_PENDING;
	if (strchr(events, 'P')) {
		/* Upstream takes a deadline that is past for one far ahead, so this one is near. */
		state.head.hdr.vmx.flags |= KVM_STATE_VMX_PREEMPTION_TIMER_DEADLINE;
		state.head.hdr.vmx.preemption_timer_deadline =
			(vcpu_get_msr(vcpu, MSR_IA32_TSC) >> TIMER_SHIFT) + (1 << 17);
	}
	vcpu_nested_state_set(vcpu, &state.head);
	if (strchr(events, 'P'))
		usleep(500000);
}

static void stage_exception(struct kvm_vcpu *vcpu, const char *events)
{
	struct kvm_vcpu_events e;

	if (!strpbrk(events, "FT"))
		return;
	vcpu_events_get(vcpu, &e);
	e.flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	e.exception.pending = 1;
	e.exception.nr = strchr(events, 'F') ? GP_VECTOR : DB_VECTOR;
	e.exception.has_error_code = !!strchr(events, 'F');
	e.exception_has_payload = !!strchr(events, 'T');
	e.exception_payload = DR6_BS;
	vcpu_events_set(vcpu, &e);
}

/* In the order in which one leaves the others alone. */
static void stage(struct ap *ap, const char *events)
{
	vcpu_run_complete_io(ap->vcpu);
	stage_nested(ap->vcpu, events);
	stage_exception(ap->vcpu, events);
	if (strchr(events, 'S'))
		vcpu_ioctl(ap->vcpu, KVM_SMI, NULL);
	if (strchr(events, 'N'))
		vcpu_ioctl(ap->vcpu, KVM_NMI, NULL);
	if (strchr(events, 'X'))
		ap_send(ap, IRQ_VECTOR);
	if (strchr(events, 'I'))
		ap_send(ap, MSI_DM_INIT);
}

/* What the vCPU does from there to L2's end. */
static void trace(struct ap *ap, char *seen, size_t most)
{
	size_t n = 0;

	for (;;) {
		ap_run_for(ap, LIMIT_MS);
		if (ap_port(ap) == PORT_L2)
			continue;
		seen[n] = letter(ap);
		if (!seen[n] || seen[n] == '?' || ++n == most - 1)
			break;
	}
	seen[n] = 0;
}

/*
 * I: INIT, F: fault, M: monitor trap flag, T: debug trap, P: preemption timer, S: SMI, N: NMI,
 * X: interrupt. Small: it came in L1, after the exit that L1 tells of next. By SDM vol. 3,
 * "Priority Among Concurrent Events", but that the SMI should come before M and T. There is one
 * pending exception, so no F with T. M is discarded with any exit, and P started anew by the next
 * entry; a trap that L1 intercepts is lost with another exit, as KVM saves only one that would
 * have been L2's.
 */
static const struct row {
	const char *events;
	const char *trace;
} rows[] = {
	{ "I", "I" }, { "F", "F" }, { "M", "M" }, { "T", "T" },
	{ "P", "P" }, { "S", "S" }, { "N", "N" }, { "X", "X" },
	{ "IF", "I" }, { "IM", "I" }, { "IT", "I" }, { "IP", "I" }, { "IS", "sI" }, { "IN", "nI" },
	{ "IX", "IX" },
	{ "FM", "F" }, { "FP", "F" }, { "FS", "sF" }, { "FN", "nF" }, { "FX", "FX" },
	{ "MT", "M" }, { "MP", "M" }, { "MS", "sM" }, { "MN", "nM" }, { "MX", "MX" },
	{ "TP", "T" }, { "TS", "sT" }, { "TN", "nT" }, { "TX", "TX" },
	{ "PS", "sP" }, { "PN", "nP" }, { "PX", "PX" },
	{ "SN", "SN" }, { "SX", "SX" },
	{ "NX", "NX" },
};

static void run_row(struct __test_metadata *_metadata, const struct row *row, bool restored)
{
	struct ap ap;
	char seen[16];
	u64 vmx_gva;

	nested_ap_create(&ap, true, l1_code);
	vcpu_alloc_vmx(ap.vcpu->vm, &vmx_gva);
	vcpu_args_set(ap.vcpu, 1, vmx_gva);
	vm_install_exception_handler(ap.vcpu->vm, NMI_VECTOR, nmi_handler);
	ap_add_smi_handler(&ap);
	ASSERT_RUNS_TO(&ap, PORT_L2);
	stage(&ap, row->events);
	if (restored)
		nested_ap_restore(&ap);
	trace(&ap, seen, sizeof(seen));
	EXPECT_STREQ(row->trace, seen) {
		TH_LOG("%s: %s, and not %s (port %x, %x)", row->events, seen, row->trace,
		       ap_port(&ap), ap_told(&ap));
	}
	kvm_vm_free(ap.vcpu->vm);
}

/* Two at once, and each alone. */
TEST(together)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		run_row(_metadata, &rows[i], false);
}

/*
 * Saved and restored in between. KVM_GET_MP_STATE takes an INIT, so that beside one something
 * else is saved than was staged; and P would be restored with a deadline that is past.
 */
TEST(restored)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (!strchr(rows[i].events, 'P') && (rows[i].events[0] != 'I' || !rows[i].events[1]))
			run_row(_metadata, &rows[i], true);
}

int main(int argc, char **argv)
{
	TEST_REQUIRE(kvm_cpu_has(X86_FEATURE_VMX));
	return test_harness_run(argc, argv);
}
