// Userspace can set KVM_MP_STATE_INIT_RECEIVED with INIT blocked, by which Linux 6.12 reaches a
// WARN(). Later kernels don't warn.
// file: arch/x86/kvm/lapic.c

// until: 6.99
@ kvm_apic_accept_events @
expression v;
position p;
@@
-WARN_ON_ONCE@p(v->arch.mp_state == KVM_MP_STATE_INIT_RECEIVED);
