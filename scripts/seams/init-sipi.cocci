// What Rust owns of INIT and SIPI: what an uninitialized vCPU's KVM_RUN returns, the activity
// state, save and restore.
// file: arch/x86/kvm/x86.c
// restates: arch/x86/kvm/lapic.h lapic_in_kernel by view/vcpu.rs:apic
// restates: arch/x86/kvm/x86.h kvm_set_mp_state by kvm/vcpu.rs:set_mp_state since 7.0
// restates: include/linux/kvm_host.h kvm_make_request by core/request.rs:make_event
// restates: include/linux/kvm_host.h __kvm_make_request by core/request.rs:make_event

@ uninitialized_wait @
expression v;
identifier r;
position p;
@@
-if (kvm_apic_accept_events@p(v) < 0) {
-	r = 0;
-	goto out;
-}
-r = -EAGAIN;
-if (signal_pending(current)) { ... }
+r = kvm_init_wait_ended(v);

@ get_mp_state @
identifier v, s;
position p;
@@
-if ((v->arch.mp_state == KVM_MP_STATE_HALTED ||
-     v->arch.mp_state == KVM_MP_STATE_AP_RESET_HOLD) &&
-    v->arch.pv.pv_unhalted)
-	s->mp_state@p = KVM_MP_STATE_RUNNABLE;
-else
-	s->mp_state = v->arch.mp_state;
+s->mp_state = kvm_mp_state_get(v);

@ kvm_arch_vcpu_ioctl_set_mpstate @
identifier v, s;
position p;
@@
-int kvm_arch_vcpu_ioctl_set_mpstate@p(struct kvm_vcpu *v, struct kvm_mp_state *s) { ... }

@ get_vcpu_events_init @
identifier v, e;
expression f;
position p;
@@
-e->smi.latched_init@p = kvm_lapic_latched_init(v);
 e->flags = f;
+kvm_init_save(v, e);

@ set_vcpu_events_sipi @
identifier v, e;
position p;
@@
-if (e->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR &&
-    lapic_in_kernel(v))
-	v->arch.apic->sipi_vector@p = e->sipi_vector;
+kvm_init_restore(v, e);

@ set_vcpu_events_init @
identifier v, e;
position p;
@@
-if (lapic_in_kernel(v)) {
-	if (e->smi.latched_init@p)
-		set_bit(KVM_APIC_INIT, &v->arch.apic->pending_events);
-	else
-		clear_bit(KVM_APIC_INIT, &v->arch.apic->pending_events);
-}
