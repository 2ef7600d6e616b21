#include "../unit.h"

#include <stdio.h>

#include "base/macro.h"
#include "base/rng.h"
#include "exhibitor/core.h"

/*
 * Masters without I/O: each has a core, a ZooKeeper that does what its wanted ensemble says, and
 * all share one document. Time goes on by hand.
 */

enum { N_MAX = 8 };
#define SECOND INT64_C(1000000)

struct machine {
    struct core core;
    struct core_local local;
    bool daemon, server; /* which run */
    bool there;
};

struct cluster {
    struct machine m[N_MAX];
    struct document stored;
    bool has;
    int64_t now;
    uint32_t masters;
};

static struct core_options options_of(size_t i, uint32_t masters, unsigned disk)
{
    struct core_options o = {.masters = masters, .fresh_us = 60 * SECOND, .dead_us = 600 * SECOND};
    snprintf(o.address, sizeof(o.address), "10.0.0.%zu", i + 1);
    snprintf(o.token, sizeof(o.token), "%032zx", i + 1 + 256 * disk);
    snprintf(o.cluster, sizeof(o.cluster), "%032x", 0xc0u + (unsigned)i);
    return o;
}

static void power_on(struct cluster *c, size_t i, unsigned disk)
{
    struct core_options o = options_of(i, c->masters, disk);
    struct machine *m = &c->m[i];
    struct document known = m->core.known;
    bool kept = m->there && m->core.has_known && streq(m->core.options.token, o.token);
    struct core_local local = m->local;
    *m = (struct machine){.daemon = true, .server = true, .there = true};
    if (kept)
        snprintf(m->local.wanted, sizeof(m->local.wanted), "%s", local.wanted);
    core_init(&m->core, &o, kept ? &known : NULL);
}

static void power_off(struct cluster *c, size_t i)
{
    c->m[i].daemon = c->m[i].server = false;
    c->m[i].local.running[0] = '\0';
}

/* A server runs with what is wanted as soon as it can: systemd's part. */
static void run_server(struct machine *m)
{
    if (m->server && !m->local.running[0])
        memcpy(m->local.running, m->local.wanted, sizeof(m->local.running));
}

static bool names(const char *ensemble, const char *address)
{
    char text[64];
    snprintf(text, sizeof(text), ":%s", address);
    const char *at = strstr(ensemble, text);
    return at && (at[strlen(text)] == ',' || !at[strlen(text)]);
}

static size_t count(const char *ensemble)
{
    size_t n = *ensemble != '\0';
    for (; *ensemble; ensemble++)
        n += *ensemble == ',';
    return n;
}

/* A server serves when a majority of those it knows runs and knows it. */
static bool serves(const struct cluster *c, size_t i)
{
    const char *mine = c->m[i].local.running;
    size_t n = 0;
    if (!*mine)
        return false;
    for (size_t j = 0; j < N_MAX; j++)
        if (c->m[j].local.running[0] && names(mine, c->m[j].core.options.address) &&
            names(c->m[j].local.running, c->m[i].core.options.address))
            n++;
    return n >= count(mine) / 2 + 1;
}

static void look(struct cluster *c, size_t i)
{
    struct core_local *l = &c->m[i].local;
    l->serving = serves(c, i);
    l->n_sees = 0;
    for (size_t k = 0; k < c->stored.n_members; k++)
        for (size_t j = 0; j < N_MAX; j++)
            if (c->m[j].local.running[0] &&
                streq(c->m[j].core.options.address, c->stored.members[k].address))
                l->sees[l->n_sees++] = c->stored.members[k].id;
}

static void check_safe(const struct cluster *c);

/* One step of one daemon; `lose`: it is killed before it does what it was told. */
static void step(struct cluster *c, size_t i, bool lose, struct core_result *ret)
{
    struct machine *m = &c->m[i];
    struct document before = c->stored;
    look(c, i);
    core_step(&m->core, c->has ? &c->stored : NULL, &m->local, c->now, ret);
    if (ret->write) {
        c->stored = ret->document;
        c->has = true;
    }
    if (lose)
        return;
    if (ret->action != CORE_NOTHING) {
        if (ret->action == CORE_APPLY)
            document_ensemble(&before, m->local.wanted);
        else
            m->local.wanted[0] = '\0';
        if (!streq(m->local.running, m->local.wanted))
            m->local.running[0] = '\0';
    }
}

