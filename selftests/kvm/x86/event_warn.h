/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Whether the kernel warns, for a test that looks for it: in the kernel's log, and meanwhile not on
 * the console, where the lab would take it for trouble of whatever test. A warning that is once for
 * all is once for each load of KVM's modules.
 */
#ifndef SELFTEST_KVM_EVENT_WARN_H
#define SELFTEST_KVM_EVENT_WARN_H

#include <fcntl.h>
#include <sys/syscall.h>

#include "test_util.h"

#define SYSLOG_CONSOLE_OFF	6
#define SYSLOG_CONSOLE_ON	7

/* The kernel's log, from now on. */
static inline int warn_watch(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);

	TEST_ASSERT(fd >= 0 && lseek(fd, 0, SEEK_END) >= 0, "/dev/kmsg: errno %d", errno);
	syscall(SYS_syslog, SYSLOG_CONSOLE_OFF, NULL, 0);
	return fd;
}

/* Whether it has a warning since; what it says is in @line. */
static inline bool warn_seen(int fd, char *line, size_t size)
{
	char record[1024], *text;
	bool seen = false;
	ssize_t n;

	/* The kernel writes the console's part of the log first. */
	while ((n = read(fd, record, sizeof(record) - 1)) > 0 || errno == EPIPE) {
		if (n <= 0)
			continue;
		record[n] = 0;
		text = strstr(record, "WARNING: ");
		if (!text || seen)
			continue;
		seen = true;
		text[strcspn(text, "\n")] = 0;
		snprintf(line, size, "%s", text);
	}
	syscall(SYS_syslog, SYSLOG_CONSOLE_ON, NULL, 0);
	close(fd);
	return seen;
}

#define EXPECT_NO_WARNING(fd)						\
do {									\
	char __line[200] = "";						\
									\
	EXPECT_FALSE(warn_seen(fd, __line, sizeof(__line))) {		\
		/* Not as the kernel spells it: the lab looks for that. */ \
		TH_LOG("the kernel warned: %s", __line + sizeof("WARNING: ") - 1); \
	}								\
} while (0)

#endif /* SELFTEST_KVM_EVENT_WARN_H */
