#ifndef DCOS_NET_RESOLVCONF_H
#define DCOS_NET_RESOLVCONF_H

/*
 * The system's resolv.conf, as DC/OS' gen_resolvconf writes it: the node's own name servers while
 * they answer, else the servers that names are forwarded to.
 *
 * The first line of a file that we wrote says so. Whatever else stands there before is kept aside
 * first, links as links, so that it can be put back. A file that cannot be replaced because it is
 * mounted by itself is written in place; its first line never goes missing meanwhile.
 */

#include "base/error.h"
#include "net/names.h"

enum {
    RESOLVCONF_SERVERS_MAX = 3,      /* what the C library asks */
    RESOLVCONF_CANDIDATES_MAX = 16,  /* of each kind, given to us */
    RESOLVCONF_SEARCH_MAX = 256,     /* bytes of the list, as DC/OS' configuration allows */
    RESOLVCONF_DOMAINS_MAX = 6,      /* likewise */
    RESOLVCONF_FILE_MAX = 64 * 1024, /* bytes of a file that is kept aside */
};

/* 0 when the text is a list of domains with blanks between them; empty is one. */
int resolvconf_check_search(const char *text, struct error *err);
/* Appends the file's text. `search` may be NULL or empty. */
void resolvconf_text(const struct address *servers, size_t n, const char *search, struct buf *out);

/* Makes the file hold the text: 1 when it did not before, 0 when it did. What others wrote there
 * goes to `kept`, whose folder is made. */
int resolvconf_write(const char *path, const char *kept, struct str text, struct error *err);
/* Puts back what was kept: 1, or 0 when the file is not ours. Without anything kept there was no
 * file before, and there is none after. */
int resolvconf_undo(const char *path, const char *kept, struct error *err);

#endif
