// SPDX-License-Identifier: GPL-2.0
/*
 * Which of two events that are pending at once, while L2 runs, comes first, where it goes,
 * and what becomes of the other: nothing is lost, and nothing comes twice. The table below
 * is KVM's order: INIT, exceptions, SMI, NMI, interrupts. That of AMD's manual, for what
 * an instruction boundary finds, has SMI in front of debug traps and no other exceptions;
 * an exception that is pending in KVM is the last instruction's, and goes first. No test
 * of KVM's has two events at once.
 */
#include "apic.h"
#include "svm_event_test.h"

#define PORT_EVENT	0xe9	/* a handler runs, with what it is for */
#define TOLD_IN_L2	0x100
#define TOLD_OVER	0x200	/* it interrupted the first instruction of a handler */

#define IRQ_VECTOR	0x51
#define INJECTED_VECTOR	0x41
#define FAULT_ADDRESS	0xbad000
#define FAULT_ERROR	PFERR_WRITE_MASK

enum event { NONE, INIT, FAULT, SMI, NMI, IRQ, INJECTED, WRONG };

static const char * const names[] = {
	"none", "init", "fault", "smi", "nmi", "irq", "inj", "wrong",
};

static u64 intercept;
static u32 intercept_exceptions;
static bool in_l2;
static u8 l2_stack[L2_STACK_SIZE] __aligned(16);

static bool is_handler(u64 rip)
{
	return rip == idt_handlers[PF_VECTOR] || rip == idt_handlers[NMI_VECTOR] ||
	       rip == idt_handlers[IRQ_VECTOR] || rip == idt_handlers[INJECTED_VECTOR];
}

static void tell_event(struct ex_regs *regs, enum event event)
{
	tell(PORT_EVENT, event | (in_l2 ? TOLD_IN_L2 : 0) |
	     (is_handler(regs->rip) ? TOLD_OVER : 0));
}

static void fault_handler(struct ex_regs *regs)
{
	u64 cr2;

	asm volatile("mov %%cr2, %0" : "=r"(cr2));
	tell_event(regs, cr2 == FAULT_ADDRESS && regs->error_code == FAULT_ERROR ?
		   FAULT : WRONG);
}

static void nmi_handler(struct ex_regs *regs)
{
	tell_event(regs, NMI);
}

static void irq_handler(struct ex_regs *regs)
{
	tell_event(regs, IRQ);
	x2apic_write_reg(APIC_EOI, 0);
}

static void injected_handler(struct ex_regs *regs)
{
	tell_event(regs, INJECTED);
}

static void l2_code(void)
{
	asm volatile("sti; nop");
	tell(PORT_L2, 0);
	tell(PORT_L2, 1);
	vmmcall();
}

static void l1_code(struct svm_test_data *svm)
{
	struct vmcb *vmcb = svm->vmcb;

	x2apic_enable();
	generic_svm_setup(svm, l2_code, l2_stack + L2_STACK_SIZE);
	vmcb->control.intercept |= intercept;
	vmcb->control.intercept_exceptions |= intercept_exceptions;
	asm volatile("sti; nop");
	do {
		WRITE_ONCE(in_l2, true);
		run_guest(vmcb, svm->vmcb_gpa);
		WRITE_ONCE(in_l2, false);
		tell(PORT_EXIT, vmcb->control.exit_code);
		stgi();
		tell(PORT_L1, 0);
	} while (vmcb->control.exit_code != SVM_EXIT_VMMCALL);
}

struct tested {
	struct ap ap;
	struct svm_test_data *svm;
	char trace[200];
};

struct row {
	enum event events[2];
	const char *traces[4];	/* bit 0: L1 intercepts the first, bit 1: the second */
};

FIXTURE(order)
{
	struct tested t;
};

FIXTURE_VARIANT(order)
{
	struct row row;
};

/* Not with a pending entry: upstream drops a fault that userspace adds (svm_entry_exception_test). */
FIXTURE(fault_order)
{
	struct tested t;
};

FIXTURE_VARIANT(fault_order)
{
	struct row row;
};

/* With a pending entry by which L1 injects an interrupt. */
FIXTURE(injecting_entry)
{
	struct tested t;
};

FIXTURE_VARIANT(injecting_entry)
{
	struct row row;
};

