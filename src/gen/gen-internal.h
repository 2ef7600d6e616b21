#ifndef DCOS_GEN_GEN_INTERNAL_H
#define DCOS_GEN_GEN_INTERNAL_H

/* One configuration on its way from text to files: what gen.c, outputs.c and files.c share. */

#include "base/vec.h"
#include "gen/calc.h"
#include "gen/config.h"
#include "gen/extra.h"
#include "gen/gen.h"
#include "gen/graph.h"

#define HIDDEN "**HIDDEN**"

struct gen {
    struct arena arena;
    struct config config;
    struct graph *graph;
    struct gen_files files;
    char *folder;
    struct extra extra;
    VEC(struct gen_problem) errors, warnings;

    /* When nothing is wrong, see outputs.c. */
    json_t *arguments;    /* all, secrets too */
    json_t *public;       /* those that may be shown */
    json_t *late;         /* {name: expression} */
    json_t *config_files; /* of the packages, [{path, content, permissions}] */
    json_t *metadata_files;
    json_t *late_files; /* those with late values; empty when there are none */
    json_t *list;       /* ids of the cluster's packages, sorted */
    json_t *cloud_config;
};

/* Makes everything that gen_generate() writes. */
int gen_outputs(struct gen *g, struct error *err);

/* Files of the disk, below g->folder. */
extern const struct gen_files gen_disk_files;

#endif
