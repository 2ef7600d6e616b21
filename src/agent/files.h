#ifndef DCOS_AGENT_FILES_H
#define DCOS_AGENT_FILES_H

/* Files of sandboxes over HTTP: /files/browse, /files/read, /files/download, and the same questions
 * of the v1 API. */

#include <sys/stat.h>

#include "agent/agent.h"

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

/* Entries of a folder; none for a file. 0 or negative errno as sandbox_open. */
int files_list(struct agent *a, struct str path, struct files_list *ret, struct error *err);
/* Appends at most FILES_READ_MAX bytes from `offset`; `length` < 0 = to the end. *ret_size is that
 * of the file. -EISDIR for folders. */
int files_read(struct agent *a, struct str path, int64_t offset, int64_t length, struct buf *out,
    int64_t *ret_size, struct error *err);
/* Status for an error of these: 400, 403, 404, 500. */
int files_status(int error);
/* "drwxr-x---" */
void files_mode_text(mode_t mode, char ret[11]);

void files_http_browse(struct http_request *req, void *userdata);
void files_http_read(struct http_request *req, void *userdata);
void files_http_download(struct http_request *req, void *userdata);

#endif