/*
 * The table. What is seen, one after the other:
 *	exit.X	L2 exits to L1, because of X
 *	L1.X	L1's handler of X runs; it is L1's STGI that lets it
 *	L2.X	L2's handler of X runs
 *	smi	the SMI handler runs
 *	init	the vCPU is at its reset vector
 *	L1, L2	L1 or L2 goes on
 * With a '+', it came in front of the first instruction of a handler, that is: another
 * event was delivered to L2 before it. Handlers run with interrupts disabled.
 *
 * The traces are those of no interception, of the first intercepted, the second, and both.
 */
#define ROW(first, second, ...)	{ .row = { { first, second }, { __VA_ARGS__ } } }

FIXTURE_VARIANT_ADD(order, init) ROW(INIT, NONE,
	"init",
	"exit.init init");
FIXTURE_VARIANT_ADD(order, smi) ROW(SMI, NONE,
	"smi L2",
	"exit.smi smi L1 L2");
FIXTURE_VARIANT_ADD(order, nmi) ROW(NMI, NONE,
	"L2.nmi L2",
	"exit.nmi L1.nmi L1 L2");
FIXTURE_VARIANT_ADD(order, irq) ROW(IRQ, NONE,
	"L2.irq L2",
	"exit.irq L1.irq L1 L2");

/* INIT resets the vCPU, and with it whatever else is pending. */
FIXTURE_VARIANT_ADD(order, init_smi) ROW(INIT, SMI,
	"init",
	"exit.init init",
	"init",
	"exit.init init");
FIXTURE_VARIANT_ADD(order, init_nmi) ROW(INIT, NMI,
	"init",
	"exit.init init",
	"init",
	"exit.init init");
FIXTURE_VARIANT_ADD(order, init_irq) ROW(INIT, IRQ,
	"init",
	"exit.init init",
	"init",
	"exit.init init");
FIXTURE_VARIANT_ADD(order, smi_nmi) ROW(SMI, NMI,
	"smi L2.nmi L2",
	"exit.smi smi L1.nmi L1 L2",
	"smi exit.nmi L1.nmi L1 L2",
	"exit.smi smi L1.nmi L1 L2");
FIXTURE_VARIANT_ADD(order, smi_irq) ROW(SMI, IRQ,
	"smi L2.irq L2",
	"exit.smi smi L1.irq L1 L2",
	"smi exit.irq L1.irq L1 L2",
	"exit.smi smi L1.irq L1 L2");
FIXTURE_VARIANT_ADD(order, nmi_irq) ROW(NMI, IRQ,
	"L2.nmi L2.irq L2",
	"exit.nmi L1.nmi L1.irq L1 L2",
	"L2.nmi exit.irq L1.irq L1 L2",
	"exit.nmi L1.nmi L1.irq L1 L2");

FIXTURE_VARIANT_ADD(fault_order, fault) ROW(FAULT, NONE,
	"L2.fault L2",
	"exit.fault L1 L2");
FIXTURE_VARIANT_ADD(fault_order, init_fault) ROW(INIT, FAULT,
	"init",
	"exit.init init",
	"init",
	"exit.init init");
FIXTURE_VARIANT_ADD(fault_order, fault_smi) ROW(FAULT, SMI,
	"smi+ L2.fault L2",
	"exit.fault smi L1 L2",
	"exit.smi+ smi L1 L2.fault L2",
	"exit.fault smi L1 L2");
FIXTURE_VARIANT_ADD(fault_order, fault_nmi) ROW(FAULT, NMI,
	"L2.nmi+ L2.fault L2",
	"exit.fault L1.nmi L1 L2",
	"exit.nmi+ L1.nmi L1 L2.fault L2",
	"exit.fault L1.nmi L1 L2");
FIXTURE_VARIANT_ADD(fault_order, fault_irq) ROW(FAULT, IRQ,
	"L2.fault L2.irq L2",
	"exit.fault L1.irq L1 L2",
	"L2.fault exit.irq L1.irq L1 L2",
	"exit.fault L1.irq L1 L2");

FIXTURE_VARIANT_ADD(injecting_entry, init) ROW(INIT, NONE,
	"init",
	"exit.init+ init");
FIXTURE_VARIANT_ADD(injecting_entry, smi) ROW(SMI, NONE,
	"smi+ L2.inj L2",
	"exit.smi+ smi L1 L2.inj L2");
FIXTURE_VARIANT_ADD(injecting_entry, nmi) ROW(NMI, NONE,
	"L2.nmi+ L2.inj L2",
	"exit.nmi+ L1.nmi L1 L2.inj L2");
FIXTURE_VARIANT_ADD(injecting_entry, irq) ROW(IRQ, NONE,
	"L2.inj L2.irq L2",
	"L2.inj exit.irq L1.irq L1 L2");

