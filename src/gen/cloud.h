#ifndef DCOS_GEN_CLOUD_H
#define DCOS_GEN_CLOUD_H

/*
 * Clusters of rented machines: a template that a cloud makes the whole cluster of, network,
 * machines and load balancers, and the configuration for it.
 *
 * Masters have fixed addresses in the cluster's own network (10.0.4.11 and so on), so that one and
 * several masters work without shared storage for their ensemble. Machines are configured by
 * cloud-init.
 */

#include "gen/gen.h"

enum cloud_kind { CLOUD_AWS, CLOUD_AZURE };
enum { CLOUD_MASTERS_MAX = 9, CLOUD_USER_DATA_MAX = 16384 /* bytes that EC2 takes */ };

/*
 * Works out the configuration for a cloud: like gen_new(), with what the cloud determines set
 * besides in's settings. cluster_name is the name of the stack or resource group, known only when
 * it is made.
 */
int cloud_gen(enum cloud_kind kind, unsigned masters, const struct gen_input *in, struct gen **ret,
    struct error *err);
/* The template, JSON. g is of cloud_gen() and without errors. */
int cloud_template(enum cloud_kind kind, const struct gen *g, struct buf *out, struct error *err);
/* "cloudformation/multi-master.cloudformation.json" and the like. Caller frees. */
char *cloud_file_name(enum cloud_kind kind, unsigned masters);

/* A cloud-config for cloud-init of a host of this role; NULL: of none yet. */
void cloud_user_data(const struct gen *g, const char *role, struct buf *out);

#endif
