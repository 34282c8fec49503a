/* Faults at exact calls of the C library; loaded by LD_PRELOAD, told by the environment.

   See tests/faults/injecting.py for what the variables mean. A call counts when its path, or the
   path of its descriptor, is below one of FAULT_ROOTS, in a process whose command line matches
   FAULT_PROGRAM. What a program does without the C library is not seen. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define ANYWHERE "*"
static const char *roots, *calls, *role, *mark, *log_path, *host, *mounts, *fresh_at;
static long at, until, action, clock_s;
static int armed, local_locks;
static pid_t started, counted;
static long count;
static __thread int busy;

static long number(const char *name) {
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : 0;
}

__attribute__((constructor)) static void begin(void) {
    char line[8192];
    const char *program = getenv("FAULT_PROGRAM");
    started = counted = getpid();
    int file = syscall(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t size = file < 0 ? 0 : syscall(SYS_read, file, line, sizeof line - 1);
    if (file >= 0) syscall(SYS_close, file);
    if (size < 0) size = 0;
    for (ssize_t i = 0; i < size - 1; i++) if (!line[i]) line[i] = ' ';
    line[size] = 0;
    roots = getenv("FAULT_ROOTS");
    if (!roots || (program && fnmatch(program, line, 0))) return;
    calls = getenv("FAULT_CALLS");
    role = getenv("FAULT_ROLE");
    mark = getenv("FAULT_MARK");
    log_path = getenv("FAULT_LOG");
    host = getenv("FAULT_HOST");
    at = number("FAULT_AT");
    until = number("FAULT_UNTIL");
    action = number("FAULT_ERRNO");
    clock_s = number("FAULT_CLOCK");
    fresh_at = getenv("FAULT_FRESH_AT");
    mounts = getenv("FAULT_MOUNTS");
    local_locks = getenv("FAULT_LOCAL_LOCKS") != NULL;
    armed = 1;
}

/* For a program that forks: the next calls are counted anew, and the n-th is struck; 0: none. */
void fault_at(long n) {
    at = until = n;
    count = 0;
}

/* --- which calls count ---------------------------------------------------------------------- */

static int below(const char *path) {
    for (const char *root = roots; root && *root;) {
        const char *end = strchrnul(root, ':');
        size_t size = end - root;
        if (!strncmp(path, root, size) && (path[size] == '/' || !path[size])) return 1;
        root = *end ? end + 1 : end;
    }
    return 0;
}

static int listed(const char *call) {
    char word[32];
    snprintf(word, sizeof word, ",%s,", call);
    return !calls || strstr(calls, word) != NULL;
}

static const char *of_fd(int fd, char *buffer) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = syscall(SYS_readlinkat, AT_FDCWD, link, buffer, PATH_MAX - 1);
    buffer[size > 0 ? size : 0] = 0;
    return buffer;
}

static const char *of_name(int fd, const char *name, char *buffer) {
    if (!name) name = "";
    if (*name == '/') return name;
    if (fd != AT_FDCWD) of_fd(fd, buffer);
    else if (syscall(SYS_getcwd, buffer, PATH_MAX) < 0) buffer[0] = 0;
    size_t size = strlen(buffer);
    snprintf(buffer + size, PATH_MAX - size, "/%s", name);
    return buffer;
}

/* --- what happens at them ------------------------------------------------------------------- */

static void append(const char *path, const char *text) {
    int file = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file < 0) return;
    if (syscall(SYS_write, file, text, strlen(text)) < 0) { }
    syscall(SYS_close, file);
}

/* The error that a call shall end with; 0: it is made. */
static int at_call(const char *call, const char *path) {
    char line[PATH_MAX + 128];
    if (!armed || busy || (strcmp(path, ANYWHERE) && !below(path)) || !listed(call)) return 0;
    pid_t here = getpid();
    int forked = here != started;
    if (role && forked != !strcmp(role, "forked")) return 0;
    if (counted != here) { counted = here; count = 0; }
    long n = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    int strike = at && n >= at && n <= until;
    if (strike && mark) {
        int file = syscall(SYS_openat, AT_FDCWD, mark, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file < 0) strike = 0;
        else syscall(SYS_close, file);
    }
    if (log_path && (strike || !at)) {
        snprintf(line, sizeof line, "%d\t%s\t%ld\t%s\t%s\n", here, forked ? "forked" : "self", n, call, path);
        append(log_path, line);
    }
    if (!strike) return 0;
    if (!action) { syscall(SYS_kill, here, SIGKILL); for (;;) pause(); }
    return action;
}

