#ifndef DCOS_TRANSFER_URI_H
#define DCOS_TRANSFER_URI_H

/* What may be fetched, and under which name it lands. */

#include "base/error.h"

enum uri_kind {
    URI_HTTP, /* http, https: 200 is success */
    URI_FTP,  /* ftp, ftps: 226 is success */
    URI_FILE, /* file:// or an absolute path */
};

enum uri_content {
    URI_PLAIN,
    URI_TAR, /* compressed or not */
    URI_ZIP,
    URI_GZIP, /* one compressed file */
};

struct uri {
    enum uri_kind kind;
    char *text;       /* without leading blanks */
    const char *path; /* URI_FILE: the file; points into text */
    const char *name; /* what comes after the last slash; points into text */
};

/* -EINVAL with the reason. Names keep their query string: they are what tasks expect to find. */
int uri_parse(const char *text, struct uri *ret, struct error *err);
void uri_done(struct uri *u);
/* By the suffix of a file's name, as in "app.tar.gz". */
enum uri_content uri_content_of(const char *name);
/* For messages: user name and password are left out. Caller frees. */
char *uri_display(const char *text);

#endif
