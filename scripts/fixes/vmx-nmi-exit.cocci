// VMX: an NMI that L1 intercepts takes a second pending NMI with it.
// file: arch/x86/kvm/vmx/nested.c

@ vmx_check_nested_events @
expression v;
position p;
@@
-v->arch.nmi_pending@p = 0;
+v->arch.nmi_pending--;
 vmx_set_nmi_mask(v, true);
