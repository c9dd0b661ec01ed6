/* Loaded in front of the C library: makes one write of a program short, or loses it. strace can only replace a call as
 * a whole, so a write that is partly done needs this.
 *
 *   HOURDROP_WRITE_FAULT=short:N     the N-th write takes half of the bytes and says so: as POSIX permits
 *   HOURDROP_WRITE_FAULT=full:N      the same, and every later write finds the disk full
 *   HOURDROP_WRITE_FAULT=lost:N      the N-th write does nothing and says that it took everything: a disk that lies
 *
 * Only regular files count, and none of the standard streams. SQLite's shared memory is no storage.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_long seen;

static int is_storage(int file) {
    struct stat stat;
    char link[64], path[4096];
    if (file <= 2 || fstat(file, &stat) != 0 || !S_ISREG(stat.st_mode))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return length < 4 || strcmp(path + length - 4, "-shm") != 0;
}

/* What happens to this write: 0 nothing, 's' short, 'f' the disk is full, 'l' lost. */
static int fault_of(int file) {
    const char *fault = getenv("HOURDROP_WRITE_FAULT");
    const char *number = fault ? strchr(fault, ':') : NULL;
    if (!number || !is_storage(file))
        return 0;
    long which = atol(number + 1), now = atomic_fetch_add(&seen, 1) + 1;
    if (now == which)
        return fault[0] == 'l' ? 'l' : 's';
    return fault[0] == 'f' && now > which ? 'f' : 0;
}

static ssize_t real_write(int file, const void *bytes, size_t count) {
    static ssize_t (*call)(int, const void *, size_t);
    if (!call)
        call = dlsym(RTLD_NEXT, "write");
    return call(file, bytes, count);
}

static ssize_t real_pwrite(int file, const void *bytes, size_t count, off_t at) {
    static ssize_t (*call)(int, const void *, size_t, off_t);
    if (!call)
        call = dlsym(RTLD_NEXT, "pwrite64");
    return call(file, bytes, count, at);
}

ssize_t write(int file, const void *bytes, size_t count) {
    switch (fault_of(file)) {
    case 's':
        return real_write(file, bytes, count > 1 ? count / 2 : count);
    case 'f':
        errno = ENOSPC;
        return -1;
    case 'l':
        return (ssize_t)count;
    default:
        return real_write(file, bytes, count);
    }
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off_t at) {
    switch (fault_of(file)) {
    case 's':
        return real_pwrite(file, bytes, count > 1 ? count / 2 : count, at);
    case 'f':
        errno = ENOSPC;
        return -1;
    case 'l':
        return (ssize_t)count;
    default:
        return real_pwrite(file, bytes, count, at);
    }
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t at) {
    return pwrite64(file, bytes, count, at);
}
