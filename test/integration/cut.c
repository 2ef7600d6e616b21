#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/parse.h"

/*
 * cut N COMMAND...: runs a command, and kills it and all that it started just before the N-th call
 * that changes a disk, as a power cut there would. Ends with CUT when it did so; else, when there
 * were fewer calls, as the command did. The last line on stderr is then "cut: N CALL PATH".
 *
 * Calls are counted over all its processes. A filter of seccomp stops only them, so that what runs
 * is as fast as ever; writes count when they go to a file that has a name.
 */

enum { CUT = 99, FAILED = 98, PROCESSES_MAX = 4096, PATH_SHOWN = 256 };

struct call {
    long nr;
    const char *name;
    int path;  /* which argument says what is changed, -1 for none */
    int flags; /* which holds O_CREAT, or -1: always counts */
    bool fd;   /* the first argument is a file, that must have a name */
};

static const struct call calls[] = {
#ifdef SYS_rename
    {SYS_rename, "rename", 0, -1, false},
    {SYS_unlink, "unlink", 0, -1, false},
    {SYS_rmdir, "rmdir", 0, -1, false},
    {SYS_mkdir, "mkdir", 0, -1, false},
    {SYS_symlink, "symlink", 1, -1, false},
    {SYS_link, "link", 1, -1, false},
    {SYS_open, "open", 0, 1, false},
    {SYS_creat, "creat", 0, -1, false},
    {SYS_chmod, "chmod", 0, -1, false},
    {SYS_chown, "chown", 0, -1, false},
    {SYS_lchown, "lchown", 0, -1, false},
#endif
    {SYS_renameat, "renameat", 1, -1, false},
    {SYS_renameat2, "renameat2", 1, -1, false},
    {SYS_unlinkat, "unlinkat", 1, -1, false},
    {SYS_mkdirat, "mkdirat", 1, -1, false},
    {SYS_symlinkat, "symlinkat", 2, -1, false},
    {SYS_linkat, "linkat", 3, -1, false},
    {SYS_openat, "openat", 1, 2, false},
    {SYS_fchmodat, "fchmodat", 1, -1, false},
    {SYS_fchownat, "fchownat", 1, -1, false},
    {SYS_fchmod, "fchmod", -1, -1, true},
    {SYS_fchown, "fchown", -1, -1, true},
    {SYS_truncate, "truncate", 0, -1, false},
    {SYS_ftruncate, "ftruncate", -1, -1, true},
    {SYS_fsync, "fsync", -1, -1, false},
    {SYS_fdatasync, "fdatasync", -1, -1, false},
    {SYS_syncfs, "syncfs", -1, -1, false},
    {SYS_write, "write", -1, -1, true},
    {SYS_writev, "writev", -1, -1, true},
    {SYS_pwrite64, "pwrite64", -1, -1, true},
    {SYS_execve, "execve", 0, -1, false},
};
enum { N_CALLS = sizeof(calls) / sizeof(calls[0]) };

struct run {
    uint64_t at, seen;
    pid_t command, processes[PROCESSES_MAX];
    size_t n;
    int status;
    char text[PATH_SHOWN + 64];
};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "cut: %s: %m\n", what);
    exit(FAILED);
}

/* ---- the child ---- */

static void filter(void)
{
    struct sock_filter code[N_CALLS * 5 + 2];
    unsigned short n = 0;
    const unsigned nr = offsetof(struct seccomp_data, nr),
                   args = offsetof(struct seccomp_data, args);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, nr);
    for (size_t i = 0; i < N_CALLS; i++) {
        bool flags = calls[i].flags >= 0;
        code[n++] = (struct sock_filter)BPF_JUMP(
            BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i].nr, 0, flags ? 4 : 1);
        if (flags) { /* the lower half of the argument: ours are little-endian */
            unsigned at = args + 8 * (unsigned)calls[i].flags;
            code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at);
            code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_CREAT, 1, 0);
            code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        }
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    const struct sock_fprog program = {n, code};
    if (geteuid() != 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        die("no new privileges");
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        die("seccomp");
}

static pid_t start(char **argv, int ready[2])
{
    char go;
    if (pipe2(ready, O_CLOEXEC) < 0)
        die("pipe");
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid > 0)
        return pid;
    close(ready[1]);
    if (read(ready[0], &go, 1) != 1)
        _exit(FAILED);
    filter();
    execvp(argv[0], argv);
    die(argv[0]);
}

/* ---- the processes ---- */

static void remember(struct run *r, pid_t pid)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->processes[i] == pid)
            return;
    if (r->n < PROCESSES_MAX)
        r->processes[r->n++] = pid;
}

