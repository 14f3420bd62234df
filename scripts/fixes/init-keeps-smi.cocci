// INIT drops the SMI that is pending, but not its request: the SMI comes after the INIT.
// file: arch/x86/kvm/x86.c

@ kvm_vcpu_reset @
expression v;
position p;
@@
+#ifdef CONFIG_KVM_SMM
+kvm_clear_request(KVM_REQ_SMI, v);
+#endif
 v->arch.smi_pending@p = 0;
 v->arch.smi_count = 0;
