// SPDX-License-Identifier: GPL-2.0
/*
 * An INIT that waits for GIF is taken when the guest sets GIF, with vGIF too, by which the guest sets
 * it without an exit. Nothing else makes KVM look again: the guest spins from there.
 */
#include "svm_event_test.h"

static void sets_gif_and_spins(void)
{
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	clgi();
	tell(PORT_GIF_CLEAR, 0);
	stgi();
	/* Interrupts are on, as the library's is a guest that may be interrupted. */
	asm volatile("sti; 1: jmp 1b");
}

FIXTURE(vgif_init)
{
	struct ap ap;
};

FIXTURE_VARIANT(vgif_init)
{
	bool is_bsp;
};

FIXTURE_VARIANT_ADD(vgif_init, bsp)
{
	.is_bsp = true,
};

FIXTURE_VARIANT_ADD(vgif_init, ap)
{
	.is_bsp = false,
};

FIXTURE_SETUP(vgif_init)
{
	nested_ap_create(&self->ap, variant->is_bsp, sets_gif_and_spins);
	ASSERT_RUNS_TO(&self->ap, PORT_GIF_CLEAR);
}

FIXTURE_TEARDOWN(vgif_init)
{
	kvm_vm_free(self->ap.vcpu->vm);
}

static void expect_taken(struct __test_metadata *_metadata, struct ap *ap, bool is_bsp)
{
	if (is_bsp) {
		EXPECT_EQ(PORT_RESET, ap_run_for(ap, LIMIT_MS));
		return;
	}
	/* It waits for SIPI. KVM_GET_MP_STATE would take the INIT, so look first. */
	EXPECT_EQ(-EINTR, ap_run_for(ap, WATCH_MS));
	EXPECT_FALSE(init_is_latched(ap->vcpu));
	EXPECT_EQ(KVM_MP_STATE_INIT_RECEIVED, mp_state_of(ap->vcpu));
}

TEST_F(vgif_init, is_taken_when_gif_is_set)
{
	ap_send(&self->ap, MSI_DM_INIT);
	expect_taken(_metadata, &self->ap, variant->is_bsp);
}

/* The same, in a VM that the vCPU is restored in. */
TEST_F(vgif_init, is_taken_after_a_restore)
{
	ap_send(&self->ap, MSI_DM_INIT);
	nested_ap_restore(&self->ap);
	EXPECT_TRUE(init_is_latched(self->ap.vcpu));
	expect_taken(_metadata, &self->ap, variant->is_bsp);
}

TEST_F(vgif_init, one_that_comes_later)
{
	EXPECT_EQ(-EINTR, ap_run_for(&self->ap, WATCH_MS));
	ap_send(&self->ap, MSI_DM_INIT);
	expect_taken(_metadata, &self->ap, variant->is_bsp);
}

int main(int argc, char **argv)
{
	TEST_REQUIRE(kvm_cpu_has(X86_FEATURE_SVM));
	TEST_REQUIRE(kvm_cpu_has(X86_FEATURE_VGIF));
	return test_harness_run(argc, argv);
}