/* A leader gets votes of those that it knows and that know it. */
static bool wins(const bool votes[N_MAX][N_MAX], const size_t *sizes, unsigned among)
{
    for (size_t leader = 0; leader < N_MAX; leader++) {
        size_t n = 0;
        for (size_t j = 0; j < N_MAX; j++)
            n += among & 1u << j && votes[leader][j];
        if (among & 1u << leader && sizes[leader] && n >= sizes[leader] / 2 + 1)
            return true;
    }
    return false;
}

/* However the network parts the machines, only one part has a quorum. */
static void check_safe(const struct cluster *c)
{
    static char last[N_MAX][ENSEMBLE_TEXT_MAX];
    bool votes[N_MAX][N_MAX], same = true;
    size_t sizes[N_MAX];
    for (size_t i = 0; i < N_MAX; i++) {
        same &= streq(last[i], c->m[i].local.running);
        memcpy(last[i], c->m[i].local.running, sizeof(last[i]));
    }
    for (size_t i = 0; i < N_MAX && !same; i++) {
        sizes[i] = count(c->m[i].local.running);
        for (size_t j = 0; j < N_MAX; j++)
            votes[i][j] = names(c->m[i].local.running, c->m[j].core.options.address) &&
                          names(c->m[j].local.running, c->m[i].core.options.address);
    }
    for (unsigned part = 0; part < 1u << N_MAX && !same; part++)
        assert_false(wins(votes, sizes, part) && wins(votes, sizes, ~part));
}

static void seconds(struct cluster *c, int n)
{
    struct core_result r;
    for (; n > 0; n -= 5) {
        c->now += 5 * SECOND;
        for (size_t i = 0; i < N_MAX; i++) {
            run_server(&c->m[i]);
            if (c->m[i].daemon)
                step(c, i, false, &r);
        }
        check_safe(c);
    }
}

static void expect_ensemble(const struct cluster *c, const char *text)
{
    char now[ENSEMBLE_TEXT_MAX];
    document_ensemble(&c->stored, now);
    assert_string_equal(now, text);
}

static void three(struct cluster *c)
{
    *c = (struct cluster){.masters = 3, .now = 1000 * SECOND};
    for (size_t i = 0; i < 3; i++)
        power_on(c, i, 0);
    seconds(c, 60);
    expect_ensemble(c, "1:10.0.0.1,2:10.0.0.2,3:10.0.0.3");
    for (size_t i = 0; i < 3; i++)
        assert_true(serves(c, i));
}

static void test_forming(void **state)
{
    struct cluster c = {.masters = 3, .now = 1000 * SECOND};
    struct core_result r;
    power_on(&c, 2, 0);
    power_on(&c, 0, 0);
    seconds(&c, 600);
    assert_int_equal(c.stored.generation, 0);
    assert_string_equal(c.m[0].local.wanted, "");
    step(&c, 0, false, &r);
    assert_string_equal(r.state, "waits for masters: 2 of 3 are there");
    assert_false(r.settled);
    power_on(&c, 1, 0);
    seconds(&c, 30);
    expect_ensemble(&c, "1:10.0.0.1,2:10.0.0.2,3:10.0.0.3");
    step(&c, 1, false, &r);
    assert_string_equal(r.state, "server 2 of generation 1, settled");
    assert_true(r.settled);
    assert_int_equal(c.stored.n_waiting, 0);
}

/* Machines that came and went before the others do not count. */
static void test_forming_without_the_dead(void **state)
{
    struct cluster c = {.masters = 3, .now = 1000 * SECOND};
    for (size_t i = 0; i < 2; i++)
        power_on(&c, i, 0);
    seconds(&c, 30);
    power_off(&c, 0);
    seconds(&c, 120);
    for (size_t i = 2; i < 4; i++)
        power_on(&c, i, 0);
    seconds(&c, 30);
    expect_ensemble(&c, "1:10.0.0.2,2:10.0.0.3,3:10.0.0.4");
    assert_int_equal(c.stored.n_waiting, 1);
}

