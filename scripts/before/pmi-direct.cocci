// Seed 2 put back, its other half: an overflow that perf found is delivered by itself, from
// an irq_work, and one that KVM found by the request: two PMIs for one VM-exit. (One vCPU at
// a time is enough for the lab.)
// seed: 2
// file: arch/x86/kvm/pmu.c

@ work @
identifier c, i;
position p;
@@
+static struct kvm_vcpu *pmi_vcpu;
+
+static void pmi_now(struct irq_work *work)
+{
+	kvm_pmu_deliver_pmi(pmi_vcpu);
+}
+
+static struct irq_work pmi_work = IRQ_WORK_INIT_HARD(pmi_now);
+
 static inline void __kvm_perf_overflow@p(struct kvm_pmc *c, bool i) { ... }

@ direct @
expression s;
identifier c, i;
position p;
@@
 static inline void __kvm_perf_overflow(struct kvm_pmc *c, bool i)
 {
 ...
-if (c->intr && !s) kvm_make_request(KVM_REQ_PMI@p, c->vcpu);
+if (c->intr && !s) {
+	if (i && !kvm_handling_nmi_from_guest(c->vcpu)) {
+		pmi_vcpu = c->vcpu;
+		irq_work_queue(&pmi_work);
+	} else {
+		kvm_make_request(KVM_REQ_PMI, c->vcpu);
+	}
+}
 ...
 }
