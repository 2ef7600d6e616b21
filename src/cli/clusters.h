#ifndef DCOS_CLI_CLUSTERS_H
#define DCOS_CLI_CLUSTERS_H

/*
 * The clusters that are set up: $DCOS_DIR (else ~/.dcos)/clusters/<id>/, 0755 each.
 *
 *   dcos.toml      its settings, 0600; made empty when it is missing
 *   attached       empty file, in the folder of the cluster that commands are for
 *   dcos_ca.crt    authorities that setup was told to trust, 0644
 *
 * Every folder under clusters/ is a cluster, as it is for the original CLI.
 */

#include "base/vec.h"
#include "cli/toml.h"

enum { CLUSTER_ID_MAX = 128 };

struct known_cluster {
    char *id, *folder, *path; /* path of dcos.toml */
    struct toml toml;
    bool attached;
};

struct clusters {
    char *dir;                       /* DCOS_DIR, absolute; it need not exist */
    VEC(struct known_cluster) items; /* by id */
};

/* A dcos.toml that cannot be read is an error that names it. */
int clusters_load(struct clusters *ret, struct error *err);
void clusters_done(struct clusters *c);
/* Value of the file, or `fallback`; the environment is not looked at. */
const char *known_get(const struct known_cluster *k, const char *name, const char *fallback);
/* Folder of settings by DCOS_DIR or HOME; to be freed. */
int clusters_dir(char **ret, struct error *err);
/* A file's settings; empty when there is no file. */
int settings_read(const char *path, struct toml *ret, struct error *err);

/* Index of the cluster that a word means: its name or id, with `prefix` also the start of its id.
 * -ENOENT "no match found", -EEXIST "multiple matches found". */
ssize_t clusters_find(const struct clusters *c, const char *word, bool prefix, struct error *err);
/* Index of the cluster that commands are for: the one DCOS_CLUSTER names by name or id, the only
 * one, or the attached one. -ENOENT when there is none. */
ssize_t clusters_current(const struct clusters *c, struct error *err);
/* Moves the marker. */
int clusters_attach(struct clusters *c, size_t index, struct error *err);
/* Letters, digits, '_', '.', '-', not starting with a dot: what may be a folder's name. */
bool cluster_id_valid(const char *id);

#endif
