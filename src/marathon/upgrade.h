#ifndef DCOS_MARATHON_UPGRADE_H
#define DCOS_MARATHON_UPGRADE_H

/* Arithmetic of rolling upgrades, alone so that it can be tested over all its inputs. */

#include "base/macro.h"

struct upgrade_input {
    int32_t target;                   /* instances wanted in the end */
    int32_t total;                    /* old and new ones that exist, with goal running */
    int32_t healthy;                  /* of those */
    double min_health, over_capacity; /* 0..1 */
};
struct upgrade_limits {
    int32_t min_healthy;  /* never fewer healthy ones than this by our doing */
    int32_t max_capacity; /* never more instances than this */
    int32_t kill_now;     /* old ones to take away at once */
};
struct upgrade_limits upgrade_limits(const struct upgrade_input *in);
/* New ones to start now. */
int32_t upgrade_startable(
    int32_t target, int32_t started, int32_t old_active, int32_t max_capacity);

#endif
