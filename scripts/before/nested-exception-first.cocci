// Two legs of the walk swapped: an exception that L1 intercepts goes in front of an INIT.
// file: arch/x86/kvm/svm/nested.c

@ swap @
expression v, a;
statement on_init, on_exception;
position p;
@@
-if (lapic_in_kernel(v) && test_bit@p(KVM_APIC_INIT, &a->pending_events)) on_init
-if (v->arch.exception_vmexit.pending) on_exception
+if (v->arch.exception_vmexit.pending) on_exception
+if (lapic_in_kernel(v) && test_bit(KVM_APIC_INIT, &a->pending_events)) on_init
