#define PCRE2_CODE_UNIT_WIDTH 8

#include <errno.h>
#include <pcre2.h>
#include <string.h>

#include "base/alloc.h"
#include "master/state.h"
#include "wire/codec.h"

/*
 * Offer constraints: which agents a framework wants to hear of, by attribute. Patterns match the
 * whole value; they are compiled when the framework gives them and matched within a bound.
 */

enum { PATTERN_MAX = 4096, MATCH_LIMIT = 10000, MATCH_HEAP_KIB = 256 };

typedef Mesos__V1__Scheduler__OfferConstraints Constraints;
typedef Mesos__V1__Scheduler__AttributeConstraint Constraint;

static const char *pattern_of(const Constraint *c)
{
    if (!c->predicate)
        return NULL;
    if (c->predicate->text_matches)
        return c->predicate->text_matches->regex;
    if (c->predicate->text_not_matches)
        return c->predicate->text_not_matches->regex;
    return NULL;
}

static int compile(const char *pattern, pcre2_code **ret, struct error *err)
{
    if (strlen(pattern) > PATTERN_MAX)
        return error_set(err, -EINVAL, "pattern is longer than %d bytes", PATTERN_MAX);
    int code;
    PCRE2_SIZE where;
    *ret = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
        PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &code, &where,
        NULL);
    if (*ret)
        return 0;
    PCRE2_UCHAR text[120];
    pcre2_get_error_message(code, text, sizeof(text));
    return error_set(
        err, -EINVAL, "pattern '%.100s' at %zu: %s", pattern, (size_t)where, (const char *)text);
}

/* fn for every constraint of every group; stops at the first negative result. */
static int each_constraint(const Constraints *all,
    int (*fn)(const Constraint *c, void *userdata, struct error *err), void *userdata,
    struct error *err)
{
    for (size_t i = 0; i < all->n_role_constraints; i++) {
        if (!all->role_constraints[i]->value)
            continue;
        for (size_t g = 0; g < all->role_constraints[i]->value->n_groups; g++) {
            const Mesos__V1__Scheduler__OfferConstraints__RoleConstraints__Group *group =
                all->role_constraints[i]->value->groups[g];
            for (size_t k = 0; k < group->n_attribute_constraints; k++) {
                int r = fn(group->attribute_constraints[k], userdata, err);
                if (r < 0)
                    return r;
            }
        }
    }
    return 0;
}

static int check_pattern(const Constraint *c, void *userdata, struct error *err)
{
    const char *pattern = pattern_of(c);
    pcre2_code *code;
    if (!pattern)
        return 0;
    int r = compile(pattern, &code, err);
    if (r == 0)
        pcre2_code_free(code);
    return r;
}

int constraints_validate(
    const Mesos__V1__FrameworkInfo *info, const Constraints *constraints, struct error *err)
{
    int r = framework_validate_constraints(info, constraints, err);
    return r < 0 ? r : each_constraint(constraints, check_pattern, NULL, err);
}

static int keep_pattern(const Constraint *c, void *userdata, struct error *err)
{
    struct framework *f = userdata;
    const char *pattern = pattern_of(c);
    pcre2_code *code;
    /* Checked before; the text lives as long as the constraints. */
    if (pattern && !map_get(&f->patterns, pattern) && compile(pattern, &code, NULL) == 0)
        map_put(&f->patterns, pattern, code);
    return 0;
}

void framework_set_constraints(struct framework *f, const Constraints *constraints)
{
    struct arena arena = ARENA_INIT;
    Constraints *copy = constraints ? (Constraints *)wire_clone(&constraints->base, &arena) : NULL;
    MAP_FOREACH (e, &f->patterns)
        pcre2_code_free(e->value);
    map_done(&f->patterns);
    arena_done(&f->constraints_arena);
    f->constraints_arena = arena;
    f->constraints = copy;
    if (copy)
        (void)each_constraint(copy, keep_pattern, f, NULL);
}

