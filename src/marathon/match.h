#ifndef DCOS_MARATHON_MATCH_H
#define DCOS_MARATHON_MATCH_H

/* One app against one offer: pure, so that every rule can be tested alone. */

#include "marathon/core.h"

struct match_input {
    const struct app *app;
    const char *role; /* of the instance */
    enum accepted_behavior accepted;
    const struct place *const *placed; /* where its other instances are */
    size_t n_placed;
    int32_t wanted;
    struct rng *rng;
};

struct match_result {
    json_t *resources; /* for TaskInfo */
    uint16_t *ports;   /* host ports in the order of the requests that have one */
    size_t n_ports;
};
void match_result_done(struct match_result *r);

/* REJECT_NONE: the resources are taken out of the offer and described in `ret`. */
enum reject_reason match_offer(
    const struct match_input *in, struct offer *offer, struct match_result *ret);
/* True when the roles that the app accepts include this one. */
bool match_accepts_role(
    const struct app *a, const char *instance_role, enum accepted_behavior b, const char *role);

#endif