static void set_intercept(enum event event)
{
	switch (event) {
	case INIT:
		intercept |= 1ULL << INTERCEPT_INIT;
		break;
	case FAULT:
		intercept_exceptions |= 1U << PF_VECTOR;
		break;
	case SMI:
		intercept |= 1ULL << INTERCEPT_SMI;
		break;
	case NMI:
		intercept |= 1ULL << INTERCEPT_NMI;
		break;
	case IRQ:
		intercept |= 1ULL << INTERCEPT_INTR;
		break;
	default:
		break;
	}
}

static enum event event_of_exit(u32 exit_code)
{
	switch (exit_code) {
	case SVM_EXIT_INIT:
		return INIT;
	case SVM_EXIT_EXCP_BASE + PF_VECTOR:
		return FAULT;
	case SVM_EXIT_SMI:
		return SMI;
	case SVM_EXIT_NMI:
		return NMI;
	case SVM_EXIT_INTR:
		return IRQ;
	default:
		return WRONG;
	}
}

static void make_pending(struct ap *ap, enum event event)
{
	struct kvm_vcpu_events events;

	switch (event) {
	case INIT:
		ap_send(ap, MSI_DM_INIT);
		break;
	case FAULT:
		vcpu_events_get(ap->vcpu, &events);
		events.flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
		events.exception.pending = true;
		events.exception.nr = PF_VECTOR;
		events.exception.has_error_code = true;
		events.exception.error_code = FAULT_ERROR;
		events.exception_has_payload = true;
		events.exception_payload = FAULT_ADDRESS;
		vcpu_events_set(ap->vcpu, &events);
		break;
	case SMI:
		/* Not by KVM_SMI: that one is a request first, which outlives an INIT. */
		vcpu_events_get(ap->vcpu, &events);
		events.smi.pending = true;
		vcpu_events_set(ap->vcpu, &events);
		break;
	case NMI:
		ap_send(ap, MSI_DM_NMI);
		break;
	case IRQ:
		ap_send(ap, IRQ_VECTOR);
		break;
	default:
		break;
	}
}

/* A vCPU that is stopped in L2, with L1 intercepting what @intercepted says. */
static struct svm_test_data *create(struct ap *ap, const enum event *events, int intercepted)
{
	struct svm_test_data *svm = svm_ap_create(ap, true, l1_code);
	struct kvm_vm *vm = ap->vcpu->vm;

	TEST_REQUIRE(kvm_has_cap(KVM_CAP_X86_SMM));
	ap_add_smi_handler(ap);
	vm_install_exception_handler(vm, PF_VECTOR, fault_handler);
	vm_install_exception_handler(vm, NMI_VECTOR, nmi_handler);
	vm_install_exception_handler(vm, IRQ_VECTOR, irq_handler);
	vm_install_exception_handler(vm, INJECTED_VECTOR, injected_handler);

	intercept = 0;
	intercept_exceptions = 0;
	if (intercepted & 1)
		set_intercept(events[0]);
	if (intercepted & 2)
		set_intercept(events[1]);
	sync_global_to_guest(vm, intercept);
	sync_global_to_guest(vm, intercept_exceptions);

	TEST_ASSERT(ap_run_for(ap, LIMIT_MS) == PORT_L2, "the vCPU doesn't come to L2");
	vcpu_run_complete_io(ap->vcpu);
	return svm;
}

static void destroy(struct tested *t)
{
	if (t->ap.vcpu)
		kvm_vm_free(t->ap.vcpu->vm);
	t->ap.vcpu = NULL;
}

/* Where the vCPU got to, as the table says it. False at the end of what is to be seen. */
static bool trace_one(struct ap *ap, struct svm_test_data *svm, char *to, size_t room)
{
	/* In the state that an SMI saves, in the 64-bit format. */
	u64 *smi_rip = addr_gpa2hva(ap->vcpu->vm, AP_SMRAM + 0xff78);
	struct vmcb *vmcb = svm->vmcb_hva;
	int port = ap_run_for(ap, LIMIT_MS);
	u32 told = ap_told(ap);
	enum event event;

	switch (port) {
	case PORT_RESET:
		snprintf(to, room, "init");
		return false;
	case PORT_EXIT:
		if (told == SVM_EXIT_VMMCALL)
			return false;
		event = event_of_exit(told);
		if (event == FAULT && (vmcb->control.exit_info_1 != FAULT_ERROR ||
					   vmcb->control.exit_info_2 != FAULT_ADDRESS))
			event = WRONG;
		snprintf(to, room, "exit.%s%s ", names[event],
			 is_handler(vmcb->save.rip) ? "+" : "");
		return true;
	case PORT_EVENT:
		snprintf(to, room, "%s.%s%s ", told & TOLD_IN_L2 ? "L2" : "L1",
			 names[told & 0xff], told & TOLD_OVER ? "+" : "");
		return true;
	case PORT_SMI:
		snprintf(to, room, "smi%s ", is_handler(*smi_rip) ? "+" : "");
		return true;
	case PORT_L1:
		snprintf(to, room, "L1 ");
		return true;
	case PORT_L2:
		snprintf(to, room, "L2");
		return true;
	default:
		snprintf(to, room, "port or error %d, exit %d", port,
			 ap->vcpu->run->exit_reason);
		return false;
	}
}

