// Linux 6.12 warns of a nested VM-Exit that comes before the VM-Enter that KVM owes, which userspace
// can bring about by what it sets. Later kernels warn only of what userspace can't have set.
// file: arch/x86/kvm/svm/nested.c
// file: arch/x86/kvm/vmx/nested.c

// until: 6.99
// matches: 3
@ nested_run_pending @
expression s;
position p;
@@
-WARN_ON_ONCE@p(s->nested.nested_run_pending);