static void test_replacing(void **state)
{
    struct cluster c;
    three(&c);
    power_off(&c, 1);
    power_on(&c, 4, 0);
    seconds(&c, 500);
    assert_int_equal(c.stored.generation, 1); /* it may come back */
    seconds(&c, 200);
    expect_ensemble(&c, "1:10.0.0.1,3:10.0.0.3,4:10.0.0.5");
    assert_true(serves(&c, 4));
    /* The old one is back with its disk: it leaves and waits, then takes the next place. */
    power_on(&c, 1, 0);
    seconds(&c, 30);
    assert_string_equal(c.m[1].local.wanted, "");
    assert_string_equal(c.m[1].local.running, "");
    power_off(&c, 0);
    seconds(&c, 700);
    expect_ensemble(&c, "3:10.0.0.3,4:10.0.0.5,5:10.0.0.2");
}

static void test_a_pause_is_no_death(void **state)
{
    struct cluster c;
    three(&c);
    power_on(&c, 3, 0);
    power_off(&c, 2);
    seconds(&c, 550);
    power_on(&c, 2, 0);
    seconds(&c, 900);
    expect_ensemble(&c, "1:10.0.0.1,2:10.0.0.2,3:10.0.0.3");
}

/* A daemon that died while its ZooKeeper serves on. */
static void test_only_the_daemon_is_dead(void **state)
{
    struct cluster c;
    three(&c);
    power_on(&c, 3, 0);
    c.m[2].daemon = false;
    seconds(&c, 2000);
    assert_int_equal(c.stored.generation, 1);
    power_off(&c, 2);
    seconds(&c, 60);
    assert_int_equal(c.stored.generation, 2);
}

static void test_same_address_other_disk(void **state)
{
    struct cluster c;
    three(&c);
    power_off(&c, 1);
    power_on(&c, 1, 1);
    seconds(&c, 120); /* no need to wait for a death that is known */
    expect_ensemble(&c, "1:10.0.0.1,3:10.0.0.3,4:10.0.0.2");
    assert_true(serves(&c, 1));
}

/* Without a quorum nothing is changed. */
static void test_no_quorum(void **state)
{
    struct cluster c;
    three(&c);
    power_off(&c, 1);
    power_off(&c, 2);
    power_on(&c, 3, 0);
    power_on(&c, 4, 0);
    seconds(&c, 3000);
    assert_int_equal(c.stored.generation, 1);
    power_on(&c, 1, 0);
    seconds(&c, 60);
    assert_int_equal(c.stored.generation, 2);
    expect_ensemble(&c, "1:10.0.0.1,2:10.0.0.2,4:10.0.0.4");
}

/* Two of five: one after the other. */
static void test_two_are_lost(void **state)
{
    struct cluster c = {.masters = 5, .now = 1000 * SECOND};
    struct core_result r;
    for (size_t i = 0; i < 5; i++)
        power_on(&c, i, 0);
    seconds(&c, 60);
    assert_int_equal(c.stored.generation, 1);
    power_off(&c, 0);
    power_off(&c, 4);
    power_on(&c, 5, 0);
    power_on(&c, 6, 0);
    for (int i = 0; i < 200 && c.stored.generation < 3; i++) {
        uint64_t before = c.stored.generation;
        seconds(&c, 5);
        assert_true(c.stored.generation <= before + 1);
    }
    seconds(&c, 60);
    expect_ensemble(&c, "2:10.0.0.2,3:10.0.0.3,4:10.0.0.4,6:10.0.0.6,7:10.0.0.7");
    step(&c, 1, false, &r);
    assert_true(r.settled);
}

