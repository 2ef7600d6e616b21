#include "gen/params.h"

const struct param_table *const param_tables[] = {&params_cluster, &params_detection,
    &params_network, &params_mesos, &params_router, &params_ui, &params_installer,
    &params_enterprise, &params_derived};
const size_t n_param_tables = ARRAY_SIZE(param_tables);

const struct param *param_find(const char *name, enum param_area *ret_area)
{
    for (size_t i = 0; i < n_param_tables; i++) {
        for (size_t k = 0; k < param_tables[i]->n; k++) {
            if (!streq(param_tables[i]->params[k].name, name))
                continue;
            if (ret_area)
                *ret_area = param_tables[i]->area;
            return &param_tables[i]->params[k];
        }
    }
    return NULL;
}

/* Edits (insert, delete, replace) between two names, or more than `most`. */
static size_t distance(const char *a, const char *b, size_t most)
{
    enum { NAME_MAX_ = 64 };
    size_t n = strlen(a), m = strlen(b);
    size_t row[NAME_MAX_ + 1];
    if (n > NAME_MAX_ || m > NAME_MAX_ || (n > m ? n - m : m - n) > most)
        return most + 1;
    for (size_t k = 0; k <= m; k++)
        row[k] = k;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t k = 1; k <= m; k++) {
            size_t above = row[k];
            size_t replace = diagonal + (a[i - 1] != b[k - 1]);
            size_t gap = MIN(above, row[k - 1]) + 1;
            row[k] = MIN(replace, gap);
            diagonal = above;
        }
    }
    return row[m];
}

const char *param_nearest(const char *name)
{
    size_t best = MAX((size_t)2, strlen(name) / 4) + 1;
    const char *found = NULL;
    for (size_t i = 0; i < n_param_tables; i++) {
        if (param_tables[i]->area == AREA_DERIVED)
            continue;
        for (size_t k = 0; k < param_tables[i]->n; k++) {
            size_t d = distance(name, param_tables[i]->params[k].name, best - 1);
            if (d < best) {
                best = d;
                found = param_tables[i]->params[k].name;
            }
        }
    }
    return found;
}

const char *param_area_name(enum param_area area)
{
    static const char *const names[] = {[AREA_CLUSTER] = "cluster",
        [AREA_DETECTION] = "detection and checks",
        [AREA_NETWORK] = "network",
        [AREA_MESOS] = "mesos and services",
        [AREA_ROUTER] = "router, login and console",
        [AREA_INSTALLER] = "installer",
        [AREA_ENTERPRISE] = "enterprise",
        [AREA_DERIVED] = "derived"};
    return names[area];
}
