// KVM_SET_VCPU_EVENTS makes an SMI pending, or puts the vCPU into SMM, where KVM can't emulate SMM:
// KVM_RUN fails for ever, and with TDX the VM is dead, by a KVM_BUG_ON().
// file: arch/x86/kvm/x86.c

@ kvm_vcpu_ioctl_x86_set_vcpu_events @
identifier v, e;
position p;
@@
 kvm_vcpu_ioctl_x86_set_vcpu_events(struct kvm_vcpu *v, struct kvm_vcpu_events *e)
 {
 	...
+	if (e->flags & KVM_VCPUEVENT_VALID_SMM) {
+		bool smm = e->smi.smm || e->smi.pending || e->smi.smm_inside_nmi;
+
+		if (smm && !kvm_x86_call(has_emulated_msr)(v->kvm, MSR_IA32_SMBASE))
+			return -EINVAL;
+	}
+
 	process_nmi@p(v);
 	...
 }