/* The new one waits until those that stay have changed, and they change one after the other. */
static void test_order(void **state)
{
    struct cluster c;
    struct core_result r;
    char target[ENSEMBLE_TEXT_MAX];
    three(&c);
    power_off(&c, 2);
    power_on(&c, 3, 0);
    while (c.stored.generation == 1)
        seconds(&c, 5);
    document_ensemble(&c.stored, target);
    /* seconds() ran the others after the one that wrote. */
    for (int i = 0; i < 20 && !streq(c.m[3].local.running, target); i++) {
        size_t changing = 0;
        c.now += 5 * SECOND;
        for (size_t k = 0; k < 4; k++)
            run_server(&c.m[k]);
        for (size_t k = 0; k < 4; k++) {
            if (!c.m[k].daemon)
                continue;
            step(&c, k, false, &r);
            changing += r.action == CORE_APPLY;
            if (k == 3 && r.action == CORE_APPLY) {
                assert_string_equal(c.m[0].local.running, target);
                assert_string_equal(c.m[1].local.running, target);
            }
        }
        assert_true(changing <= 1);
        check_safe(&c);
    }
    assert_string_equal(c.m[3].local.wanted, target);
}

/* One that stays goes away too before it has changed. With the one that is replaced it would be a
 * quorum of the old servers, so the new one is not to be one with those that have changed. */
static void test_another_goes_before_it_changed(void **state)
{
    struct cluster c;
    struct core_result r;
    char target[ENSEMBLE_TEXT_MAX];
    three(&c);
    power_off(&c, 2);
    power_on(&c, 3, 0);
    while (c.stored.generation == 1) {
        c.now += 5 * SECOND;
        step(&c, 3, false, &r);
        step(&c, 1, false, &r);
        step(&c, 0, false, &r);
    }
    document_ensemble(&c.stored, target);
    for (int i = 0; i < 5; i++) {
        c.now += 5 * SECOND;
        step(&c, 0, false, &r);
        run_server(&c.m[0]);
    }
    assert_string_equal(c.m[0].local.running, target);
    assert_string_not_equal(c.m[1].local.wanted, target);
    power_off(&c, 1);
    seconds(&c, 2000);
    /* Both come back where the store cannot be reached. */
    c.m[1].server = c.m[2].server = true;
    run_server(&c.m[1]);
    run_server(&c.m[2]);
    check_safe(&c);
    power_off(&c, 2);
    power_on(&c, 1, 0);
    seconds(&c, 300);
    assert_string_equal(c.m[3].local.running, target);
    assert_true(serves(&c, 0) && serves(&c, 1) && serves(&c, 3));
}

/* Killed between the two halves of an action: the process still runs with the old servers. */
static void test_cut_off(void **state)
{
    struct cluster c;
    struct core_result r;
    three(&c);
    look(&c, 0);
    snprintf(c.m[0].local.running, sizeof(c.m[0].local.running), "1:10.0.0.1,9:10.0.0.9");
    step(&c, 0, true, &r);
    assert_int_equal(r.action, CORE_APPLY);
    step(&c, 0, false, &r);
    assert_int_equal(r.action, CORE_APPLY);
    run_server(&c.m[0]);
    step(&c, 0, false, &r);
    assert_int_equal(r.action, CORE_NOTHING);
}

static void test_store_is_lost(void **state)
{
    struct cluster c;
    struct core_result r;
    three(&c);
    struct document before = c.stored;
    c.has = false;
    step(&c, 1, false, &r);
    assert_true(c.has);
    assert_int_equal(r.action, CORE_NOTHING);
    assert_string_equal(c.stored.cluster, before.cluster);
    expect_ensemble(&c, "1:10.0.0.1,2:10.0.0.2,3:10.0.0.3");
    /* A master that waits may come to the empty store first. */
    power_on(&c, 4, 0);
    c.has = false;
    step(&c, 4, false, &r);
    assert_string_not_equal(c.stored.cluster, before.cluster);
    step(&c, 0, false, &r);
    assert_int_equal(r.action, CORE_NOTHING);
    assert_string_equal(c.stored.cluster, before.cluster);
    expect_ensemble(&c, "1:10.0.0.1,2:10.0.0.2,3:10.0.0.3");
    step(&c, 4, false, &r);
    assert_int_equal(c.stored.n_waiting, 1);
    power_off(&c, 4);
    /* A backup that is older than what is known is written over. */
    power_off(&c, 2);
    power_on(&c, 3, 0);
    seconds(&c, 800);
    assert_int_equal(c.stored.generation, 2);
    c.stored = before;
    step(&c, 0, false, &r);
    assert_int_equal(c.stored.generation, 2);
    /* Another cluster's is not touched. */
    snprintf(c.stored.cluster, sizeof(c.stored.cluster), "%032x", 1);
    step(&c, 0, false, &r);
    assert_false(r.write);
    assert_int_equal(r.action, CORE_NOTHING);
    assert_non_null(strstr(r.state, "another cluster"));
}

