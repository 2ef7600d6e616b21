#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "minidcos/nspawn/nspawn.h"

int machines_destroy(struct machines *m, struct error *err)
{
    /* Processes first: with them go their mounts and their ends of the bridge. The record goes
     * last, so that a command that is killed here leaves something to call again. */
    int r = groups_remove(m, NULL, err);
    if (r < 0)
        return r;
    network_remove(m);
    static const char *const folders[] = {"nodes", "install", "logs", "secrets", "ssh"};
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(folders); i++) {
        _cleanup_free_ char *path = machines_path(m, folders[i]);
        r = remove_tree(path, err);
    }
    if (r >= 0)
        r = remove_tree(m->dir, err);
    /* Only when they are empty. */
    _cleanup_free_ char *folder = path_join(m->home, "nspawn");
    rmdir(folder);
    rmdir(m->home);
    return r;
}
