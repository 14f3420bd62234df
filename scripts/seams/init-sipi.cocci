// INIT and SIPI as userspace sees them: the activity state, save and restore.
// file: arch/x86/kvm/x86.c
// restates: arch/x86/kvm/lapic.h lapic_in_kernel by view/vcpu.rs:apic
// restates: arch/x86/kvm/x86.h kvm_set_mp_state by kvm/vcpu.rs:set_mp_state since 7.0

// until: 6.99
@ set_mp_state_6 @
identifier v, s;
position p;
@@
-if (s->mp_state@p == KVM_MP_STATE_SIPI_RECEIVED) { ... }
-else
-	v->arch.mp_state = s->mp_state;
+rust_kvm_set_mp_state(v, s->mp_state);

// since: 7.0
@ set_mp_state_7 @
identifier v, s;
position p;
@@
-if (s->mp_state@p == KVM_MP_STATE_SIPI_RECEIVED) { ... }
-kvm_set_mp_state(v, s->mp_state);
+rust_kvm_set_mp_state(v, s->mp_state);

@ get_vcpu_events @
identifier v, e;
expression f;
position p;
@@
 e->smi.latched_init@p = kvm_lapic_latched_init(v);
 e->flags = f;
+rust_kvm_init_save(v, e);

@ set_vcpu_events @
identifier v, e;
position p;
@@
-if (lapic_in_kernel(v)) {
-	if (e->smi.latched_init@p)
-		set_bit(KVM_APIC_INIT, &v->arch.apic->pending_events);
-	else
-		clear_bit(KVM_APIC_INIT, &v->arch.apic->pending_events);
-}
+rust_kvm_init_restore(v, e);
