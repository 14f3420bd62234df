// Linux 6.12 runs a vCPU that userspace put into wait-for-SIPI with INIT and SIPI blocked: it sleeps
// for ever, and warns when an INIT comes. Later kernels refuse to run it.
// file: arch/x86/kvm/x86.c
// file: arch/x86/kvm/lapic.c

// until: 6.99
@ kvm_arch_vcpu_ioctl_run @
expression r;
identifier v;
position p;
@@
+	/* Userspace can set wait-for-SIPI and what blocks SIPI in any order. */
+	if (v->arch.mp_state == KVM_MP_STATE_INIT_RECEIVED) {
+		r = -EINVAL;
+		if (!kvm_apic_init_sipi_allowed(v))
+			goto out;
+	}
+
 r = kvm_x86_call@p(vcpu_pre_run)(v);

// until: 6.99
@ kvm_apic_accept_events @
expression v;
position p;
@@
-WARN_ON_ONCE@p(v->arch.mp_state == KVM_MP_STATE_INIT_RECEIVED);
