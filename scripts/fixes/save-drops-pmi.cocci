// KVM_GET_VCPU_EVENTS leaves a counter's overflow, and a PMI, in the requests: a vCPU that is
// saved and restored loses them.
// file: arch/x86/kvm/pmu.h
// file: arch/x86/kvm/pmu.c
// file: arch/x86/kvm/x86.c

@ declared @
typedef u64;
identifier c;
position p;
@@
+void kvm_pmu_record_overflows(struct kvm_vcpu *vcpu);
+
 static inline u64 pmc_bitmask@p(struct kvm_pmc *c) { ... }

// until: 6.99
@ record_6 @
identifier v;
iterator name kvm_for_each_pmc;
position p;
@@
+/*
+ * Record the overflows that KVM has yet to find, for userspace to save.  Leave it
+ * to the vCPU's task to reprogram the counters, as perf events are of a task.
+ */
+void kvm_pmu_record_overflows(struct kvm_vcpu *vcpu)
+{
+	struct kvm_pmu *pmu = vcpu_to_pmu(vcpu);
+	struct kvm_pmc *pmc;
+	int idx;
+	int i;
+
+	/* Not the vCPU's own index: KVM_RUN holds that when it syncs registers. */
+	idx = srcu_read_lock(&vcpu->kvm->srcu);
+	kvm_for_each_pmc(pmu, pmc, i, pmu->reprogram_pmi) {
+		if (pmc_pause_counter(pmc) && pmc_event_is_allowed(pmc))
+			__kvm_perf_overflow(pmc, false);
+	}
+	srcu_read_unlock(&vcpu->kvm->srcu, idx);
+}
+
 void kvm_pmu_handle_event@p(struct kvm_vcpu *v) { ... }

// since: 7.0
@ record_7 @
identifier v;
iterator name kvm_for_each_pmc;
position p;
@@
+/*
+ * Record the overflows that KVM has yet to find, for userspace to save.  Leave it
+ * to the vCPU's task to reprogram the counters, as perf events are of a task.
+ */
+void kvm_pmu_record_overflows(struct kvm_vcpu *vcpu)
+{
+	struct kvm_pmu *pmu = vcpu_to_pmu(vcpu);
+	struct kvm_pmc *pmc;
+	int idx;
+	int i;
+
+	/* There the hardware counts, and KVM finds an overflow at once. */
+	if (kvm_vcpu_has_mediated_pmu(vcpu))
+		return;
+
+	/* Not the vCPU's own index: KVM_RUN holds that when it syncs registers. */
+	idx = srcu_read_lock(&vcpu->kvm->srcu);
+	kvm_for_each_pmc(pmu, pmc, i, pmu->reprogram_pmi) {
+		bool enabled = pmc_is_globally_enabled(pmc) && pmc_is_locally_enabled(pmc);
+
+		if (pmc_pause_counter(pmc) && enabled && pmc_is_event_allowed(pmc))
+			__kvm_perf_overflow(pmc, false);
+	}
+	srcu_read_unlock(&vcpu->kvm->srcu, idx);
+}
+
 void kvm_pmu_handle_event@p(struct kvm_vcpu *v) { ... }

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
+	kvm_pmu_record_overflows(v);
+	if (kvm_check_request(KVM_REQ_PMI, v))
+		kvm_pmu_deliver_pmi(v);
+
 	process_nmi@p(v);
 	...
 }
