// A SIPI that finds INIT blocked stays, behind the latched INIT, whoever asked for it.
// file: arch/x86/kvm/lapic.c

@ kept @
expression a;
position p;
@@
-clear_bit(KVM_APIC_SIPI@p, &a->pending_events);
