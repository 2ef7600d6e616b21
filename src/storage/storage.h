#ifndef DCOS_STORAGE_STORAGE_H
#define DCOS_STORAGE_STORAGE_H

/*
 * Places where releases are published. Calls wait for their answer. Paths are relative, parts
 * joined by one slash. A file appears whole under its name or not at all, whatever happens while it
 * is written.
 *
 * Errors: -ENOENT for a file that is not there, -EACCES, -EROFS for a storage that is only read,
 * -EIO with what the server said, -EINVAL for paths and options.
 */

#include "base/buf.h"
#include "base/error.h"
#include "json/json.h"
#include "pkgpanda/names.h"

enum {
    STORAGE_PATH_MAX = 1024,
    STORAGE_FETCH_MAX = 64 * 1024 * 1024, /* of what is read into memory */
    STORAGE_SHORT_PATH = 5,               /* folders with shorter full paths are not removed */
};

struct storage;

/* What is put there: a file of this machine, or bytes. */
struct storage_content {
    const char *local_path; /* NULL: bytes */
    const char *bytes;
    size_t n;
    const char *content_type; /* NULL = application/octet-stream */
    bool no_cache;            /* readers must ask again each time */
};

struct storage_ops {
    int (*put)(
        struct storage *s, const char *path, const struct storage_content *c, struct error *err);
    int (*copy)(struct storage *s, const char *from, const char *to, struct error *err);
    int (*exists)(struct storage *s, const char *path, struct error *err); /* 1 or 0 */
    /* Writes all of it to fd. */
    int (*get)(struct storage *s, const char *path, int fd, struct error *err);
    /* Adds full names of all files below the folder ("" = everything). NULL: cannot list. */
    int (*list)(struct storage *s, const char *folder, struct strings *ret, struct error *err);
    int (*remove)(struct storage *s, const char *path, struct error *err);
    /* See storage_fetch_tagged() and storage_put_if(); NULL: cannot. */
    int (*get_tagged)(
        struct storage *s, const char *path, struct buf *ret, char **ret_tag, struct error *err);
    int (*put_if)(struct storage *s, const char *path, const struct storage_content *c,
        const char *tag, struct error *err);
    int (*prepare)(struct storage *s, struct error *err); /* NULL: nothing to do */
    void (*free)(struct storage *s);
};

struct storage {
    const struct storage_ops *ops;
    char *name; /* as in the configuration */
    char *kind; /* "aws_s3" */
    char *url;  /* where readers find files; ends with a slash */
    bool read_only;
};

/* `options`: the object of one storage in the configuration, without kind and read_only. Options
 * that are missing or not known are -EINVAL. */
int storage_open(
    const char *name, const json_t *description, struct storage **ret, struct error *err);
void storage_free(struct storage *s);

int storage_put(
    struct storage *s, const char *path, const struct storage_content *content, struct error *err);
/* Inside the storage, without going through this machine. */
int storage_copy(struct storage *s, const char *from, const char *to, struct error *err);
int storage_exists(struct storage *s, const char *path, struct error *err);
/* Appends it to *ret. */
int storage_fetch(struct storage *s, const char *path, struct buf *ret, struct error *err);
/* The same with what the server calls this version of it. Caller frees *ret_tag. */
int storage_fetch_tagged(
    struct storage *s, const char *path, struct buf *ret, char **ret_tag, struct error *err);
/* Puts bytes in place of the version with this tag, or with NULL where nothing is. -EAGAIN when it
 * is not as it was; -EOPNOTSUPP when the server says that it cannot. There are servers for S3 that
 * take no notice and write. An answer that got lost leaves open whether it was written. */
int storage_put_if(struct storage *s, const char *path, const struct storage_content *content,
    const char *tag, struct error *err);
/* Makes the place itself, a container, when it is not there and the kind can. */
int storage_prepare(struct storage *s, struct error *err);
/* The file appears on this machine whole. */
int storage_download(struct storage *s, const char *path, const char *local, struct error *err);
int storage_list(struct storage *s, const char *folder, struct strings *ret, struct error *err);
/* The file or the folder with all in it; one that is not there is no error. */
int storage_remove_recursive(struct storage *s, const char *path, struct error *err);
/* "" or parts without "." and "..", joined by single slashes. */
bool storage_path_valid(const char *path);

/* ---- kinds ---- */

int storage_local_new(const json_t *options, struct storage **ret, struct error *err);
int storage_s3_new(const json_t *options, struct storage **ret, struct error *err);
int storage_azure_new(const json_t *options, struct storage **ret, struct error *err);
int storage_http_new(const json_t *options, struct storage **ret, struct error *err);

/* Reads text options by table. `required` ones must be there and not empty; null counts as absent,
 * what is in no row is an error. Texts are borrowed from the document. */
struct storage_option {
    const char *name;
    const char **target;
    bool required;
};
int storage_options(
    const json_t *options, const struct storage_option *table, size_t n, struct error *err);

#endif