static void forget(struct run *r, pid_t pid)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->processes[i] == pid)
            r->processes[i] = r->processes[--r->n];
}

static bool has_a_name(pid_t pid, uint64_t fd)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof(path), "/proc/%d/fd/%" PRIu64, (int)pid, fd);
    return stat(path, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) && st.st_nlink > 0;
}

static void read_path(pid_t pid, uint64_t address, char *ret)
{
    char file[64];
    snprintf(file, sizeof(file), "/proc/%d/mem", (int)pid);
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : pread(fd, ret, PATH_SHOWN - 1, (off_t)address);
    ret[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        close(fd);
}

/* Looking for a program in PATH changes nothing. */
static bool is_program(pid_t pid, const char *path)
{
    char file[PATH_SHOWN + 64];
    snprintf(file, sizeof(file), "/proc/%d/%s/%s", (int)pid, path[0] == '/' ? "root" : "cwd", path);
    return access(file, X_OK) == 0;
}

/* Whether the call that a process is stopped before is the one to cut at. */
static bool reached(struct run *r, pid_t pid)
{
    struct __ptrace_syscall_info info;
    char path[PATH_SHOWN] = "";
    const struct call *call = NULL;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) < 0 ||
        info.op != PTRACE_SYSCALL_INFO_SECCOMP)
        return false;
    for (size_t i = 0; i < N_CALLS; i++)
        if ((uint64_t)calls[i].nr == info.seccomp.nr)
            call = &calls[i];
    if (!call || (call->fd && !has_a_name(pid, info.seccomp.args[0])))
        return false;
    if (call->path >= 0)
        read_path(pid, info.seccomp.args[call->path], path);
    if ((call->nr == SYS_execve && !is_program(pid, path)) || ++r->seen != r->at)
        return false;
    if (call->path < 0) {
        char link[64];
        snprintf(link, sizeof(link), "/proc/%d/fd/%" PRIu64, (int)pid, info.seccomp.args[0]);
        ssize_t n = readlink(link, path, sizeof(path) - 1);
        path[n > 0 ? n : 0] = '\0';
    }
    snprintf(r->text, sizeof(r->text), "%" PRIu64 " %s %s", r->seen, call->name, path);
    return true;
}

static void kill_all(struct run *r)
{
    for (size_t i = 0; i < r->n; i++)
        kill(r->processes[i], SIGKILL);
}

/* Goes on after a stop. False when it was the one to cut at. */
static bool go_on(struct run *r, pid_t pid, int status)
{
    int event = status >> 16, signal = WSTOPSIG(status);
    if (event == PTRACE_EVENT_SECCOMP && reached(r, pid))
        return false;
    bool group_stop = event == PTRACE_EVENT_STOP && (signal == SIGSTOP || signal == SIGTSTP ||
                                                        signal == SIGTTIN || signal == SIGTTOU);
    if (group_stop)
        ptrace(PTRACE_LISTEN, pid, 0, 0);
    else
        ptrace(PTRACE_CONT, pid, 0, event ? 0 : signal);
    return true;
}

static void follow(struct run *r)
{
    int status;
    pid_t pid;
    bool cut = false;
    while ((pid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
        if (pid < 0)
            continue;
        if (!WIFSTOPPED(status)) {
            forget(r, pid);
            if (pid == r->command)
                r->status = status;
            continue;
        }
        remember(r, pid);
        if (!cut && !go_on(r, pid, status))
            cut = true;
        if (cut)
            kill_all(r);
    }
}

int main(int argc, char **argv)
{
    struct run *r = calloc(1, sizeof(*r));
    int ready[2];
    if (argc < 3 || !r) {
        fprintf(stderr, "usage: cut N COMMAND...\n");
        return FAILED;
    }
    if (parse_u64(str_of(argv[1]), &r->at) < 0) {
        fprintf(stderr, "cut: %s is no number\n", argv[1]);
        return FAILED;
    }
    r->command = start(argv + 2, ready);
    remember(r, r->command);
    long options = PTRACE_O_EXITKILL | PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEFORK |
                   PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
    if (ptrace(PTRACE_SEIZE, r->command, 0, options) < 0)
        die("ptrace");
    if (write(ready[1], "", 1) != 1)
        die("pipe");
    follow(r);
    bool cut = r->text[0];
    if (cut)
        fprintf(stderr, "cut: %s\n", r->text);
    int code = cut ? CUT : (WIFEXITED(r->status) ? WEXITSTATUS(r->status) : FAILED);
    free(r);
    return code;
}
