#ifndef DCOS_EXHIBITOR_LOCAL_H
#define DCOS_EXHIBITOR_LOCAL_H

/*
 * ZooKeeper on this machine: what it is started with, what it runs with, ending it. Its unit starts
 * it again. Files in `folder`, /var/lib/dcos/zookeeper on nodes:
 *
 *     ensemble      "1:10.0.0.1,2:10.0.0.2": what dcos-bootstrap makes zoo.cfg and myid of
 *     zoo.cfg       what the process was started with
 *     token         who this machine is, drawn once: goes with the data
 *     shared.json   the last shared configuration that this machine was a member in
 *
 * and in `run_folder`, for clients here:
 *
 *     servers       "10.0.0.1:2181,10.0.0.2:2181"
 */

#include "exhibitor/core.h"

struct local {
    const char *folder;
    const char *run_folder; /* NULL: nobody here reads the servers */
    uint16_t client_port;
};

/* Makes the token when there is none. */
int local_token(const struct local *l, char ret[static MASTER_TOKEN_MAX], struct error *err);
/* 32 random hex digits. */
void local_draw(char ret[static MASTER_TOKEN_MAX]);
/* -ENOENT when there is none; -EBADMSG. */
int local_known(const struct local *l, struct document *ret, struct error *err);
int local_remember(const struct local *l, const struct document *d, struct error *err);

/* Fills wanted and running. */
int local_look(const struct local *l, struct core_local *ret, struct error *err);
/* Stores what is wanted ("" for nothing) and ends a process that runs with something else. */
int local_want(const struct local *l, const char *ensemble, struct error *err);
/* Writes `servers` when it is not that already. */
int local_tell_servers(const struct local *l, const struct document *d, struct error *err);
int local_write_servers(const struct local *l, const char *text, struct error *err);
/* Servers of the file zoo.cfg as an ensemble. */
void local_read_config(struct str config, char ret[static ENSEMBLE_TEXT_MAX]);

#endif
