#ifndef DCOS_GEN_RENDER_H
#define DCOS_GEN_RENDER_H

/* Templates that make files: rendered to YAML, read, merged. */

#include "json/json.h"

enum { RENDER_FILES_MAX = 10000 };

/*
 * Renders the embedded template of that name ("dcos-config.yaml") and that of `extra` ({name:
 * text}, may be NULL), reads each as YAML and merges them: mappings recursively, lists one after
 * the other; other clashes are -EINVAL.
 *
 * Filters besides those of template.h: "env", a value in a systemd EnvironmentFile; "unit", a word
 * of a command in a unit. Both are one line.
 */
int render_yaml(const char *name, const json_t *extra, const json_t *arguments, json_t **ret,
    struct error *err);
/* `more` into `into`. -EINVAL names the member. */
int render_merge(json_t *into, const json_t *more, struct error *err);

/* Checks [{path, content, permissions}] and gives each file a leading slash and permissions. New
 * list. -EINVAL also for one path twice. */
int render_files(const json_t *files, json_t **ret, struct error *err);

/* All arguments and switches that the embedded templates mention; a new list of names, sorted. */
json_t *render_arguments(void);
/* Names of the embedded templates that mention an argument. */
json_t *render_users(const char *name);
/* JSON list of the names of the embedded templates. */
json_t *render_template_names(void);

#endif
