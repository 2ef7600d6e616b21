#ifndef DCOS_GEN_GRAPH_H
#define DCOS_GEN_GRAPH_H

/*
 * The graph of arguments: who gets its value from where.
 *
 * A graph is described by tables that the caller owns. Setters give an argument a value: a
 * constant, a function of other arguments, or one known only when a host starts (late). A setter
 * may be valid only while other arguments have certain values. What the user says goes before
 * defaults, and is an error where a value is a must. Rules look at one argument once it has a
 * value, checks at several when all are there. Everything asked for is worked out depth first and
 * once; what depends on something wrong is left out silently, so that each mistake is told once.
 *
 * The text of a late value is LATE_BIND_PLACEHOLDER_START_<name>_LATE_BIND_PLACEHOLDER_END, which a
 * host replaces (pkgpanda/late.h). What is worked out of a late value is late too; neither is
 * checked.
 */

#include "base/arena.h"
#include "base/error.h"

enum { GRAPH_INPUTS_MAX = 24, GRAPH_DEPTH_MAX = 200 };

#define LATE_START "LATE_BIND_PLACEHOLDER_START_"
#define LATE_END "_LATE_BIND_PLACEHOLDER_END"

/* What functions of the graph get. */
struct graph_call {
    const char *name; /* of the argument that is worked out or looked at */
    const char *const
        *in; /* in the order of the inputs; NULL: not set, which is fine for optional ones */
    struct arena *arena;   /* for results */
    void *userdata;        /* of the graph */
    const void *parameter; /* of the rule */
};

/* 0 with *ret in the arena, or a negative errno with one sentence for the user. */
typedef int graph_calc_fn(struct graph_call *c, const char **ret, struct error *err);
/* For a rule in[0] is the value. */
typedef int graph_check_fn(struct graph_call *c, struct error *err);

enum setter_kind {
    SET_DEFAULT,  /* when the user says nothing */
    SET_MUST,     /* the user must not say anything */
    SET_REQUIRED, /* no value: the user must give one */
    SET_OPTIONAL, /* no value, which is fine */
    SET_LATE,     /* a must that the host knows; value is the expression of the provider */
};

struct graph_setter {
    const char *name;
    enum setter_kind kind;
    const char *value;   /* constant, or NULL */
    graph_calc_fn *calc; /* or a function of */
    const char *inputs;  /* names with blanks between */
    const char *when;    /* "name=value", several with blanks between, all of which must hold */
};

struct graph_rule {
    const char *name;
    graph_check_fn *check;
    const void *parameter;
};

struct graph_check {
    const char *inputs;
    graph_check_fn *check;
};

/* What the user says. */
struct graph_user {
    const char *name, *value, *problem;
    unsigned line;
};

enum node_state {
    NODE_NEW,
    NODE_BUSY,
    NODE_SET,
    NODE_UNSET,   /* no setter is valid and the user says nothing */
    NODE_FAILED,  /* has a message */
    NODE_SKIPPED, /* depends on one that is unset or failed */
};

enum node_source { FROM_NOWHERE, FROM_USER, FROM_DEFAULT, FROM_MUST, FROM_LATE };

struct graph_node {
    const char *name;
    enum node_state state;
    enum node_source source;
    const char *value;
    const char *message;
    unsigned line; /* of the user's, or of the input that is nearest to blame; 0: none */
    bool late;
    const struct graph_user *user;
    const struct graph_setter *setter; /* that gave the value */
};

struct graph;

struct graph *graph_new(void *userdata);
void graph_free(struct graph *g);
DEFINE_CLEANUP(struct graph *, graph_free)

/* Tables are borrowed. Of setters of one name that are valid at the same time, an earlier added
 * table goes before a later one. */
void graph_add_setters(struct graph *g, const struct graph_setter *setters, size_t n);
void graph_add_rules(struct graph *g, const struct graph_rule *rules, size_t n);
void graph_add_checks(struct graph *g, const struct graph_check *checks, size_t n);
void graph_add_user(struct graph *g, const struct graph_user *user);

/* Works out one argument and what it needs; 0 also when that fails, see its node. -ELOOP and
 * -EINVAL for mistakes in the tables. */
int graph_resolve(struct graph *g, const char *name, struct error *err);
/* Every name that has a setter. */
int graph_resolve_all(struct graph *g, struct error *err);
/* After everything is resolved. */
void graph_run_checks(struct graph *g);

const struct graph_node *graph_get(const struct graph *g, const char *name);
/* In the order of the tables, names of the user's own after them. NULL at the end; begin with *pos
 * = 0. */
const struct graph_node *graph_next(const struct graph *g, size_t *pos);
/* Gives a message to an argument that has none. */
void graph_blame(struct graph *g, const char *name, const char *message);
/* Whether `when` holds. -EAGAIN when an argument in it has no value. */
int graph_holds(struct graph *g, const char *when, struct error *err);

#endif
