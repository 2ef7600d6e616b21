#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>

#include "cli/login.h"

extern char **environ;

int browser_open(const char *url, struct error *err)
{
    posix_spawn_file_actions_t files;
    char program[] = "xdg-open";
    char *argv[] = {program, (char *)(uintptr_t)url, NULL};
    pid_t pid;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
    /* Some of them stay as long as the browser: nobody waits for it. */
    int r = posix_spawnp(&pid, program, &files, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    if (r != 0)
        return error_set(err, -r, "cannot open a browser (%s: %s); the address is %s", program,
            errno_text(-r), url);
    return 0;
}
