// L2's events on VMX: which comes first, and what L1 sees of it.
// file: arch/x86/kvm/vmx/nested.c
// restates: arch/x86/kvm/vmx/vmx.h to_vmx by vmx/l2.rs:vmx
// restates: arch/x86/kvm/vmx/nested.h get_vmcs12 by vmx/l2.rs:vmcs12
// restates: arch/x86/kvm/vmx/nested.h nested_cpu_has_preemption_timer by vmx/l2.rs:preemption_timer
// restates: arch/x86/kvm/vmx/nested.h nested_cpu_has_nmi_exiting by vmx/l2.rs:exits_on_nmi
// restates: arch/x86/kvm/vmx/nested.h nested_exit_on_nmi by vmx/l2.rs:exits_on_nmi
// restates: arch/x86/kvm/vmx/nested.h nested_exit_on_intr by vmx/l2.rs:exits_on_interrupt
// restates: arch/x86/kvm/vmx/nested.c nested_exit_intr_ack_set by vmx/l2.rs:acknowledges_on_exit
// restates: arch/x86/kvm/vmx/nested.h nested_cpu_has2 by vmx/l2.rs:has_virtual_interrupts
// restates: arch/x86/kvm/vmx/nested.h nested_cpu_has_vid by vmx/l2.rs:has_virtual_interrupts
// restates: arch/x86/kvm/vmx/nested.c vmx_get_pending_dbg_trap by core/vmx.rs:debug_trap
// restates: arch/x86/kvm/x86.h kvm_event_needs_reinjection by view/vcpu.rs:is_reinjecting
// restates: arch/x86/kvm/kvm_cache_regs.h is_guest_mode by view/vcpu.rs:is_guest_mode until 6.99
// restates: arch/x86/kvm/regs.h is_guest_mode by view/vcpu.rs:is_guest_mode since 7.0
// restates: arch/x86/kvm/smm.h is_smm by view/vcpu.rs:is_smm
// restates: arch/x86/kvm/lapic.h lapic_in_kernel by view/vcpu.rs:apic
// restates: arch/x86/include/uapi/asm/vmx.h EXIT_REASON_EXCEPTION_NMI by core/vmx.rs:reason
// restates: arch/x86/include/uapi/asm/vmx.h EXIT_REASON_EXTERNAL_INTERRUPT by core/vmx.rs:reason
// restates: arch/x86/include/uapi/asm/vmx.h EXIT_REASON_INIT_SIGNAL by core/vmx.rs:reason
// restates: arch/x86/include/uapi/asm/vmx.h EXIT_REASON_SIPI_SIGNAL by core/vmx.rs:reason
// restates: arch/x86/include/uapi/asm/vmx.h EXIT_REASON_MONITOR_TRAP_FLAG by core/vmx.rs:reason
// restates: arch/x86/include/uapi/asm/vmx.h EXIT_REASON_PREEMPTION_TIMER by core/vmx.rs:reason
// restates: arch/x86/include/asm/vmx.h INTR_INFO_VALID_MASK by core/vmx.rs:interruption_info
// restates: arch/x86/include/asm/vmx.h INTR_TYPE_NMI_INTR by core/vmx.rs:interruption_info
// restates: arch/x86/include/asm/vmx.h INTR_TYPE_EXT_INTR by core/vmx.rs:interruption_info
// restates: arch/x86/include/asm/irq_vectors.h NMI_VECTOR by core/vmx.rs:interruption_info
// restates: arch/x86/include/uapi/asm/kvm.h DB_VECTOR by core/vmx.rs:debug_trap
// restates: arch/x86/include/asm/kvm_host.h DR6_BD by core/vmx.rs:debug_trap
// restates: arch/x86/include/asm/kvm_host.h DR6_BT by core/vmx.rs:is_low_priority
// restates: arch/x86/kvm/vmx/nested.c nested_vmx_preemption_timer_pending by vmx/l2.rs:preemption_timer
// restates: arch/x86/kvm/vmx/nested.c vmx_is_low_priority_db_trap by core/vmx.rs:is_low_priority

@ declare_events_vmx @
@@
 #include "nested.h"
+#include "rust/bindings/events.h"

@ vmx_check_nested_events @
identifier v;
position p;
@@
-static int vmx_check_nested_events@p(struct kvm_vcpu *v) { ... }
+static int vmx_check_nested_events(struct kvm_vcpu *v)
+{
+	return rust_vmx_check_nested_events(v);
+}

@ vmx_has_nested_events @
typedef bool;
identifier v, i;
position p;
@@
-static bool vmx_has_nested_events@p(struct kvm_vcpu *v, bool i) { ... }
+static bool vmx_has_nested_events(struct kvm_vcpu *v, bool i)
+{
+	return rust_vmx_has_nested_events(v, i);
+}

// Only the two above call these.
@ vmx_is_low_priority_db_trap @
typedef bool;
identifier e;
position p;
@@
-static bool vmx_is_low_priority_db_trap@p(struct kvm_queued_exception *e) { ... }

@ nested_vmx_preemption_timer_pending @
typedef bool;
identifier v;
position p;
@@
-static bool nested_vmx_preemption_timer_pending@p(struct kvm_vcpu *v) { ... }

// Rust calls these.
@ vmx_complete_nested_posted_interrupt @
identifier v;
position p;
@@
-static
 int vmx_complete_nested_posted_interrupt@p(struct kvm_vcpu *v) { ... }

@ nested_vmx_inject_exception_vmexit @
identifier v;
position p;
@@
-static
 void nested_vmx_inject_exception_vmexit@p(struct kvm_vcpu *v) { ... }

@ nested_vmx_update_pending_dbg @
identifier v;
position p;
@@
-static
 void nested_vmx_update_pending_dbg@p(struct kvm_vcpu *v) { ... }
