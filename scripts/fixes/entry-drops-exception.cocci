// An exception that userspace queues (KVM_X86_SET_MCE, KVM_SET_VCPU_EVENTS) while KVM owes L2 a
// VM-Enter is lost: the exit after that VM-Enter clears what is pending, beside what was injected.
// file: arch/x86/kvm/vmx/vmx.c
// file: arch/x86/kvm/svm/svm.c
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
