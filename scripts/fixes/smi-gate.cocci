// Linux 6.12 makes an SMI for a vCPU that can't have SMM: SEV-ES, or VMX without unrestricted
// guest. Later kernels refuse it.
// file: arch/x86/kvm/smm.h

// until: 6.99
@ kvm_inject_smi @
identifier v;
position p;
@@
 static inline int kvm_inject_smi(struct kvm_vcpu *v)
 {
+	if (!kvm_x86_call(has_emulated_msr)(v->kvm, MSR_IA32_SMBASE))
+		return -ENOTTY;
+
 	kvm_make_request@p(KVM_REQ_SMI, v);
 	return 0;
 }
