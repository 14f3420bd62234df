// The other half of seed 5 put back: a SIPI to an L2 that waits for one is no exit to L1.
// seed: 5
// file: arch/x86/kvm/vmx/nested.c

@ no_exit @
expression v, a;
position p;
@@
-if (lapic_in_kernel(v) && test_bit(KVM_APIC_SIPI@p, &a->pending_events)) { ... }
