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
/* The same for AWS with a config.yaml of one cluster, which may have cluster_name and master_list
 * (addresses in a network of one's own). masters: 0 = as many as master_list has, else 1. */
int cloud_gen_own(
    unsigned masters, const struct gen_input *in, struct gen **ret, struct error *err);
/* The template, JSON. g is of cloud_gen() and without errors. */
int cloud_template(enum cloud_kind kind, const struct gen *g, struct buf *out, struct error *err);
/* "cloudformation/multi-master.cloudformation.json" and the like, with "<variant>." before the
 * name when variant is not "". Caller frees. */
char *cloud_file_name(enum cloud_kind kind, const char *variant, unsigned masters);

/* A cloud-config for cloud-init of a host that has no role yet. */
void cloud_user_data(const struct gen *g, struct buf *out);

/* ---- all that a release has for a cloud ---- */

struct cloud_variant {
    const char *name; /* "" for the default one */
    const char *bootstrap_id;
    const char *package_ids; /* JSON list */
};

struct cloud_release {
    /* config.yaml and settings that hold for all templates; may be empty, but for the working
     * folder's sake. */
    const struct gen_input *in;
    const struct cloud_variant *variants;
    size_t n_variants;
    const char *commit, *version;
    /* Where hosts find packages/, bootstrap/ and package_lists/: an address without a slash at its
     * end. NULL: in's config has it. */
    const char *bootstrap_url;
    /* Where a browser and the cloud find the folder with cloudformation/ or azure/, without a slash
     * at its end: cloudformation_s3_url_full, azure_download_url. */
    const char *download_url;
    /* The same for an address whose files never change: nested stacks name their parts there.
     * NULL: download_url. */
    const char *fixed_url;
    const char *folder; /* where files are written that are not text; made when missing */
    /* For one cluster, of whose config.yaml cloud_gen_own() tells: nested stacks only, and when it
     * has master_list only those for so many masters. */
    bool own;
};

/*
 * Makes templates, the page with launch buttons, and the configuration packages that the templates
 * name. *ret: a list of artifacts as dcos-release takes them, each with a path and a content:
 *   {"channel_path": "cloudformation/single-master.cloudformation.json",
 *    "content_type": "application/json", "local_content": "..."}
 *   {"reproducible_path": "packages/dcos-config/dcos-config--setup_<id>.tar.xz",
 *    "local_path": "<folder>/packages/..."}            and its .sha256, package_lists/..., late
 * ones Channel paths of AWS are cloudformation/... and aws.html, of Azure azure/... and azure.html.
 * Files whose name is in a template come before it. -EINVAL with the first thing that is wrong with
 * the configuration. Caller's reference.
 */
int cloud_artifacts(
    enum cloud_kind kind, const struct cloud_release *release, json_t **ret, struct error *err);

#endif