static void test_leftovers(void **state)
{
    struct cluster c;
    struct core_result r;
    three(&c);
    for (size_t i = 0; i < 3; i++)
        power_off(&c, i);
    for (size_t i = 3; i < 6; i++)
        power_on(&c, i, 0);
    seconds(&c, 2000);
    step(&c, 4, false, &r);
    assert_non_null(strstr(r.state, "remove the shared configuration"));
    assert_int_equal(c.stored.generation, 1);
}

static void test_ids_run_out(void **state)
{
    struct cluster c;
    three(&c);
    c.stored.next_id = SERVER_ID_MAX + 1;
    power_off(&c, 0);
    power_on(&c, 3, 0);
    seconds(&c, 800);
    expect_ensemble(&c, "2:10.0.0.2,3:10.0.0.3,4:10.0.0.4");
}

static void test_many_wait(void **state)
{
    struct cluster c;
    struct core_result r;
    three(&c);
    for (size_t i = 0; i < WAITING_MAX; i++) {
        struct master_record *m = &c.stored.waiting[c.stored.n_waiting++];
        snprintf(m->address, sizeof(m->address), "10.1.0.%zu", i);
        snprintf(m->token, sizeof(m->token), "%032zx", 1000 + i);
    }
    power_on(&c, 4, 0);
    step(&c, 4, false, &r);
    assert_false(r.write);
    assert_non_null(strstr(r.state, "others wait already"));
    seconds(&c, 900);
    assert_int_equal(c.stored.n_waiting, WAITING_MAX);
    assert_true(streq(c.stored.waiting[WAITING_MAX - 1].address, "10.0.0.5"));
}

/* Anything may happen in any order; quorums stay joint, and with all up it settles. */
static void test_chaos(void **state)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct cluster c;
        struct rng rng;
        struct core_result r;
        rng_init(&rng, seed);
        three(&c);
        for (int i = 0; i < 400; i++) {
            size_t k = rng_below(&rng, 5);
            switch (rng_below(&rng, 8)) {
            case 0:
                power_off(&c, k);
                break;
            case 1:
            case 2:
                if (!c.m[k].daemon)
                    power_on(&c, k, 0);
                break;
            case 3:
                c.m[k].daemon = false;
                break;
            case 4:
                if (c.m[k].daemon)
                    step(&c, k, true, &r);
                break;
            default:
                seconds(&c, (int)rng_below(&rng, 400));
            }
            check_safe(&c);
        }
        for (size_t i = 0; i < 5; i++)
            if (!c.m[i].daemon || !c.m[i].server)
                power_on(&c, i, 0);
        seconds(&c, 3000);
        for (size_t i = 0; i < c.stored.n_members; i++) {
            size_t k = (size_t)(c.stored.members[i].address[7] - '1');
            if (!serves(&c, k))
                fail_msg("seed %llu: %s does not serve", (unsigned long long)seed,
                    c.stored.members[i].address);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forming),
        cmocka_unit_test(test_forming_without_the_dead),
        cmocka_unit_test(test_replacing),
        cmocka_unit_test(test_a_pause_is_no_death),
        cmocka_unit_test(test_only_the_daemon_is_dead),
        cmocka_unit_test(test_same_address_other_disk),
        cmocka_unit_test(test_no_quorum),
        cmocka_unit_test(test_two_are_lost),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_another_goes_before_it_changed),
        cmocka_unit_test(test_cut_off),
        cmocka_unit_test(test_store_is_lost),
        cmocka_unit_test(test_leftovers),
        cmocka_unit_test(test_ids_run_out),
        cmocka_unit_test(test_many_wait),
        cmocka_unit_test(test_chaos),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