#define REAL(result, name, ...)                                                  \
    static result (*real)(__VA_ARGS__);                                          \
    if (!real) real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name);
#define REAL_(result, name, types)                                               \
    static result (*real) types;                                                 \
    if (!real) real = (result (*) types)dlsym(RTLD_NEXT, #name);
#define STOP(call, path)                                                         \
    do { int error_ = at_call(call, path); if (error_) { errno = error_; return -1; } } while (0)

/* --- a view with stale caches: what another host made since a moment is not there yet ---------- */

static void tag(const char *path) {
    if (host && armed && below(path)) syscall(SYS_lsetxattr, path, "user.made", host, strlen(host), 0);
}

static int is_later(const struct statx_timestamp *one, const struct statx_timestamp *other) {
    if (one->tv_sec != other->tv_sec) return one->tv_sec > other->tv_sec;
    return one->tv_nsec > other->tv_nsec;
}

static int unseen(const char *path) {
    char maker[64];
    struct statx found, fresh;
    if (!fresh_at || !armed || !below(path)) return 0;
    ssize_t size = syscall(SYS_lgetxattr, path, "user.made", maker, sizeof maker - 1);
    maker[size > 0 ? size : 0] = 0;
    if (size <= 0 || !strcmp(maker, host)) return 0;
    if (syscall(SYS_statx, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BTIME, &found)) return 0;
    if (!syscall(SYS_statx, AT_FDCWD, fresh_at, 0, STATX_MTIME, &fresh) && !is_later(&found.stx_btime, &fresh.stx_mtime))
        return 0;
    if (log_path) append(log_path, "0\tself\t0\tstale\t"), append(log_path, path), append(log_path, "\n");
    return 1;
}

#define STALE(path) do { if (unseen(path)) { errno = ENOENT; return -1; } } while (0)

/* --- files ------------------------------------------------------------------------------------ */

#define WRITES(flags) ((flags) & (O_CREAT | O_WRONLY | O_RDWR | O_TRUNC))
#define OPEN(name)                                                               \
    int name(const char *path, int flags, ...) {                                 \
        char buffer[PATH_MAX];                                                   \
        va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest); \
        REAL(int, name, const char *, int, ...)                                  \
        const char *whole = of_name(AT_FDCWD, path, buffer);                     \
        STOP(WRITES(flags) ? "create" : "open", whole);                          \
        if (!(flags & O_CREAT)) STALE(whole);                                    \
        if (mounts && !strcmp(path, "/proc/self/mountinfo")) path = mounts;      \
        int fresh = (flags & O_CREAT) && host && syscall(SYS_access, path, F_OK);  \
        int file = real(path, flags, mode);                                      \
        if (file >= 0 && fresh) tag(whole);                                      \
        return file;                                                             \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                             \
    int name(int at_fd, const char *path, int flags, ...) {                      \
        char buffer[PATH_MAX];                                                   \
        va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest); \
        REAL(int, name, int, const char *, int, ...)                             \
        const char *whole = of_name(at_fd, path, buffer);                        \
        STOP(WRITES(flags) ? "create" : "open", whole);                          \
        if (!(flags & O_CREAT)) STALE(whole);                                    \
        return real(at_fd, path, flags, mode);                                   \
    }
OPENAT(openat)
OPENAT(openat64)

#define ON_FD(result, call, name, types, names)                                  \
    result name types {                                                          \
        char buffer[PATH_MAX];                                                   \
        REAL_(result, name, types)                                           \
        STOP(call, armed && !busy ? of_fd(fd, buffer) : "");                     \
        return real names;                                                       \
    }
ON_FD(ssize_t, "write", write, (int fd, const void *data, size_t size), (fd, data, size))
ON_FD(ssize_t, "write", pwrite, (int fd, const void *data, size_t size, off_t where), (fd, data, size, where))
ON_FD(ssize_t, "write", pwrite64, (int fd, const void *data, size_t size, off64_t where), (fd, data, size, where))
ON_FD(ssize_t, "write", writev, (int fd, const struct iovec *data, int size), (fd, data, size))
ON_FD(ssize_t, "read", read, (int fd, void *data, size_t size), (fd, data, size))
ON_FD(ssize_t, "read", pread64, (int fd, void *data, size_t size, off64_t where), (fd, data, size, where))
ON_FD(int, "fsync", fsync, (int fd), (fd))
ON_FD(int, "fsync", fdatasync, (int fd), (fd))
ON_FD(int, "truncate", ftruncate, (int fd, off_t size), (fd, size))
ON_FD(int, "truncate", ftruncate64, (int fd, off64_t size), (fd, size))
ON_FD(int, "chmod", fchmod, (int fd, mode_t mode), (fd, mode))

