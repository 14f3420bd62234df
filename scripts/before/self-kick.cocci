// Seed 3 put back: a vCPU that kicks itself takes the atomic path of a kick by others.
// seed: 3
// file: virt/kvm/kvm_main.c

@ no_shortcut @
expression v;
position p;
@@
-v == __this_cpu_read@p(kvm_running_vcpu)
+false