/* A match that would cost too much counts as none. */
static bool matches(const struct framework *f, const char *pattern, const char *text)
{
    const pcre2_code *code = pattern ? map_get(&f->patterns, pattern) : NULL;
    if (!code)
        return false;
    pcre2_match_context *ctx = pcre2_match_context_create(NULL);
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    pcre2_set_match_limit(ctx, MATCH_LIMIT);
    pcre2_set_heap_limit(ctx, MATCH_HEAP_KIB);
    int r = pcre2_match(code, (PCRE2_SPTR)text, strlen(text), 0, 0, data, ctx);
    pcre2_match_data_free(data);
    pcre2_match_context_free(ctx);
    return r >= 0;
}

static const Mesos__V1__Attribute *find_attribute(const struct agent *a, const char *name)
{
    for (size_t i = 0; i < a->info->n_attributes; i++)
        if (streq(a->info->attributes[i]->name, name))
            return a->info->attributes[i];
    return NULL;
}

/* The value a selector picks: *text set for text, NULL for other types. False when absent. */
static bool select_value(const Mesos__V1__Scheduler__AttributeConstraint__Selector *s,
    const struct agent *a, const char **text)
{
    *text = NULL;
    if (s->attribute_name) {
        const Mesos__V1__Attribute *attr = find_attribute(a, s->attribute_name);
        if (attr && attr->type == MESOS__V1__VALUE__TYPE__TEXT && attr->text)
            *text = attr->text->value;
        return attr != NULL;
    }
    const Mesos__V1__DomainInfo__FaultDomain *domain = a->info->domain
                                                           ? a->info->domain->fault_domain
                                                           : NULL;
    switch (s->pseudoattribute_type) {
    case MESOS__V1__SCHEDULER__ATTRIBUTE_CONSTRAINT__SELECTOR__PSEUDOATTRIBUTE_TYPE__HOSTNAME:
        *text = a->info->hostname;
        break;
    case MESOS__V1__SCHEDULER__ATTRIBUTE_CONSTRAINT__SELECTOR__PSEUDOATTRIBUTE_TYPE__REGION:
        *text = domain && domain->region ? domain->region->name : NULL;
        break;
    case MESOS__V1__SCHEDULER__ATTRIBUTE_CONSTRAINT__SELECTOR__PSEUDOATTRIBUTE_TYPE__ZONE:
        *text = domain && domain->zone ? domain->zone->name : NULL;
        break;
    default:
        break;
    }
    return *text != NULL;
}

static bool constraint_holds(const struct framework *f, const Constraint *c, const struct agent *a)
{
    const Mesos__V1__Scheduler__AttributeConstraint__Predicate *p = c->predicate;
    const char *text;
    bool present = select_value(c->selector, a, &text);
    if (p->exists)
        return present;
    if (p->not_exists)
        return !present;
    if (present && !text)
        return true; /* text predicates say nothing about other types */
    if (p->text_equals)
        return present && streq(text, p->text_equals->value);
    if (p->text_not_equals)
        return !present || !streq(text, p->text_not_equals->value);
    if (p->text_matches)
        return present && matches(f, p->text_matches->regex, text);
    if (p->text_not_matches)
        return !present || !matches(f, p->text_not_matches->regex, text);
    return true;
}

bool constraints_allow(const struct framework *f, const char *role, const struct agent *a)
{
    const Mesos__V1__Scheduler__OfferConstraints *all = f->constraints;
    for (size_t i = 0; i < all->n_role_constraints; i++) {
        const Mesos__V1__Scheduler__OfferConstraints__RoleConstraintsEntry *e =
            all->role_constraints[i];
        if (!streq(e->key, role) || !e->value)
            continue;
        for (size_t g = 0; g < e->value->n_groups; g++) {
            bool holds = true;
            for (size_t k = 0; k < e->value->groups[g]->n_attribute_constraints && holds; k++)
                holds = constraint_holds(f, e->value->groups[g]->attribute_constraints[k], a);
            if (holds)
                return true;
        }
        return false;
    }
    return true;
}
