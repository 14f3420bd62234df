// What upstream lacks of vNMI: taking back an NMI that was handed to hardware.
// file: arch/x86/include/asm/kvm_host.h
// file: arch/x86/kvm/svm/svm.c
// restates: arch/x86/kvm/svm/svm.c svm_set_vnmi_pending by helpers/svm.c:svm_clear_vnmi_pending

@ operation @
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
