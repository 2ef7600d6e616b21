#ifndef DCOS_GEN_GEN_H
#define DCOS_GEN_GEN_H

/*
 * From config.yaml to what a cluster's nodes are configured with.
 *
 * A configuration is a set of arguments, names with text values. Some are in config.yaml, some come
 * from whoever calls (settings), the others have defaults or are worked out of others (params.h,
 * graph.h). gen_new() reads and works out everything and collects all that is wrong, each with the
 * line of config.yaml; gen_generate() writes files, which it does only when nothing is wrong. The
 * same input gives the same bytes, on any machine.
 *
 *     struct gen *g = NULL;
 *     r = gen_new(&(struct gen_input){.config = text, .config_n = n, .folder = "."}, &g, err);
 *     if (r == 0 && !gen_ok(g))
 *         ... gen_errors(g, &n) ...
 *     if (r == 0 && gen_ok(g))
 *         r = gen_generate(g, "genconf/serve", err);
 *     gen_free(g);
 *
 * Names, values, messages and file formats are those of DC/OS's gen. Neither functions nor results
 * are safe for several threads at once.
 */

#include "json/json.h"

enum {
    GEN_CONFIG_MAX = 1024 * 1024,       /* bytes of config.yaml */
    GEN_FILE_MAX = 1024 * 1024,         /* of a file it names: ip-detect and the like */
    GEN_PROGRAM_MAX = 64 * 1024 * 1024, /* of a program in custom_check_bins_dir */
    GEN_ARGUMENTS_MAX = 2000,
};

/* An argument from the caller: "provider", "bootstrap_id", "package_ids" (JSON list), ... */
struct gen_setting {
    const char *name, *value;
    bool fixed; /* config.yaml must not set it; else it is only the default */
    /* Known only when a host starts: value is the provider's expression for it. Implies fixed. */
    bool late;
};

struct gen_input {
    const char *config; /* YAML; NULL: none */
    size_t config_n;
    /* Where relative names of files (genconf/ip-detect) begin. NULL: the working folder. */
    const char *folder;
    const struct gen_setting *settings; /* of one name twice, the first counts */
    size_t n_settings;
    const struct gen_files *files; /* NULL: those of the disk; see calc.h */
    /* Folder of an extension, see extra.h; it need not be there. NULL: "gen_extra". */
    const char *extra;
};

/* What is wrong with one argument. */
struct gen_problem {
    const char *name;    /* of the argument; "" when it is about the file as a whole */
    const char *message; /* one sentence, as upstream */
    bool unset;          /* it is wrong that it is not given */
    unsigned line;       /* of config.yaml, from 1; 0: config.yaml does not have it */
};

struct gen;
struct gen_files;
struct graph;

/* 0 also when the configuration is wrong, see gen_errors(). -EBADMSG with the line when the text is
 * not YAML or not a mapping, -EFBIG beyond limits. What `in` points to may go afterwards. */
int gen_new(const struct gen_input *in, struct gen **ret, struct error *err);
void gen_free(struct gen *g);
DEFINE_CLEANUP(struct gen *, gen_free)

bool gen_ok(const struct gen *g);
/* One for each argument, by line, those without a line after them by name. Owned by g. */
const struct gen_problem *gen_errors(const struct gen *g, size_t *ret_n);
/* Names that mean nothing, or have no effect here. */
const struct gen_problem *gen_warnings(const struct gen *g, size_t *ret_n);

/* The value worked out, or NULL: unknown, unset, wrong, or not needed. Owned by g. Also
 * "cluster_packages" (JSON, {name: {id, filename}}), "cluster_package_list_id", "config_id",
 * "config_package_names", "template_filenames" (JSON lists), "user_arguments" (JSON),
 * "config_yaml", "expanded_config" (JSON), and the last three with "_full", which have secrets. */
const char *gen_value(const struct gen *g, const char *name);
/* Members of a value that is a JSON list of texts, e.g. "master_list". A new array, empty when
 * there is no such list. */
json_t *gen_list(const struct gen *g, const char *name);
bool gen_is_secret(const struct gen *g, const char *name);
/* A value as anybody may see it: secrets and passwords in addresses of proxies are **HIDDEN**. */
void gen_shown(const struct gen *g, const char *name, const char *value, struct buf *out);
/* What was worked out, with where it came from. Owned by g. */
const struct graph *gen_graph(const struct gen *g);

/*
 * What the installer puts on a host before there are packages. Owned by g; NULL unless gen_ok().
 *   {"write_files": [{"path", "content", "permissions"}],   permissions as "0644"
 *    "units": [{"name", "content", "command"?: "start", "enable"?: "true"}]}
 * Paths are absolute. Units in the order in which they are to be started.
 */
const json_t *gen_cloud_config(const struct gen *g);

/* All arguments but secret ones, {name: value}, to render templates with (template.h), as
 * gen_shown() has them. Lists stay JSON text. Owned by g. */
const json_t *gen_arguments(const struct gen *g);

/*
 * Writes below `folder`, making it where missing; what is there already under the same name is the
 * same and stays:
 *   packages/dcos-config/dcos-config--setup_<config id>.tar.xz
 *   packages/dcos-metadata/dcos-metadata--setup_<config id>.tar.xz
 *   packages/dcos-provider-<config id>-<provider>/....dcos_config   when there are late values
 *   package_lists/<list id>.package_list.json
 *   cluster-package-list.latest          the list's id, no newline
 *   cluster-package-info.json            the value of cluster_packages
 * Each file appears whole or not at all; not two runs at a time in one folder. -EINVAL unless
 * gen_ok().
 */
int gen_generate(const struct gen *g, const char *folder, struct error *err);
/* Name of the package of late values in that folder; NULL when there are none. Caller frees. */
char *gen_late_file(const struct gen *g);

#endif
