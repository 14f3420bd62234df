// KVM_GET_VCPU_EVENTS leaves a counter's overflow, and a PMI, in the requests: a vCPU that is
// saved and restored loses them.
// file: arch/x86/kvm/x86.c

@ get_vcpu_events @
identifier v, e;
position p;
@@
 kvm_vcpu_ioctl_x86_get_vcpu_events(struct kvm_vcpu *v, struct kvm_vcpu_events *e)
 {
 	...
+	/*
+	 * Requests aren't saved, what they lead to is: an overflow becomes a
+	 * bit of GLOBAL_STATUS and a PMI, and a PMI an NMI, an SMI or an IRQ.
+	 */
+	kvm_vcpu_srcu_read_lock(v);
+	if (kvm_check_request(KVM_REQ_PMU, v))
+		kvm_pmu_handle_event(v);
+	if (kvm_check_request(KVM_REQ_PMI, v))
+		kvm_pmu_deliver_pmi(v);
+	kvm_vcpu_srcu_read_unlock(v);
+
 	process_nmi@p(v);
 	...
 }