int flock(int fd, int operation) {
    char buffer[PATH_MAX];
    REAL(int, flock, int, int)
    const char *path = armed ? of_fd(fd, buffer) : "";
    STOP("flock", path);
    if (local_locks && below(path)) return 0; /* every command is alone on its host */
    return real(fd, operation);
}

#define ON_PATH(call, name, types, names, fd, path)                              \
    int name types {                                                             \
        char buffer[PATH_MAX];                                                   \
        REAL_(int, name, types)                                              \
        const char *whole = armed ? of_name(fd, path, buffer) : "";              \
        STOP(call, whole);                                                       \
        return real names;                                                       \
    }
ON_PATH("unlink", unlink, (const char *path), (path), AT_FDCWD, path)
ON_PATH("unlink", unlinkat, (int fd, const char *path, int flags), (fd, path, flags), fd, path)
ON_PATH("rmdir", rmdir, (const char *path), (path), AT_FDCWD, path)
ON_PATH("rename", rename, (const char *path, const char *to), (path, to), AT_FDCWD, to)
ON_PATH("rename", renameat, (int fd, const char *path, int to, const char *name), (fd, path, to, name), to, name)
ON_PATH("link", link, (const char *path, const char *to), (path, to), AT_FDCWD, to)
ON_PATH("link", linkat, (int fd, const char *path, int to, const char *name, int flags), (fd, path, to, name, flags), to, name)
ON_PATH("link", symlink, (const char *path, const char *to), (path, to), AT_FDCWD, to)
ON_PATH("chmod", chmod, (const char *path, mode_t mode), (path, mode), AT_FDCWD, path)
ON_PATH("chmod", fchmodat, (int fd, const char *path, mode_t mode, int flags), (fd, path, mode, flags), fd, path)
ON_PATH("utime", utimensat, (int fd, const char *path, const struct timespec times[2], int flags), (fd, path, times, flags), fd, path)

int mkdir(const char *path, mode_t mode) {
    char buffer[PATH_MAX];
    REAL(int, mkdir, const char *, mode_t)
    const char *whole = armed ? of_name(AT_FDCWD, path, buffer) : "";
    STOP("mkdir", whole);
    int result = real(path, mode);
    if (!result) tag(whole);
    return result;
}

DIR *opendir(const char *path) {
    char buffer[PATH_MAX];
    REAL(DIR *, opendir, const char *)
    const char *whole = armed ? of_name(AT_FDCWD, path, buffer) : "";
    int error = at_call("list", whole);
    if (error) { errno = error; return NULL; }
    if (unseen(whole)) { errno = ENOENT; return NULL; }
    return real(path);
}

#define STAT(name, kind)                                                         \
    int name(const char *path, struct kind *found) {                             \
        char buffer[PATH_MAX];                                                   \
        REAL(int, name, const char *, struct kind *)                             \
        const char *whole = armed ? of_name(AT_FDCWD, path, buffer) : "";        \
        STOP("stat", whole);                                                     \
        STALE(whole);                                                            \
        return real(path, found);                                                \
    }
STAT(stat, stat)
STAT(stat64, stat64)
STAT(lstat, stat)
STAT(lstat64, stat64)

/* --- processes, which have no path ------------------------------------------------------------ */

pid_t fork(void) {
    REAL(pid_t, fork, void)
    STOP("fork", ANYWHERE);
    return real();
}
pid_t vfork(void) { /* as fork: a wrapper cannot return twice into one frame */
    STOP("fork", ANYWHERE);
    return fork();
}
int pipe2(int ends[2], int flags) {
    REAL(int, pipe2, int *, int)
    STOP("pipe", ANYWHERE);
    return real(ends, flags);
}

/* --- another clock ----------------------------------------------------------------------------- */

int clock_gettime(clockid_t which, struct timespec *found) {
    int result = syscall(SYS_clock_gettime, which, found);
    if (!result && armed && which == CLOCK_REALTIME) found->tv_sec += clock_s;
    return result;
}
int gettimeofday(struct timeval *found, void *zone) {
    int result = syscall(SYS_gettimeofday, found, zone);
    if (!result && armed) found->tv_sec += clock_s;
    return result;
}
time_t time(time_t *found) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (found) *found = now.tv_sec;
    return now.tv_sec;
}
