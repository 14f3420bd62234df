// An exception that userspace queues (KVM_X86_SET_MCE, KVM_SET_VCPU_EVENTS) while KVM owes L2 a
// VM-Enter is lost: the exit after that VM-Enter clears what is pending, beside what was injected.
// file: arch/x86/kvm/vmx/vmx.c
// file: arch/x86/kvm/svm/svm.c
// file: arch/x86/kvm/svm/nested.c
// file: arch/x86/kvm/x86.c

// matches: 2
@ complete_interrupts @
expression v;
position p;
@@
 v->arch.nmi_injected = false;
-kvm_clear_exception_queue@p(v);
+v->arch.exception.injected = false;
 kvm_clear_interrupt_queue(v);

// until: 6.99
@ requeue_6 @
expression v;
position p;
@@
-WARN_ON_ONCE(kvm_is_exception_pending(v));
-v->arch.exception.injected@p = true;
+v->arch.exception.pending = false;
+v->arch.exception.injected = true;

// since: 7.0
@ requeue_7 @
expression v;
position p;
@@
-WARN_ON_ONCE@p(kvm_is_exception_pending(v));
+v->arch.exception.pending = false;

// 7.x skips VMRUN without that #DB.
// until: 6.99
@ nested_svm_vmrun @
expression v, r;
identifier b, m;
position p;
@@
 r = kvm_skip_emulated_instruction@p(v);
+	/* The #DB of TF comes after #VMEXIT, by nested_svm_vmexit(). */
+	v->arch.exception.pending = false;
 b = m.hva;
