#include "pkgpanda/run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"

enum { EXIT_SIGNALLED = 128 };

extern char **environ;

static _noreturn_ void child(
    const char *const *argv, const struct run_options *o, int out, int status)
{
    int null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0)
        goto fail;
    if (out >= 0 && (dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0))
        goto fail;
    if (o->cwd && chdir(o->cwd) < 0)
        goto fail;
    if (o->prepare) {
        int r = o->prepare(o->userdata);
        if (r < 0) {
            errno = -r;
            goto fail;
        }
    }
    if (o->envp)
        environ = (char **)(uintptr_t)o->envp;
    execvp(argv[0], (char *const *)(uintptr_t)argv);
fail:;
    int code = errno;
    (void)!write(status, &code, sizeof(code));
    _exit(127);
}

static void drain(int fd, struct buf *output)
{
    char chunk[8192];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        if (output->n < RUN_OUTPUT_MAX)
            buf_append(output, chunk, MIN((size_t)n, RUN_OUTPUT_MAX - output->n));
    }
}

int run_program(const char *const *argv, const struct run_options *options, struct error *err)
{
    static const struct run_options plain = {0};
    const struct run_options *o = options ? options : &plain;
    int status[2], out[2] = {-1, -1}, code = 0, wait_status;
    if (pipe2(status, O_CLOEXEC) < 0 || (o->output && pipe2(out, O_CLOEXEC) < 0))
        return error_errno(err, -errno, "cannot start %s", argv[0]);
    pid_t pid = fork();
    if (pid == 0)
        child(argv, o, o->output ? out[1] : (o->stdout_fd > 0 ? o->stdout_fd : -1), status[1]);
    int failed = pid < 0 ? errno : 0;
    fd_close(status[1]);
    fd_close(out[1]);
    if (pid > 0) {
        ssize_t n;
        while ((n = read(status[0], &code, sizeof(code))) < 0 && errno == EINTR)
            ;
        if (n == sizeof(code))
            failed = code;
        if (o->output && !failed)
            drain(out[0], o->output);
        while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR)
            ;
    }
    fd_close(status[0]);
    fd_close(out[0]);
    if (failed)
        return error_errno(err, -failed, "cannot start %s", argv[0]);
    return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status)
                                  : EXIT_SIGNALLED + WTERMSIG(wait_status);
}
