#ifndef DCOS_TRANSFER_TREE_H
#define DCOS_TRANSFER_TREE_H

/*
 * Making files below a folder by names that strangers chose.
 *
 * Every step of a path is opened relative to the one before and without following symbolic links,
 * so that neither ".." nor a link that an archive made a moment ago leads out of the folder.
 */

#include <sys/types.h>

#include "base/error.h"

enum { TREE_PATH_MAX = 4096, TREE_DEPTH_MAX = 256 };

/* Clean form of a relative path: no ".", no doubled or trailing slashes; "" for the folder itself.
 * -EINVAL when it is absolute, climbs, or is too long or too deep. Caller frees. */
int tree_clean_path(const char *path, char **ret, struct error *err);
/* Opens the folder that a clean path lies in, making it where missing. *ret_name points into path.
 */
int tree_open_parent(
    int root, const char *path, int *ret_fd, const char **ret_name, struct error *err);
/* Makes the folder of a clean path with all above it. */
int tree_make_directory(int root, const char *path, mode_t mode, struct error *err);

/* A file under a temporary name, which becomes the real one when it is whole. */
struct tree_file {
    int parent, fd;
    char temporary[32];
    char *name;
};

int tree_create(int root, const char *path, struct tree_file *ret, struct error *err);
/* Gives it its name and mode, replacing what was there unless that is a folder. */
int tree_finish(struct tree_file *f, mode_t mode, struct error *err);
/* Removes what was not finished. Safe after tree_finish. */
void tree_file_done(struct tree_file *f);
#define TREE_FILE_INIT                                                                             \
    {                                                                                              \
        .parent = -1, .fd = -1                                                                     \
    }
#define _cleanup_tree_file_ _cleanup_(tree_file_done)

#endif
