#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "minidcos/commands.h"

int home_of(const struct invocation *inv, char **ret, struct error *err)
{
    const char *dir = option_text(inv, "dir");
    _cleanup_free_ char *own = NULL;
    if (!dir || !*dir)
        dir = getenv("MINIDCOS_HOME");
    if (!dir || !*dir) {
        const char *home = getenv("HOME");
        if (!home || !*home) {
            struct passwd *pw = getpwuid(getuid());
            home = pw ? pw->pw_dir : NULL;
        }
        if (!home)
            return error_set(err, -ENOENT, "cannot tell your home directory; use --dir=PATH");
        own = path_join(home, ".minidcos");
        dir = own;
    }
    char *real = realpath(dir, NULL);
    if (real) {
        *ret = real;
        return 0;
    }
    if (dir[0] == '/') {
        *ret = xstrdup(dir);
        return 0;
    }
    _cleanup_free_ char *cwd = getcwd(NULL, 0);
    if (!cwd)
        return error_errno(err, -errno, "cannot tell the current directory");
    while (dir[0] == '.' && dir[1] == '/')
        dir += 2;
    *ret = path_join(cwd, dir);
    return 0;
}

const char *name_of(const struct invocation *inv)
{
    for (size_t i = 0; i < inv->command->n_options; i++) {
        if (streq(inv->command->options[i].name, "cluster-id"))
            return option_text(inv, "cluster-id") ?: "default";
    }
    return arg_at(inv, 0) ?: "default";
}

int load_of(const struct invocation *inv, struct cluster *ret, struct error *err)
{
    _cleanup_free_ char *home = NULL;
    int r = home_of(inv, &home, err);
    return r < 0 ? r : cluster_load(home, name_of(inv), ret, err);
}

static const struct command *const children[] = {&command_create, &command_destroy, &command_kill,
    &command_list, &command_logs, &command_nspawn, &command_restart, &command_status,
    &command_supervise, &command_wait};

static const struct command root = {.name = "minidcos",
    .description = "Makes, inspects and destroys clusters on this machine.",
    .children = children,
    .n_children = ARRAY_SIZE(children),
    .usage_on_stderr = true};

int main(int argc, char **argv)
{
    umask(022);
    signal(SIGPIPE, SIG_DFL);
    if (argc == 2 && streq(argv[1], "--version")) {
        printf("minidcos %s\n", DCOS_VERSION);
        return 0;
    }
    return command_main(&root, NULL, argc - 1, argv + 1);
}
