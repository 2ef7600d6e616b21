#ifndef DCOS_AUTH_CREDENTIALS_H
#define DCOS_AUTH_CREDENTIALS_H

/*
 * Names and secrets in files, as Mesos reads them.
 *
 * Many: {"credentials": [{"principal": "p", "secret": "s"}, ...]}, or lines "p s". One: the object
 * alone, or one line. Flags name the file as a path or as file:///path. Only digests of the secrets
 * of many are kept in memory.
 */

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"

enum { CREDENTIALS_TEXT_MAX = 16 * 1024 * 1024, SECRET_FILE_MAX = 64 * 1024 };

/* Reads a file that holds secrets; `path` may begin with file://. *ret_exposed tells that others
 * than owner and group can read it: the program warns. */
int secret_file_read(
    const char *path, size_t max, struct buf *out, bool *ret_exposed, struct error *err);
/* A flag's value that is either text itself or names a file (file:// or an absolute path). */
int flag_text_read(const char *value, size_t max, struct buf *out, struct error *err);
/* Wipes and frees. */
void secret_buf_done(struct buf *b);
#define _cleanup_secret_ _cleanup_(secret_buf_done)

struct credentials;
int credentials_new(const char *text, size_t n, struct credentials **ret, struct error *err);
void credentials_free(struct credentials *c);
DEFINE_CLEANUP(struct credentials *, credentials_free)
size_t credentials_count(const struct credentials *c);
/* Whether it is the secret of that principal; takes as long whether or not there is one. */
bool credentials_match(const struct credentials *c, const char *principal, struct str secret);

/* One: principal and secret, for whoever logs in with them. */
struct credential {
    char *principal, *secret;
};
int credential_parse(const char *text, size_t n, struct credential *ret, struct error *err);
void credential_done(struct credential *c);
/* Appends "Basic ..." for the header Authorization. */
void credential_header(const struct credential *c, struct buf *out);

#endif
