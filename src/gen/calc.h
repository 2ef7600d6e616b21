#ifndef DCOS_GEN_CALC_H
#define DCOS_GEN_CALC_H

/* Functions that work out arguments. What each reads and gives is said where it is used, in
 * params_*.c. */

#include "base/buf.h"
#include "gen/graph.h"

/* What the graph's userdata is: how the configuration's files are read, so that tests need none. */
struct gen_files {
    /* Appends the bytes of a file. -ENOENT, -EFBIG when it has more than max bytes, ... */
    int (*read)(void *userdata, const char *name, size_t max, struct buf *out, struct error *err);
    /* JSON list of [name, SHA-1] of a folder's files, sorted; -ENOENT, -EISDIR when there is a
     * folder in it. */
    int (*list)(void *userdata, const char *name, struct buf *out, struct error *err);
    void *userdata;
};

/* Names of the built-in checks; NULL behind the last. */
const char *calc_built_in_check(size_t i);

graph_calc_fn calc_count_masters, calc_quorum, calc_has, calc_same, calc_ensemble, calc_masters,
    calc_master_zk, calc_marathon_zk, calc_iam_zk, calc_master_ips, calc_uses_zookeeper,
    calc_follows_zookeeper, calc_exhibitor_url, calc_ip_detect, calc_ip_detect_public,
    calc_ip6_detect, calc_fault_domain, calc_fault_domain_enabled, calc_check_config,
    calc_custom_check_bins, calc_search_path, calc_no_proxy, calc_join, calc_bind_blacklist,
    calc_log_files_agent, calc_log_files_directory, calc_credentials_owned, calc_credentials_path,
    calc_tls_protocols, calc_overlay, calc_isolation, calc_ui_config, calc_cluster_packages_wanted,
    calc_forward_zones_set;

#endif
