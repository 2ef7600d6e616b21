#ifndef DCOS_MKPANDA_SOURCE_H
#define DCOS_MKPANDA_SOURCE_H

/*
 * Where the code of a package comes from. The identity of a source says which contents it stands
 * for; only git_local and local must look at files to tell.
 *
 * `folder` is the package's, `cache` is a folder of the source's own that outlives builds.
 */

#include "mkpanda/buildinfo.h"

#define SOURCE_BYTES_MAX (UINT64_C(16) * 1024 * 1024 * 1024)

/* An object: {"commit"}, {"downloaded_sha1"} or {"content"}. Caller owns. */
int source_identity(const struct source *s, const char *folder, json_t **ret, struct error *err);
/* Puts the contents into `to`, a folder that is there and empty. */
int source_checkout(const struct source *s, const char *folder, const char *cache, const char *to,
    struct error *err);

/* Relative file to SHA-1 of its contents, empty folders to "". The same wherever the folder lies.
 * With `modes`, executables and links differ from plain files. NULL values never. */
int hash_folder(const char *folder, bool modes, json_t **ret, struct error *err);
/* A copy of a folder. */
int copy_folder(const char *from, const char *to, struct error *err);
/* Unpacks a tarball into a folder that is there. */
int unpack_file(const char *path, const char *to, struct error *err);

#endif
