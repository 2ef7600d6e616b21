#ifndef DCOS_PROCESS_PROCESS_H
#define DCOS_PROCESS_PROCESS_H

/* Endpoints that every daemon has which took the place of a libprocess one: what the machine is
 * like, help, and a page that says what this is. */

#include "http/server.h"
#include "json/writer.h"

/* ---- /system/stats.json ---- */
void process_system_stats(struct http_request *req);

/* ---- /version ---- */
/* The fields that say what was built; `version` is that of the API. Build times would make each
 * build another one: they are 0. */
void process_write_version(struct json_writer *w, const char *version);

/* ---- /__processes__ ---- */
/* One process, and nothing in its queue: the daemon is one thread. */
void process_list(struct http_request *req, const char *id);

/* ---- /help ---- */
struct help_entry {
    const char *process; /* "master", "files" */
    const char *path;    /* under it: "/state" */
    const char *summary; /* one line */
    const char *details; /* Markdown, or NULL */
};
/* `rest` is what follows "/help": "", "/PROCESS" or "/PROCESS/ENDPOINT". HTML for who accepts it,
 * else Markdown; ?format=json gives {"processes":[{"id","endpoints":[{"name","text"}]}]}. */
void process_help(
    struct http_request *req, struct str rest, const struct help_entry *entries, size_t n);

/* ---- / ---- */
struct landing_link {
    const char *path, *text;
};
/* A small page of HTML: which daemon this is, where to go on. */
void process_landing(struct http_request *req, const char *name, const char *what,
    const struct landing_link *links, size_t n);

#endif
