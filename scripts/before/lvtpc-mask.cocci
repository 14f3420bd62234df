// Seed 2 put back: a PMI leaves LVTPC unmasked, and the next overflow makes a second one.
// seed: 2
// file: arch/x86/kvm/lapic.c

@ unmasked @
expression r, l, a;
statement S;
position p;
@@
-if (r && l == APIC_LVTPC && guest_cpuid_is_intel_compatible@p(a->vcpu)) S
