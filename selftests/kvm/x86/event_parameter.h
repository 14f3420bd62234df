/* SPDX-License-Identifier: GPL-2.0 */
/* A boolean parameter of kvm's, by its name. */
#ifndef SELFTEST_KVM_EVENT_PARAMETER_H
#define SELFTEST_KVM_EVENT_PARAMETER_H

#include <fcntl.h>

#include "test_util.h"

static inline int open_parameter(const char *name, int flags)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/module/kvm/parameters/%s", name);
	return open(path, flags);
}

/* Y or N; 0 where there is no such parameter. */
static inline char get_parameter(const char *name)
{
	int fd = open_parameter(name, O_RDONLY);
	char value = 0;

	if (fd < 0)
		return 0;
	TEST_ASSERT(read(fd, &value, 1) == 1, "read %s", name);
	close(fd);
	return value;
}

static inline void set_parameter(const char *name, char value)
{
	int fd = open_parameter(name, O_WRONLY);

	TEST_ASSERT(fd >= 0 && write(fd, &value, 1) == 1, "write %s: errno %d", name, errno);
	close(fd);
}

#endif /* SELFTEST_KVM_EVENT_PARAMETER_H */
