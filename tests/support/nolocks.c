/* Preloaded: flock(2) below a directory $NOLOCKS ends as on a file system that has none. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int flock(int descriptor, int operation) {
    char link[64], path[4096];
    const char *below = getenv("NOLOCKS");
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (below != NULL && length > 0) {
        path[length] = '\0';
        if (strncmp(path, below, strlen(below)) == 0) {
            errno = ENOSYS;
            return -1;
        }
    }
    return ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(descriptor, operation);
}
