// What upstream lacks of vNMI: taking back an NMI that KVM handed to hardware.
// file: arch/x86/include/asm/kvm_host.h
// file: arch/x86/kvm/svm/svm.c
// restates: arch/x86/kvm/svm/svm.c svm_set_vnmi_pending by helpers/svm.c:svm_clear_vnmi_pending

@ declare_events_vnmi @
@@
 #include "svm.h"
+#include "rust/bindings/events.h"

@ operation @
typedef bool;
position p;
@@
 struct kvm_x86_ops {
 	...
 	bool (*set_vnmi_pending@p)(struct kvm_vcpu *vcpu);
+	void (*clear_vnmi_pending)(struct kvm_vcpu *vcpu);
 	...
 };

@ svm_operation @
position p;
identifier ops;
@@
 struct kvm_x86_ops ops = {
 	...,
 	.set_vnmi_pending@p = svm_set_vnmi_pending,
+	.clear_vnmi_pending = svm_clear_vnmi_pending,
 	...,
 };

@ svm_no_vnmi @
position p;
@@
 svm_x86_ops.set_vnmi_pending@p = NULL;
+svm_x86_ops.clear_vnmi_pending = NULL;
