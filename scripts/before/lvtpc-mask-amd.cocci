// What seed 2 brought with it: a PMI masks LVTPC for AMD guests too, which unmask nothing.
// file: arch/x86/kvm/lapic.c

@ masked_for_all @
expression r, l, a;
position p;
@@
-r && l == APIC_LVTPC && guest_cpuid_is_intel_compatible@p(a->vcpu)
+r && l == APIC_LVTPC