static void trace(struct tested *t)
{
	size_t n = 0;

	t->trace[0] = 0;
	do {
		n += strlen(t->trace + n);
	} while (sizeof(t->trace) - n > 40 &&
		 trace_one(&t->ap, t->svm, t->trace + n, sizeof(t->trace) - n));
}

#define EXPECT_NOTHING_PENDING(vcpu)					\
do {									\
	struct kvm_vcpu_events __events;				\
									\
	vcpu_events_get(vcpu, &__events);				\
	EXPECT_FALSE(__events.exception.pending);			\
	EXPECT_FALSE(__events.exception.injected);			\
	EXPECT_FALSE(__events.interrupt.injected);			\
	EXPECT_FALSE(__events.nmi.injected);				\
	EXPECT_EQ(0, __events.nmi.pending);				\
	EXPECT_FALSE(__events.smi.pending);				\
	EXPECT_FALSE(__events.smi.latched_init);			\
} while (0)

/* Both are sent, in the order that they are not to be seen in; then @change is made. */
#define ASSERT_TRACES(t, row, change)					\
do {									\
	int __i;							\
									\
	for (__i = 0; __i < 4 && (row)->traces[__i]; __i++) {		\
		(t)->svm = create(&(t)->ap, (row)->events, __i);	\
		make_pending(&(t)->ap, (row)->events[1]);		\
		make_pending(&(t)->ap, (row)->events[0]);		\
		change(t);						\
		trace(t);						\
		ASSERT_STREQ((row)->traces[__i], (t)->trace) {		\
			TH_LOG("with interception %d", __i);		\
		}							\
		EXPECT_NOTHING_PENDING((t)->ap.vcpu);			\
		destroy(t);						\
	}								\
} while (0)

static void leave(struct tested *t)
{
}

static void restore(struct tested *t)
{
	nested_ap_restore(&t->ap);
}

static void enter(struct tested *t)
{
	set_pending_entry(t->ap.vcpu, 0);
}

static void enter_and_restore(struct tested *t)
{
	enter(t);
	restore(t);
}

static void enter_injecting(struct tested *t)
{
	set_pending_entry(t->ap.vcpu,
			  INJECTED_VECTOR | SVM_EVTINJ_TYPE_INTR | SVM_EVTINJ_VALID);
}

static void enter_injecting_and_restore(struct tested *t)
{
	enter_injecting(t);
	restore(t);
}

FIXTURE_SETUP(order)
{
}

FIXTURE_TEARDOWN(order)
{
	destroy(&self->t);
}

TEST_F(order, together)
{
	ASSERT_TRACES(&self->t, &variant->row, leave);
}

TEST_F(order, restored)
{
	ASSERT_TRACES(&self->t, &variant->row, restore);
}

TEST_F(order, pending_entry)
{
	ASSERT_TRACES(&self->t, &variant->row, enter);
}

TEST_F(order, restored_pending_entry)
{
	ASSERT_TRACES(&self->t, &variant->row, enter_and_restore);
}

FIXTURE_SETUP(fault_order)
{
}

FIXTURE_TEARDOWN(fault_order)
{
	destroy(&self->t);
}

TEST_F(fault_order, together)
{
	ASSERT_TRACES(&self->t, &variant->row, leave);
}

TEST_F(fault_order, restored)
{
	ASSERT_TRACES(&self->t, &variant->row, restore);
}

FIXTURE_SETUP(injecting_entry)
{
}

FIXTURE_TEARDOWN(injecting_entry)
{
	destroy(&self->t);
}

TEST_F(injecting_entry, together)
{
	ASSERT_TRACES(&self->t, &variant->row, enter_injecting);
}

TEST_F(injecting_entry, restored)
{
	ASSERT_TRACES(&self->t, &variant->row, enter_injecting_and_restore);
}

TEST_HARNESS_MAIN
