// SPDX-License-Identifier: GPL-2.0
/*
 * L1 single-steps VMRUN: the #DB comes once, in L1, right after the #VMEXIT, and DR6 says that it is a
 * single step. L2 does not see it.
 */
#include "svm_event_test.h"

#define DR6_BS		(1 << 14)
#define RFLAGS_TF	(1 << 8)

static int l1_traps, l2_traps;
static u64 after_vmrun, trap_rip, trap_dr6;
static bool in_l2;
static u8 l2_stack[L2_STACK_SIZE] __aligned(16);

static void db_handler(struct ex_regs *regs)
{
	u64 dr6;

	asm volatile("mov %%dr6, %0" : "=r"(dr6));
	asm volatile("mov %0, %%dr6" : : "r"(0xffff0ff0ul));
	if (READ_ONCE(in_l2)) {
		l2_traps++;
	} else {
		l1_traps++;
		trap_rip = regs->rip;
		trap_dr6 = dr6;
	}
	regs->rflags &= ~RFLAGS_TF;
}

static void l2_code(void)
{
	WRITE_ONCE(in_l2, true);
	asm volatile("nop; nop");
	WRITE_ONCE(in_l2, false);
	vmmcall();
}

static void l1_code(struct svm_test_data *svm)
{
	struct vmcb *vmcb = svm->vmcb;

	generic_svm_setup(svm, l2_code, l2_stack + L2_STACK_SIZE);
	/* POPF traps no earlier than behind the instruction that follows it. */
	asm volatile("vmload %%rax\n\t"
		     "lea -128(%%rsp), %%rsp\n\t"
		     "lea 1f(%%rip), %%rbx\n\t"
		     "mov %%rbx, %[after]\n\t"
		     "push %%rbp\n\t"
		     "pushfq\n\t"
		     "orq %[tf], (%%rsp)\n\t"
		     "popfq\n\t"
		     "vmrun %%rax\n\t"
		     "1: nop\n\t"
		     "pop %%rbp\n\t"
		     "lea 128(%%rsp), %%rsp\n\t"
		     "vmsave %%rax"
		     : [after] "=m"(after_vmrun)
		     : "a"(svm->vmcb_gpa), [tf] "i"(RFLAGS_TF)
		     : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
		       "r15", "memory", "cc");
	tell(PORT_EXIT, vmcb->control.exit_code);
}

FIXTURE(vmrun_tf)
{
	struct ap ap;
};

FIXTURE_SETUP(vmrun_tf)
{
	struct kvm_vm *vm;

	svm_ap_create(&self->ap, true, l1_code);
	vm = self->ap.vcpu->vm;
	vm_install_exception_handler(vm, DB_VECTOR, db_handler);
	ASSERT_RUNS_TO(&self->ap, PORT_EXIT);
	ASSERT_EQ(SVM_EXIT_VMMCALL, ap_told(&self->ap));
	sync_global_from_guest(vm, l1_traps);
	sync_global_from_guest(vm, l2_traps);
	sync_global_from_guest(vm, after_vmrun);
	sync_global_from_guest(vm, trap_rip);
	sync_global_from_guest(vm, trap_dr6);
}

FIXTURE_TEARDOWN(vmrun_tf)
{
	kvm_vm_free(self->ap.vcpu->vm);
}

TEST_F(vmrun_tf, one_trap_after_the_exit)
{
	EXPECT_EQ(1, l1_traps);
	EXPECT_EQ(after_vmrun, trap_rip);
	EXPECT_EQ(0, l2_traps);
}

TEST_F(vmrun_tf, dr6_tells_of_the_single_step)
{
	EXPECT_EQ(DR6_BS, trap_dr6 & DR6_BS);
}

int main(int argc, char **argv)
{
	TEST_REQUIRE(kvm_cpu_has(X86_FEATURE_SVM));
	return test_harness_run(argc, argv);
}
