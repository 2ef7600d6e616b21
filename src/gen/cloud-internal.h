#ifndef DCOS_GEN_CLOUD_INTERNAL_H
#define DCOS_GEN_CLOUD_INTERNAL_H

/* Between the files that make templates of clouds. */

#include "gen/cloud.h"

/* ---- what hosts are told ---- */

/* Stand for values that only the cloud knows, until the text is cut there. */
#define MARK_CLUSTER "@@cluster@@" /* name of the stack or resource group as a whole */
#define MARK_STACK "@@stack@@"     /* of the stack that has the machine */
#define MARK_REGION "@@region@@"
#define MARK_SUFFIX "@@suffix@@"   /* amazonaws.com, or as partitions have it */
#define MARK_MASTERS "@@masters@@" /* name of the internal load balancer */
#define MARK_LIST "@@list@@"       /* id of the list of packages */
#define MARK_CONFIG "@@config@@"   /* id of the configuration */

struct cloud_mark {
    const char *mark;
    json_t *value; /* what stands there in a template */
};

/* The text of an embedded file; NULL when there is none of that name. */
const char *cloud_embedded(const char *name);
/* A cloud-config for a host of this role. resource: what CloudFormation calls the machine, or the
 * group that it is in; NULL: nobody waits for a signal. -EFBIG. */
int cloud_host_data(enum cloud_kind kind, const struct gen *g, const char *role,
    const char *resource, struct buf *out, struct error *err);
/* Adds what templates need besides a configuration's own arguments: lists for loops. */
void cloud_arguments(const struct gen *g, json_t *arguments);
int cloud_render(const char *name, const json_t *arguments, json_t **ret, struct error *err);

/* JSON as templates are published: members in their order, one blank for each level, since 51,200
 * bytes are all that CloudFormation takes without a bucket. */
void cloud_write(const json_t *template, struct buf *out);

/* ---- AWS ---- */

/* The whole cluster in one template. */
int cloud_aws_simple(const struct gen *g, json_t **ret, struct error *err);

/*
 * Nested stacks: infra.json, <os>-advanced-master-N.json, <os>-advanced-{priv,pub}-agent.json and
 * <os>-zen-N.json, which joins them. all: one configuration for each number of masters, which
 * differ in nothing else. url: of the folder with cloudformation/. Appends {"path", "template"} to
 * `ret`, what others name first.
 */
int cloud_aws_advanced(struct gen *const *all, size_t n, const char *variant, const char *url,
    json_t *ret, struct error *err);

/* ---- pages ---- */

/* One line of a page with buttons. */
struct cloud_button {
    char *label; /* "3 masters" */
    char *path;  /* of the template, below the address */
};

/* The page: for AWS a column for each region. Buttons open the cloud's console with the template at
 * url/path. */
void cloud_page(enum cloud_kind kind, const char *version, const char *url,
    const struct cloud_button *buttons, size_t n, struct buf *out);

#endif
