// SPDX-License-Identifier: GPL-2.0
/*
 * INIT and SIPI that come while the AP is being reset by the INIT before. The test stops KVM in
 * the middle of that reset: the AP has asked for a page that userfaultfd holds back, the reset
 * cancels KVM's work on it, and waits for it.
 */
#include <dirent.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <linux/userfaultfd.h>

#include "event_test.h"

#define AP_ASKS			0xa000
#define AP_ASKS_VECTOR		(AP_ASKS >> 12)
#define AP_ABSENT		0xb000

/*
 * sti; nop; mov al, [AP_ABSENT]; 1: jmp 1b
 * With interrupts off, KVM would wait for the page in the fault.
 */
static const u8 asks[] = { 0xfb, 0x90, 0xa0, AP_ABSENT & 0xff, AP_ABSENT >> 8, 0xeb, 0xfe };

FIXTURE(init_in_reset)
{
	struct ap ap;
	int uffd;
};

static int hold_back(void *page)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { (unsigned long)page, PAGE_SIZE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	TEST_ASSERT(fd >= 0, "userfaultfd: errno %d", errno);
	TEST_ASSERT(!ioctl(fd, UFFDIO_API, &api), "UFFDIO_API: errno %d", errno);
	TEST_ASSERT(!madvise(page, PAGE_SIZE, MADV_DONTNEED), "madvise: errno %d", errno);
	TEST_ASSERT(!ioctl(fd, UFFDIO_REGISTER, &reg), "UFFDIO_REGISTER: errno %d", errno);
	return fd;
}

static void let_go(int uffd, void *page)
{
	struct uffdio_zeropage zero = { .range = { (unsigned long)page, PAGE_SIZE } };

	TEST_ASSERT(!ioctl(uffd, UFFDIO_ZEROPAGE, &zero), "UFFDIO_ZEROPAGE: errno %d", errno);
}

/* Whether a thread of this process waits in the kernel for what no signal ends. */
static bool one_is_stuck(void)
{
	struct dirent *entry;
	bool stuck = false;
	char path[300], state;
	FILE *f;
	DIR *d;

	d = opendir("/proc/self/task");
	TEST_ASSERT(d, "/proc/self/task: errno %d", errno);
	while ((entry = readdir(d))) {
		snprintf(path, sizeof(path), "/proc/self/task/%s/stat", entry->d_name);
		f = fopen(path, "r");
		if (!f)
			continue;
		if (fscanf(f, "%*d (%*[^)]) %c", &state) == 1 && state == 'D')
			stuck = true;
		fclose(f);
	}
	closedir(d);
	return stuck;
}

static void *absent_page(struct ap *ap)
{
	return addr_gpa2hva(ap->vcpu->vm, AP_ABSENT);
}

/* Leaves the AP in the reset of an INIT. */
FIXTURE_SETUP(init_in_reset)
{
	struct pollfd asked;

	ap_create(&self->ap, KVM_MP_STATE_UNINITIALIZED);
	memcpy(addr_gpa2hva(self->ap.vcpu->vm, AP_ASKS), asks, sizeof(asks));
	self->uffd = hold_back(absent_page(&self->ap));
	asked = (struct pollfd) { .fd = self->uffd, .events = POLLIN };

	ap_send(&self->ap, MSI_DM_INIT);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_ASKS_VECTOR);
	ap_start(&self->ap);
	ASSERT_EQ(1, poll(&asked, 1, LIMIT_MS));
	ASSERT_FALSE(one_is_stuck());
	ap_send(&self->ap, MSI_DM_INIT);
	ASSERT_TRUE(wait_for(one_is_stuck()));
}

FIXTURE_TEARDOWN(init_in_reset)
{
	if (!self->ap.ended)
		ap_stop(&self->ap);
	close(self->uffd);
	kvm_vm_free(self->ap.vcpu->vm);
}

/* The SIPI is for the AP that the second INIT resets. */
TEST_F(init_in_reset, init_and_sipi)
{
	ap_send(&self->ap, MSI_DM_INIT);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	let_go(self->uffd, absent_page(&self->ap));
	EXPECT_PORTS(&self->ap, PORT_STARTED, PORT_LATER);
	EXPECT_CS_OF_SIPI(&self->ap);
	EXPECT_HALTS(&self->ap);
}

/* The same, and a second SIPI, which hides a first that went astray. */
TEST_F(init_in_reset, init_sipi_sipi)
{
	ap_send(&self->ap, MSI_DM_INIT);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	let_go(self->uffd, absent_page(&self->ap));
	usleep(100000);
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	EXPECT_PORTS(&self->ap, PORT_STARTED, PORT_LATER);
	EXPECT_HALTS(&self->ap);
}

TEST_F(init_in_reset, sipi)
{
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	let_go(self->uffd, absent_page(&self->ap));
	EXPECT_PORTS(&self->ap, PORT_STARTED, PORT_LATER);
	EXPECT_CS_OF_SIPI(&self->ap);
}

/* A SIPI that comes before the second INIT is gone. */
TEST_F(init_in_reset, sipi_and_init)
{
	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	ap_send(&self->ap, MSI_DM_INIT);
	let_go(self->uffd, absent_page(&self->ap));
	EXPECT_WAITS_FOR_SIPI(&self->ap);
	EXPECT_STARTS_BY_INIT_SIPI(&self->ap);
}

TEST_HARNESS_MAIN
