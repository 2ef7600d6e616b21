#ifndef DCOS_MINIDCOS_PLAN_H
#define DCOS_MINIDCOS_PLAN_H

/* What a new cluster is made of: this machine's programs, addresses, ports and resources. */

#include "minidcos/cluster.h"

struct plan_options {
    int64_t masters, agents, public_agents;
    bool auto_ports, secure;
    bool no_door;                        /* neither identity service nor names nor router */
    int64_t cpus_milli, mem_mb, disk_mb; /* to divide; 0 = what the machine has */
    const char *bin_dir;                 /* NULL = where this program is */
    const char *const *master_flags, *const *marathon_flags, *const *agent_flags; /* "name=value" */
    size_t n_master_flags, n_marathon_flags, n_agent_flags;
};

struct machine {
    int64_t cpus_milli, mem_mb, disk_mb;
};
/* Processors and memory that this process may use (affinity and control groups looked at), and the
 * free space under `dir`; the part that the system itself needs is left out. */
void machine_detect(const char *dir, struct machine *ret);

enum { BLOCKS = 20, BLOCK_PORTS = 1000 };
/* Each cluster takes one share of the machine: addresses 127.0.<block>.* for its agents and a
 * thousand task ports. The share belongs to whoever holds the socket returned, and is free again
 * when that process ends. -EADDRINUSE. */
int block_take(int64_t block, struct error *err);
/* First and last task port of agent i of n in a block. */
void block_ports(int64_t block, size_t i, size_t n, uint16_t *from, uint16_t *to);

/* Fills in daemons and block, makes no files. *ret_lease is the block's descriptor. */
int plan_cluster(
    struct cluster *c, const struct plan_options *options, int *ret_lease, struct error *err);
/* Links in <dir>/libexec to the agent's helper programs. */
int plan_libexec(const struct cluster *c, const char *bin_dir, struct error *err);
/* Path of a program of ours, beside this one or in the build tree; to be freed. */
int find_program(const char *bin_dir, const char *name, char **ret, struct error *err);
/* A port that nobody listens on. */
int port_pick(const char *ip, uint16_t *ret, struct error *err);
/* Appends "--flag=..." to the command line. */
void put_arg(struct daemon *d, const char *fmt, ...) _printf_(2, 3);
/* 0 when nobody listens there; -EADDRINUSE with who does. */
int port_check(const char *ip, uint16_t port, const char *what, struct error *err);

#endif
