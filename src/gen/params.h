#ifndef DCOS_GEN_PARAMS_H
#define DCOS_GEN_PARAMS_H

/*
 * The tables of parameters: everything that may be in config.yaml, and what is worked out of it.
 *
 * Rows of one name are alternatives for different conditions; the first one has the type and says
 * what the parameter is for. A required row with a condition is demanded while the condition holds.
 */

#include "gen/rules.h"

enum param_area {
    AREA_CLUSTER,
    AREA_DETECTION,
    AREA_NETWORK,
    AREA_MESOS,
    AREA_ROUTER,
    AREA_INSTALLER,
    AREA_ENTERPRISE,
    AREA_DERIVED, /* not in the reference's table: what templates need */
    AREA_COUNT
};

enum param_effect {
    EFFECT_NODES,     /* changes what nodes do */
    EFFECT_INSTALLER, /* is for who installs */
    EFFECT_NONE,      /* taken and checked; the part it is for does not exist here */
};

struct param {
    const char *name;
    enum setter_kind kind;
    const char *value;
    graph_calc_fn *calc;
    const char *inputs, *when;
    const struct gen_type *type; /* NULL in alternatives */
    enum param_effect effect;
    bool secret;
    const char *help; /* NULL in alternatives */
};

struct param_table {
    enum param_area area;
    const struct param *params;
    size_t n;
};

extern const struct param_table params_cluster, params_detection, params_network, params_mesos,
    params_router, params_ui, params_installer, params_enterprise, params_derived;

extern const struct param_table *const param_tables[];
extern const size_t n_param_tables;

/* The first row of a name. NULL when there is none; *ret_area may be NULL. */
const struct param *param_find(const char *name, enum param_area *ret_area);
/* The known name that is nearest to a misspelt one, or NULL when none is near. */
const char *param_nearest(const char *name);
const char *param_area_name(enum param_area area);

/* Rows. */
#define PARAM(n, t, ...)                                                                           \
    {                                                                                              \
        .name = n, .type = t, __VA_ARGS__                                                          \
    }
#define DEFAULT(v) .kind = SET_DEFAULT, .value = v
#define DEFAULT_CALC(f, in) .kind = SET_DEFAULT, .calc = f, .inputs = in
#define MUST(v) .kind = SET_MUST, .value = v
#define MUST_CALC(f, in) .kind = SET_MUST, .calc = f, .inputs = in
#define REQUIRED .kind = SET_REQUIRED
#define OPTIONAL .kind = SET_OPTIONAL
#define WHEN(w) .when = w
#define NO_EFFECT .effect = EFFECT_NONE
#define FOR_INSTALLER .effect = EFFECT_INSTALLER
#define SECRET .secret = true
#define HELP(h) .help = h

#endif
