// SEV-SNP: AP creation of a vCPU that waits for INIT or SIPI makes its thread spin: the request makes
// it runnable, and only a vCPU that runs serves it.
// file: arch/x86/kvm/x86.c

@ vcpu_block @
identifier v;
position p;
@@
 vcpu_block(struct kvm_vcpu *v)
 {
 	...
 	if (!kvm_arch_vcpu_runnable(v)) { ... }
+
+	/* The new state is the guest owner's, and so is the activity state. */
+	if (kvm_check_request(KVM_REQ_UPDATE_PROTECTED_GUEST_STATE, v)) {
+		kvm_vcpu_reset(v, true);
+		return 1;
+	}

 	if (is_guest_mode@p(v)) { ... }
 	...
 }

@ kvm_arch_vcpu_ioctl_run @
identifier v;
position p;
@@
 kvm_arch_vcpu_ioctl_run(struct kvm_vcpu *v)
 {
 <...
 	kvm_vcpu_block@p(v);
 	kvm_vcpu_srcu_read_lock(v);
+
+	if (kvm_check_request(KVM_REQ_UPDATE_PROTECTED_GUEST_STATE, v))
+		kvm_vcpu_reset(v, true);
 ...>
 }
