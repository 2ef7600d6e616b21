#ifndef DCOS_CLI_CONFIG_H
#define DCOS_CLI_CONFIG_H

/*
 * Where the CLI finds its cluster: one dcos.toml, chosen like this.
 *
 *   1. DCOS_CONFIG names the file.
 *   2. $DCOS_DIR (else ~/.dcos)/clusters/<id>/dcos.toml of the current cluster (clusters.h).
 *   3. $DCOS_DIR/dcos.toml when no cluster is set up.
 *
 * Variables of the environment come before the file: DCOS_URL, DCOS_ACS_TOKEN, DCOS_SSL_VERIFY and
 * so on for core.*, DCOS_<SECTION>_<KEY> for the others.
 */

#include "cli/clusters.h"

struct config {
    char *path; /* of dcos.toml, which need not exist */
    struct toml toml;
};

struct config_key {
    const char *name, *description;
    enum { CONFIG_STRING, CONFIG_BOOL, CONFIG_I64, CONFIG_URL, CONFIG_VERIFY } type;
};
extern const struct config_key config_keys[];
extern const size_t config_n_keys;
const struct config_key *config_key_find(const char *name); /* NULL when not known */

int config_load(struct config *ret, struct error *err);
/* The settings of one file, without looking for a cluster; `path` is copied. */
int config_open(const char *path, struct config *ret, struct error *err);
void config_done(struct config *c);
/* Value in force, to be freed; NULL when there is none. */
char *config_get(const struct config *c, const char *name);
/* Environment variable that sets the key at this moment, or NULL. */
const char *config_env(const char *name, char *variable, size_t size);
/* Check the value's type; -EINVAL. */
int config_check(const char *name, const char *value, struct error *err);
/* Sets without writing, and writes (0600, its folder 0755). */
void config_put(struct config *c, const char *name, const char *value);
int config_save(const struct config *c, struct error *err);
/* Change and write the file. */
int config_set(struct config *c, const char *name, const char *value, struct error *err);
int config_unset(struct config *c, const char *name, struct error *err);

#endif
