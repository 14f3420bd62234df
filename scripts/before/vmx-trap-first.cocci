// Every exception goes in front of the monitor trap flag, a debug trap too.
// file: arch/x86/kvm/vmx/nested.c

@ any_exception @
expression v;
statement S;
position p;
@@
-if (v->arch.exception_vmexit.pending &&
-    !vmx_is_low_priority_db_trap@p(&v->arch.exception_vmexit)) S
+if (v->arch.exception_vmexit.pending) S
