#ifndef DCOS_PROCESS_FILES_H
#define DCOS_PROCESS_FILES_H

/*
 * Files over HTTP under virtual paths: /files/browse, /files/read, /files/download, /files/debug,
 * and the same questions of the v1 API. What there is to see, a daemon says by a source.
 */

#include <sys/stat.h>

#include "base/vec.h"
#include "http/server.h"
#include "json/writer.h"

struct file_source {
    /* Opens what a virtual path names, for reading: a file or a folder. The descriptor is the
     * caller's. -ENOENT, -EACCES, -EINVAL and so on, with the text of the answer. */
    int (*open)(void *userdata, struct str path, struct error *err);
    /* Writes a field for each attached path: its virtual name, and the real one. */
    void (*attached)(void *userdata, struct json_writer *w);
    /* Whether who asks may see the path; NULL: everybody may see everything. */
    bool (*may)(void *userdata, struct http_request *req, struct str path);
    void *userdata;
};

enum {
    FILES_READ_MAX = 64 * 1024,  /* bytes that one read gives */
    FILES_LIST_MAX = 100 * 1000, /* entries of one folder */
    FILES_NAME_SIZE = 64,
};

struct files_entry {
    char *path; /* virtual: the folder as it was named, and the name */
    struct stat st;
    char uid[FILES_NAME_SIZE], gid[FILES_NAME_SIZE];
};
struct files_list {
    VEC(struct files_entry) entries; /* sorted by path */
};
void files_list_done(struct files_list *l);

/* Entries of a folder; none for a file. 0 or negative errno as the source's open. */
int files_list(
    const struct file_source *source, struct str path, struct files_list *ret, struct error *err);
/* Appends at most FILES_READ_MAX bytes from `offset`; `length` < 0 = to the end. *ret_size is that
 * of the file. -EISDIR for folders. */
int files_read(const struct file_source *source, struct str path, int64_t offset, int64_t length,
    struct buf *out, int64_t *ret_size, struct error *err);
/* Status for an error of these: 400, 403, 404, 500. */
int files_status(int error);
/* "drwxr-x---" */
void files_mode_text(mode_t mode, char ret[11]);

/* GET of the endpoint named after "/files/" with or without ".json": browse, read, download, debug.
 * False when it is none of these: nothing is answered then. */
bool files_http(const struct file_source *source, struct http_request *req, struct str endpoint);

#endif
