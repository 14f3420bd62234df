// The PMI: recording an overflow, perf's callback, delivery through the local vector table.
// file: arch/x86/kvm/pmu.c
// file: arch/x86/kvm/lapic.c
// restates: arch/x86/kvm/pmu.h pmc_to_pmu by kvm/pmu.rs:pmu
// restates: arch/x86/kvm/lapic.h lapic_in_kernel by view/vcpu.rs:apic
// restates: arch/x86/kvm/lapic.h kvm_apic_hw_enabled by kvm/lapic.rs:is_enabled
// restates: arch/x86/kvm/lapic.h kvm_lapic_get_reg by kvm/lapic.rs:entry
// restates: arch/x86/kvm/lapic.h __kvm_lapic_get_reg by kvm/lapic.rs:entry until 6.99
// restates: arch/x86/include/asm/apic.h apic_get_reg by kvm/lapic.rs:entry since 7.0
// restates: arch/x86/kvm/lapic.c kvm_lapic_set_reg by kvm/lapic.rs:set_entry
// restates: arch/x86/kvm/lapic.c __kvm_lapic_set_reg by kvm/lapic.rs:set_entry until 6.99
// restates: arch/x86/include/asm/apic.h apic_set_reg by kvm/lapic.rs:set_entry since 7.0
// restates: arch/x86/kvm/cpuid.h guest_cpuid_is_intel_compatible by kvm/lapic.rs:is_intel_compatible
// restates: arch/x86/kvm/cpuid.h guest_cpuid_is_amd_compatible by kvm/lapic.rs:is_intel_compatible
// restates: include/linux/kvm_host.h kvm_make_request by core/request.rs:make_pmi
// restates: include/linux/kvm_host.h __kvm_make_request by core/request.rs:make_pmi
// restates: arch/x86/include/asm/apicdef.h APIC_LVT_MASKED by core/lvt.rs:is_masked
// restates: arch/x86/include/asm/apicdef.h APIC_VECTOR_MASK by core/lvt.rs:vector
// restates: arch/x86/include/asm/apicdef.h APIC_MODE_MASK by core/lvt.rs:mode
// restates: arch/x86/include/asm/apicdef.h APIC_LVT_LEVEL_TRIGGER by core/lvt.rs:trigger
// restates: arch/x86/include/asm/perf_event.h GLOBAL_STATUS_BUFFER_OVF_BIT by core/pmi.rs:OVF_BUFFER

@ declare_events_pmu @
@@
 #include "pmu.h"
+#include "rust/bindings/events.h"

@ __kvm_perf_overflow @
typedef bool;
identifier c, i;
position p;
@@
-static inline void __kvm_perf_overflow@p(struct kvm_pmc *c, bool i) { ... }
+static inline void __kvm_perf_overflow(struct kvm_pmc *c, bool i)
+{
+	rust_kvm_pmc_overflow(c, i);
+}

@ kvm_perf_overflow @
identifier e, d, r;
position p;
@@
 static void kvm_perf_overflow@p(struct perf_event *e, struct perf_sample_data *d, struct pt_regs *r)
 {
-	...
+	rust_kvm_perf_overflow(e->overflow_handler_context);
 }

@ kvm_apic_local_deliver @
identifier a, t;
position p;
@@
-int kvm_apic_local_deliver@p(struct kvm_lapic *a, int t) { ... }
+int kvm_apic_local_deliver(struct kvm_lapic *a, int t)
+{
+	return rust_kvm_apic_local_deliver(a, t);
+}

// Rust calls it: __apic_accept_irq() is static.
@ kvm_events_accept_irq @
identifier v, w;
position p;
@@
+int kvm_events_accept_irq(struct kvm_lapic *apic, int mode, int vector, int trig_mode)
+{
+	return __apic_accept_irq(apic, mode, vector, 1, trig_mode, NULL);
+}
+
 int kvm_apic_compare_prio@p(struct kvm_vcpu *v, struct kvm_vcpu *w) { ... }
