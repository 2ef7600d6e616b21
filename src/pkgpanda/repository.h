#ifndef DCOS_PKGPANDA_REPOSITORY_H
#define DCOS_PKGPANDA_REPOSITORY_H

/*
 * The packages of a host: a folder with one folder per id.
 *
 * A package appears under its id when it is whole and on disk, and disappears whole: what is in the
 * making, or going, has a name that begins with a dot, is no id, and is cleared away by the next
 * change. Changes of several processes wait for each other (flock on the folder).
 *
 * A remote repository has <base>/packages/<name>/<id>.tar.xz, checked as trust.h says.
 */

#include "pkgpanda/names.h"
#include "pkgpanda/trust.h"

#define PACKAGE_SUFFIX ".tar.xz"

enum {
    FETCH_ATTEMPTS = 5,   /* of which those after 500, 502, 503, 504 and broken transfers */
    FETCH_PAUSE_MS = 200, /* doubled each time */
    FETCH_STALL_SECONDS = 60,
    PACKAGE_LIST_MAX = 1024 * 1024,
};
#define PACKAGE_BYTES_MAX (UINT64_C(16) * 1024 * 1024 * 1024) /* unpacked */

/* Ids, sorted. */
int repository_list(const char *repository, struct strings *ret, struct error *err);
bool repository_has(const char *repository, const char *id);

/* Unpacks a tarball as package `id`. 1 when it is there already: then nothing is read. */
int repository_add(const char *repository, const char *tarball, const char *id, struct error *err);
/* The id that a tarball's name gives: "<dir>/<id>.tar.xz". Caller frees. -EINVAL. */
int repository_id_of_tarball(const char *path, char **ret, struct error *err);
/* Moves a folder in as package `id`. It must be on the same file system. 1 when it is there. */
int repository_take(const char *repository, const char *folder, const char *id, struct error *err);
/* 0 also when it is not there. */
int repository_remove(const char *repository, const char *id, struct error *err);

/* Downloads and adds. 1 when it was there already. -ENOENT when the server has no such package. */
int repository_fetch(const char *repository, const char *base_url, const char *id,
    const struct trust *trust, struct error *err);
/* A small file at <base>/<path>, checked in the same way. `base` is a URL, or an absolute path. */
int repository_fetch_text(const char *base_url, const char *path, size_t max,
    const struct trust *trust, struct buf *ret, struct error *err);
/* The same for a file of any size, to fd. -ENOENT, -EACCES by what the server answers. */
int repository_fetch_file(const char *base_url, const char *path, int fd, uint64_t max,
    const struct trust *trust, struct error *err);
/* A file at url to fd, with retries; digest and signature are not looked at. */
int fetch_url(const char *url, int fd, uint64_t max, struct error *err);

#endif
