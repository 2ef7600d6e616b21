#include "unit.h"

#include "world.h"

#include "base/clock.h"
#include "kernel/operation.h"

/* Operations on what the agent has, and the folders of volumes that they make or remove. */

#define STATE(name) MESOS__V1__OPERATION_STATE__OPERATION_##name
#define RESERVATION "\"reservations\":[{\"type\":\"DYNAMIC\",\"role\":\"r\",\"principal\":\"p\"}]"
#define DISK(mb)                                                                                   \
    "{\"name\":\"disk\",\"type\":\"SCALAR\",\"scalar\":{\"value\":" #mb "}," RESERVATION "}"
#define CPUS(n)                                                                                    \
    "{\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{\"value\":" #n "}," RESERVATION "}"
#define VOLUME_AT(mb, id, path)                                                                    \
    "{\"name\":\"disk\",\"type\":\"SCALAR\",\"scalar\":{\"value\":" #mb "}," RESERVATION           \
    ",\"disk\":{\"persistence\":{\"id\":\"" id "\",\"principal\":\"p\"},\"volume\":{\"mode\":"     \
    "\"RW\",\"container_path\":\"" path "\"}}}"
#define VOLUME(mb, id) VOLUME_AT(mb, id, "data")
#define MOUNT_SOURCE "\"source\":{\"type\":\"MOUNT\",\"mount\":{\"root\":\"/mnt/one\"}}"
#define MOUNT_DISK                                                                                 \
    "{\"name\":\"disk\",\"type\":\"SCALAR\",\"scalar\":{\"value\":500}," RESERVATION               \
    ",\"disk\":{" MOUNT_SOURCE "}}"
#define MOUNT_VOLUME(id)                                                                           \
    "{\"name\":\"disk\",\"type\":\"SCALAR\",\"scalar\":{\"value\":500}," RESERVATION               \
    ",\"disk\":{\"persistence\":{\"id\":\"" id "\",\"principal\":\"p\"},\"volume\":{\"mode\":"     \
    "\"RW\",\"container_path\":\"data\"}," MOUNT_SOURCE "}}"
#define RESERVE(list) "{\"type\":\"RESERVE\",\"reserve\":{\"resources\":[" list "]}}"
#define UNRESERVE(list) "{\"type\":\"UNRESERVE\",\"unreserve\":{\"resources\":[" list "]}}"
#define CREATE(list) "{\"type\":\"CREATE\",\"create\":{\"volumes\":[" list "]}}"
#define GROW(volume, addition)                                                                     \
    "{\"type\":\"GROW_VOLUME\",\"grow_volume\":{\"volume\":" volume ",\"addition\":" addition "}}"
#define SHRINK(volume, mb)                                                                         \
    "{\"type\":\"SHRINK_VOLUME\",\"shrink_volume\":{\"volume\":" volume                            \
    ",\"subtract\":{\"value\":" #mb "}}}"
#define DESTROY(list) "{\"type\":\"DESTROY\",\"destroy\":{\"volumes\":[" list "]}}"

static int setup(void **state)
{
    struct world *w = xnew(struct world);
    world_start(w);
    world_register(w);
    world_forget(w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_done(*state);
    free(*state);
    return 0;
}

static void apply(struct world *w, uint8_t number, const char *operation)
{
    uint8_t uuid[AGENT_UUID_SIZE];
    memset(uuid, number, sizeof(uuid));
    Dcos__Internal__ApplyOperation a = DCOS__INTERNAL__APPLY_OPERATION__INIT;
    a.info = world_json(w, &mesos__v1__offer__operation__descriptor, operation);
    a.has_operation_uuid = true;
    a.operation_uuid = (ProtobufCBinaryData){.len = sizeof(uuid), .data = uuid};
    Dcos__Internal__MasterRecord r = DCOS__INTERNAL__MASTER_RECORD__INIT;
    r.apply_operation = &a;
    world_master(w, &r);
}

/* The last word on an operation; that there is work goes before it. */
static bool is_last_word(const Dcos__Internal__AgentRecord *r)
{
    return r->operation_update &&
           r->operation_update->status->state != MESOS__V1__OPERATION_STATE__OPERATION_PENDING;
}

static size_t updates(struct world *w)
{
    size_t n = 0;
    for (size_t i = 0; world_record(w, i); i++)
        n += is_last_word(world_record(w, i));
    return n;
}

static Dcos__Internal__OperationUpdate *update(struct world *w, size_t n)
{
    for (size_t i = 0;; i++) {
        Dcos__Internal__AgentRecord *r = world_record(w, i);
        if (!r)
            return NULL;
        if (is_last_word(r) && n-- == 0)
            return r->operation_update;
    }
}

static Dcos__Internal__UpdateResources *last_total(struct world *w)
{
    Dcos__Internal__UpdateResources *found = NULL;
    for (size_t i = 0; world_record(w, i); i++)
        if (world_record(w, i)->resources)
            found = world_record(w, i)->resources;
    return found;
}

static void acknowledge(struct world *w, const Dcos__Internal__OperationUpdate *u)
{
    Dcos__Internal__AcknowledgeOperation a = DCOS__INTERNAL__ACKNOWLEDGE_OPERATION__INIT;
    a.has_operation_uuid = a.has_status_uuid = true;
    a.operation_uuid = u->operation_uuid;
    a.status_uuid = u->status->uuid->value;
    Dcos__Internal__MasterRecord r = DCOS__INTERNAL__MASTER_RECORD__INIT;
    r.acknowledge_operation = &a;
    world_master(w, &r);
}

static bool has(struct world *w, const char *resource)
{
    Mesos__V1__Resource *list[] = {world_json(w, &mesos__v1__resource__descriptor, resource)};
    struct resources r = RESOURCES_INIT;
    assert_int_equal(resources_from_wire(list, 1, &r, NULL), 0);
    bool yes = resources_contains(&w->core->total, &r);
    resources_done(&r);
    return yes;
}

/* The n-th order to the disk so far is answered. */
static void done(struct world *w, enum agent_effect_type type, size_t n, const char *problem)
{
    struct agent_effect *e = world_effect(w, type, n);
    assert_non_null(e);
    agent_core_volume_done(w->core, world_now(w), e->number, problem);
    world_drain(w);
}

static void make_volume(struct world *w, const char *reserve, const char *create)
{
    apply(w, 201, reserve);
    apply(w, 202, create);
    done(w, AGENT_VOLUME_CREATE, 0, NULL);
    acknowledge(w, update(w, 0));
    acknowledge(w, update(w, 1));
    assert_int_equal(map_size(&w->core->operations), 0);
    world_forget(w);
}

/* ---- what they do ---- */

static void reservations_come_and_go(void **state)
{
    struct world *w = *state;
    apply(w, 1, RESERVE(CPUS(2) "," DISK(100)));
    assert_int_equal(update(w, 0)->status->state, STATE(FINISHED));
    assert_int_equal(update(w, 0)->status->uuid->value.len, AGENT_UUID_SIZE);
    assert_string_equal(update(w, 0)->status->agent_id->value, "S1");
    assert_true(has(w, CPUS(2)));
    assert_false(has(w, CPUS(3)));
    assert_int_equal(resources_scalar(&w->core->total, "cpus"), 4000);
    apply(w, 2, UNRESERVE(CPUS(1)));
    assert_true(has(w, CPUS(1)));
    assert_false(has(w, CPUS(2)));
    /* And what it does not have cannot be had. */
    apply(w, 3, RESERVE(CPUS(4)));
    assert_int_equal(update(w, 2)->status->state, STATE(FAILED));
    assert_non_null(update(w, 2)->status->message);
    assert_non_null(last_total(w));
    assert_true(has(w, CPUS(1)));
}

static void statuses_repeat_until_acknowledged(void **state)
{
    struct world *w = *state;
    apply(w, 1, RESERVE(CPUS(1)));
    assert_int_equal(updates(w), 1);
    world_advance(w, AGENT_RETRY_MIN_US);
    assert_int_equal(updates(w), 2);
    world_advance(w, AGENT_RETRY_MIN_US);
    assert_int_equal(updates(w), 2); /* twice as long now */
    world_advance(w, AGENT_RETRY_MIN_US);
    assert_int_equal(updates(w), 3);
    assert_memory_equal(update(w, 0)->status->uuid->value.data,
        update(w, 2)->status->uuid->value.data, AGENT_UUID_SIZE);
    Dcos__Internal__OperationUpdate wrong = *update(w, 0);
    Mesos__V1__OperationStatus status = *wrong.status;
    Mesos__V1__UUID uuid = *status.uuid;
    uint8_t other[AGENT_UUID_SIZE] = {1};
    uuid.value.data = other;
    status.uuid = &uuid;
    wrong.status = &status;
    acknowledge(w, &wrong);
    assert_int_equal(map_size(&w->core->operations), 1);
    acknowledge(w, update(w, 0));
    assert_int_equal(map_size(&w->core->operations), 0);
    world_advance(w, 2 * AGENT_RETRY_MAX_US);
    assert_int_equal(updates(w), 3);
}

static void none_is_applied_twice(void **state)
{
    struct world *w = *state;
    apply(w, 1, RESERVE(CPUS(1)));
    apply(w, 1, RESERVE(CPUS(1)));
    assert_true(has(w, CPUS(1)));
    assert_false(has(w, CPUS(2)));
    assert_int_equal(updates(w), 2);
    assert_memory_equal(update(w, 0)->status->uuid->value.data,
        update(w, 1)->status->uuid->value.data, AGENT_UUID_SIZE);
}

static void unknown_ones_were_dropped(void **state)
{
    struct world *w = *state;
    apply(w, 1, RESERVE(CPUS(1)));
    world_forget(w);
    uint8_t known[AGENT_UUID_SIZE], unknown[AGENT_UUID_SIZE];
    memset(known, 1, sizeof(known));
    memset(unknown, 9, sizeof(unknown));
    ProtobufCBinaryData uuids[] = {
        {.len = sizeof(known), .data = known}, {.len = sizeof(unknown), .data = unknown}};
    Dcos__Internal__ReconcileOperations q = DCOS__INTERNAL__RECONCILE_OPERATIONS__INIT;
    q.n_operation_uuids = 2;
    q.operation_uuids = uuids;
    Dcos__Internal__MasterRecord r = DCOS__INTERNAL__MASTER_RECORD__INIT;
    r.reconcile_operations = &q;
    world_master(w, &r);
    assert_int_equal(updates(w), 2);
    assert_int_equal(update(w, 0)->status->state, STATE(FINISHED));
    assert_int_equal(update(w, 1)->status->state, STATE(DROPPED));
    assert_memory_equal(update(w, 1)->operation_uuid.data, unknown, sizeof(unknown));
}

static void they_survive_restarts(void **state)
{
    struct world *w = *state;
    apply(w, 1, RESERVE(CPUS(1)));
    assert_int_equal(world_restart(w), 0);
    assert_true(has(w, CPUS(1)));
    agent_core_link_up(w->core, world_now(w));
    world_drain(w);
    Dcos__Internal__Register *r = world_record(w, 1)->register_;
    assert_int_equal(r->n_operations, 1);
    assert_int_equal(r->operations[0]->latest_status->state, STATE(FINISHED));
    assert_true(r->n_total > 3);
    world_forget(w);
    world_register(w);
    assert_int_equal(updates(w), 1);
    apply(w, 1, RESERVE(CPUS(1)));
    assert_false(has(w, CPUS(2)));
    acknowledge(w, update(w, 0));
    assert_int_equal(world_restart(w), 0);
    assert_int_equal(map_size(&w->core->operations), 0);
    assert_true(has(w, CPUS(1)));
}

static void reservations_need_their_resources(void **state)
{
    struct world *w = *state;
    apply(w, 1, RESERVE(CPUS(3)));
    w->additive = true;
    w->cpus = 8;
    assert_int_equal(world_restart(w), 0);
    assert_true(has(w, CPUS(3)));
    assert_int_equal(resources_scalar(&w->core->total, "cpus"), 8000);
}

/* ---- volumes ---- */

static void volumes_are_made_before_they_are_finished(void **state)
{
    struct world *w = *state;
    apply(w, 1, RESERVE(DISK(100)));
    world_forget(w);
    apply(w, 2, CREATE(VOLUME(60, "v1")));
    assert_int_equal(updates(w), 0);
    assert_int_equal(world_count(w, AGENT_VOLUME_CREATE), 1);
    assert_true(has(w, VOLUME(60, "v1")));
    assert_true(has(w, DISK(40)));
    done(w, AGENT_VOLUME_CREATE, 0, NULL);
    assert_int_equal(update(w, 0)->status->state, STATE(FINISHED));
    assert_true(list_empty(&w->core->volumes));
    done(w, AGENT_VOLUME_CREATE, 0, NULL); /* said twice */
    assert_int_equal(updates(w), 1);
    assert_int_equal(world_restart(w), 0);
    assert_true(has(w, VOLUME(60, "v1")));
    assert_true(has(w, DISK(40)));
    assert_int_equal(world_count(w, AGENT_VOLUME_CREATE), 0);
}

static void a_crash_before_the_folder_is_made(void **state)
{
    struct world *w = *state;
    apply(w, 1, RESERVE(DISK(100)));
    apply(w, 2, CREATE(VOLUME(60, "v1")));
    assert_int_equal(world_restart(w), 0);
    assert_int_equal(world_count(w, AGENT_VOLUME_CREATE), 1);
    world_register(w);
    done(w, AGENT_VOLUME_CREATE, 0, NULL);
    assert_int_equal(update(w, 1)->status->state, STATE(FINISHED));
}

static void a_folder_that_cannot_be_made(void **state)
{
    struct world *w = *state;
    apply(w, 1, RESERVE(DISK(100)));
    world_forget(w);
    apply(w, 2, CREATE(VOLUME(60, "v1") "," VOLUME(30, "v2")));
    done(w, AGENT_VOLUME_CREATE, 0, NULL);
    assert_int_equal(updates(w), 0);
    done(w, AGENT_VOLUME_CREATE, 1, "no space left on device");
    assert_int_equal(update(w, 0)->status->state, STATE(FAILED));
    assert_non_null(strstr(update(w, 0)->status->message, "no space left"));
    /* The total comes after the last word: the master would count the volumes in again. */
    size_t i = 0;
    while (!world_record(w, i)->resources)
        assert_true(world_record(w, i++)->operation_update != NULL);
    assert_true(i > 0 && is_last_word(world_record(w, i - 1)));
    assert_true(has(w, DISK(100)));
    assert_false(has(w, VOLUME(60, "v1")));
    /* The one that was made goes again. */
    assert_int_equal(world_count(w, AGENT_VOLUME_DESTROY), 1);
    done(w, AGENT_VOLUME_DESTROY, 0, NULL);
    assert_true(list_empty(&w->core->volumes));
    assert_int_equal(world_restart(w), 0);
    assert_true(has(w, DISK(100)));
}

static void destroyed_volumes_are_emptied(void **state)
{
    struct world *w = *state;
    make_volume(w, RESERVE(DISK(100)), CREATE(VOLUME(60, "v1")));
    apply(w, 3, DESTROY(VOLUME(60, "v1")));
    assert_true(has(w, DISK(100)));
    assert_int_equal(updates(w), 0);
    assert_int_equal(world_count(w, AGENT_VOLUME_DESTROY), 1);
    assert_int_equal(world_restart(w), 0); /* in the middle of it */
    assert_int_equal(world_count(w, AGENT_VOLUME_DESTROY), 1);
    world_register(w);
    done(w, AGENT_VOLUME_DESTROY, 0, NULL);
    assert_int_equal(update(w, 0)->status->state, STATE(FINISHED));
    assert_int_equal(world_restart(w), 0);
    assert_int_equal(world_count(w, AGENT_VOLUME_DESTROY), 0);
}

static void a_volume_that_cannot_be_emptied_stays(void **state)
{
    struct world *w = *state;
    make_volume(w, RESERVE(DISK(100)), CREATE(VOLUME(60, "v1")));
    apply(w, 3, DESTROY(VOLUME(60, "v1")));
    done(w, AGENT_VOLUME_DESTROY, 0, "device or resource busy");
    assert_int_equal(update(w, 0)->status->state, STATE(FAILED));
    assert_true(has(w, VOLUME(60, "v1")));
}

/* A volume that comes next at the place does not get its data: it fails, the old one is back. */
static void what_could_not_be_emptied_is_nobody_elses(void **state)
{
    struct world *w = *state;
    make_volume(w, RESERVE(MOUNT_DISK), CREATE(MOUNT_VOLUME("v1")));
    apply(w, 3, DESTROY(MOUNT_VOLUME("v1")));
    apply(w, 4, CREATE(MOUNT_VOLUME("v2")));
    w->task_resources = "[" MOUNT_VOLUME("v2") "]";
    world_run(w, "t1", NULL, true);
    done(w, AGENT_VOLUME_DESTROY, 0, "device or resource busy");
    assert_int_equal(update(w, 0)->status->state, STATE(FAILED));
    assert_int_equal(update(w, 1)->status->state, STATE(FAILED));
    assert_non_null(strstr(update(w, 1)->status->message, "device or resource busy"));
    assert_int_equal(world_count(w, AGENT_VOLUME_CREATE), 0);
    assert_int_equal(world_count(w, AGENT_LAUNCH), 0);
    assert_int_equal(world_update(w, 0)->status->state, TASK_STATE(DROPPED));
    assert_int_equal(world_update(w, 0)->status->reason, STATUS_REASON(RESOURCES_UNKNOWN));
    assert_true(has(w, MOUNT_VOLUME("v1")));
    assert_false(has(w, MOUNT_VOLUME("v2")));
    assert_true(list_empty(&w->core->volumes));
}

/* The same with more to come: sizes fail with it, parts at other places are undone, and the last
 * word waits for them. */
static void all_that_follows_what_could_not_be_emptied_fails(void **state)
{
    struct world *w = *state;
    make_volume(w, RESERVE(DISK(100)), CREATE(VOLUME(60, "v1")));
    apply(w, 3, DESTROY(VOLUME(60, "v1")));
    apply(w, 4, CREATE(VOLUME(50, "v2") "," VOLUME(40, "v1")));
    apply(w, 5, GROW(VOLUME(40, "v1"), DISK(10)));
    done(w, AGENT_VOLUME_DESTROY, 0, "device or resource busy");
    assert_int_equal(update(w, 0)->status->state, STATE(FAILED));
    assert_int_equal(update(w, 1)->status->state, STATE(FAILED)); /* the growth */
    assert_null(update(w, 2));                                    /* v2 is being made */
    done(w, AGENT_VOLUME_CREATE, 0, NULL);
    assert_int_equal(update(w, 2)->status->state, STATE(FAILED));
    assert_int_equal(world_count(w, AGENT_VOLUME_DESTROY), 2);
    done(w, AGENT_VOLUME_DESTROY, 1, NULL);
    assert_false(has(w, VOLUME(50, "v2")));
    assert_true(list_empty(&w->core->volumes));
}

/* A second removal does empty it, so that what comes after is fine. */
static void a_second_removal_may_succeed(void **state)
{
    struct world *w = *state;
    make_volume(w, RESERVE(DISK(100)), CREATE(VOLUME(60, "v1")));
    apply(w, 3, DESTROY(VOLUME(60, "v1")));
    apply(w, 4, CREATE(VOLUME(60, "v1")));
    apply(w, 5, DESTROY(VOLUME(60, "v1")));
    done(w, AGENT_VOLUME_DESTROY, 0, "device or resource busy");
    done(w, AGENT_VOLUME_CREATE, 0, NULL);
    done(w, AGENT_VOLUME_DESTROY, 1, NULL);
    assert_int_equal(update(w, 2)->status->state, STATE(FINISHED));
    assert_true(has(w, DISK(100)));
    assert_true(list_empty(&w->core->volumes));
}

static void work_on_one_place_goes_in_order(void **state)
{
    struct world *w = *state;
    make_volume(w, RESERVE(MOUNT_DISK), CREATE(MOUNT_VOLUME("v1")));
    apply(w, 3, DESTROY(MOUNT_VOLUME("v1")));
    apply(w, 4, CREATE(MOUNT_VOLUME("v2")));
    /* The new one waits for the old one's data to be gone, and so does who wants it. */
    assert_int_equal(world_count(w, AGENT_VOLUME_CREATE), 0);
    w->task_resources = "[" MOUNT_VOLUME("v2") "]";
    world_run(w, "t1", NULL, true);
    assert_int_equal(world_count(w, AGENT_LAUNCH), 0);
    done(w, AGENT_VOLUME_DESTROY, 0, NULL);
    assert_int_equal(world_count(w, AGENT_VOLUME_CREATE), 1);
    assert_int_equal(world_count(w, AGENT_LAUNCH), 1);
    done(w, AGENT_VOLUME_CREATE, 0, NULL);
    assert_int_equal(world_count(w, AGENT_LAUNCH), 1);
    assert_int_equal(updates(w), 2);
}

/* What is still being removed would take the new task's data with it. */
static void tasks_of_running_executors_wait_too(void **state)
{
    struct world *w = *state;
    make_volume(w, RESERVE(MOUNT_DISK), CREATE(MOUNT_VOLUME("v1")));
    world_run(w, "t1", "x", true);
    world_subscribe(w, "x", NULL);
    assert_non_null(world_event(w, MESOS__V1__EXECUTOR__EVENT__TYPE__LAUNCH, 0));
    apply(w, 3, DESTROY(MOUNT_VOLUME("v1")));
    apply(w, 4, CREATE(MOUNT_VOLUME("v2")));
    size_t prepared = world_count(w, AGENT_UPDATE_CONTAINER);
    w->task_resources = "[" MOUNT_VOLUME("v2") "]";
    world_run(w, "t2", "x", true);
    assert_null(world_event(w, MESOS__V1__EXECUTOR__EVENT__TYPE__LAUNCH, 1));
    assert_int_equal(world_count(w, AGENT_UPDATE_CONTAINER), prepared);
    done(w, AGENT_VOLUME_DESTROY, 0, NULL);
    const Mesos__V1__Executor__Event *e = world_event(
        w, MESOS__V1__EXECUTOR__EVENT__TYPE__LAUNCH, 1);
    assert_non_null(e);
    assert_string_equal(e->launch->task->task_id->value, "t2");
    assert_int_equal(world_count(w, AGENT_UPDATE_CONTAINER), prepared + 1);
}

static void the_order_survives_a_crash(void **state)
{
    struct world *w = *state;
    make_volume(w, RESERVE(DISK(100)), CREATE(VOLUME(60, "v1")));
    apply(w, 3, DESTROY(VOLUME(60, "v1")));
    apply(w, 4, CREATE(VOLUME(60, "v1")));
    assert_int_equal(world_restart(w), 0);
    assert_int_equal(world_count(w, AGENT_VOLUME_DESTROY), 1);
    assert_int_equal(world_count(w, AGENT_VOLUME_CREATE), 0);
    done(w, AGENT_VOLUME_DESTROY, 0, NULL);
    assert_int_equal(world_count(w, AGENT_VOLUME_CREATE), 1);
    /* From here on the folder holds new data. */
    assert_int_equal(world_restart(w), 0);
    assert_int_equal(world_count(w, AGENT_VOLUME_DESTROY), 0);
    assert_int_equal(world_count(w, AGENT_VOLUME_CREATE), 1);
}

static void volumes_in_use_stay(void **state)
{
    struct world *w = *state;
    make_volume(w, RESERVE(DISK(100)), CREATE(VOLUME(60, "v1")));
    w->task_resources = "[" VOLUME_AT(60, "v1", "elsewhere") "]"; /* how it is used is no matter */
    world_run(w, "t1", NULL, true);
    assert_int_equal(world_count(w, AGENT_LAUNCH), 1);
    apply(w, 3, DESTROY(VOLUME(60, "v1")));
    assert_int_equal(update(w, 0)->status->state, STATE(FAILED));
    assert_non_null(strstr(update(w, 0)->status->message, "in use by 't1'"));
    assert_true(has(w, VOLUME(60, "v1")));
    assert_int_equal(world_count(w, AGENT_VOLUME_DESTROY), 0);
}

static void sizes_change_without_work(void **state)
{
    struct world *w = *state;
    make_volume(w, RESERVE(DISK(100)), CREATE(VOLUME(60, "v1")));
    apply(w, 3,
        "{\"type\":\"GROW_VOLUME\",\"grow_volume\":{\"volume\":" VOLUME(
            60, "v1") ",\"addition\":" DISK(20) "}}");
    assert_int_equal(update(w, 0)->status->state, STATE(FINISHED));
    assert_true(has(w, VOLUME(80, "v1")));
    assert_true(has(w, DISK(20)));
    apply(w, 4,
        "{\"type\":\"SHRINK_VOLUME\",\"shrink_volume\":{\"volume\":" VOLUME(
            80, "v1") ",\"subtract\":{\"value\":30}}}");
    assert_int_equal(update(w, 1)->status->state, STATE(FINISHED));
    assert_true(has(w, VOLUME(50, "v1")));
    assert_true(has(w, DISK(50)));
    assert_int_equal(world_count(w, AGENT_VOLUME_CREATE), 0);
}

static void sizes_wait_for_the_volume(void **state)
{
    struct world *w = *state;
    apply(w, 1, RESERVE(DISK(100)));
    acknowledge(w, update(w, 0));
    world_forget(w);
    apply(w, 2, CREATE(VOLUME(60, "v1")));
    apply(w, 3, GROW(VOLUME(60, "v1"), DISK(20)));
    apply(w, 4, SHRINK(VOLUME(80, "v1"), 10));
    assert_int_equal(updates(w), 0);
    assert_true(has(w, VOLUME(70, "v1")));
    assert_int_equal(world_restart(w), 0); /* they wait on */
    world_register(w);
    done(w, AGENT_VOLUME_CREATE, 0, NULL);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(update(w, i)->status->state, STATE(FINISHED));
    assert_int_equal(updates(w), 3);
    assert_true(has(w, VOLUME(70, "v1")));
    assert_true(list_empty(&w->core->volumes));
}

static void sizes_fail_with_the_volume(void **state)
{
    struct world *w = *state;
    apply(w, 1, RESERVE(DISK(100)));
    acknowledge(w, update(w, 0));
    world_forget(w);
    apply(w, 2, CREATE(VOLUME(60, "v1")));
    apply(w, 3, GROW(VOLUME(60, "v1"), DISK(20)));
    done(w, AGENT_VOLUME_CREATE, 0, "no space left on device");
    assert_int_equal(updates(w), 2);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(update(w, i)->status->state, STATE(FAILED));
    assert_true(has(w, DISK(100))); /* no volume of any size is left */
    assert_true(list_empty(&w->core->volumes));
    assert_int_equal(world_restart(w), 0);
    assert_true(has(w, DISK(100)));
}

/* The first volume failed, the second with its name did not. */
static void a_failure_takes_back_its_own_volume(void **state)
{
    struct world *w = *state;
    apply(w, 1, RESERVE(DISK(100)));
    acknowledge(w, update(w, 0));
    world_forget(w);
    apply(w, 2, CREATE(VOLUME(60, "v1")));
    apply(w, 3, DESTROY(VOLUME(60, "v1")));
    apply(w, 4, CREATE(VOLUME(60, "v1")));
    done(w, AGENT_VOLUME_CREATE, 0, "read-only file system");
    done(w, AGENT_VOLUME_DESTROY, 0, NULL);
    done(w, AGENT_VOLUME_CREATE, 1, NULL);
    assert_int_equal(update(w, 0)->status->state, STATE(FAILED));
    assert_int_equal(update(w, 1)->status->state, STATE(FINISHED));
    assert_int_equal(update(w, 2)->status->state, STATE(FINISHED));
    assert_true(has(w, VOLUME(60, "v1")));
    assert_int_equal(world_count(w, AGENT_VOLUME_DESTROY), 1); /* and nothing empties it */
}

/* Half of an operation is undone, but not what came at its place afterwards. */
static void undoing_keeps_later_volumes(void **state)
{
    struct world *w = *state;
    apply(w, 1, RESERVE(DISK(100)));
    acknowledge(w, update(w, 0));
    world_forget(w);
    apply(w, 2, CREATE(VOLUME(60, "v1") "," VOLUME(40, "v2")));
    apply(w, 3, DESTROY(VOLUME(60, "v1")));
    apply(w, 4, CREATE(VOLUME(60, "v1")));
    done(w, AGENT_VOLUME_CREATE, 0, NULL);
    assert_int_equal(world_count(w, AGENT_VOLUME_DESTROY), 0); /* v2 is not there yet */
    done(w, AGENT_VOLUME_CREATE, 1, "no space left on device");
    done(w, AGENT_VOLUME_DESTROY, 0, NULL);
    done(w, AGENT_VOLUME_CREATE, 2, NULL);
    assert_true(has(w, VOLUME(60, "v1")));
    assert_true(has(w, DISK(40)));
    assert_int_equal(world_count(w, AGENT_VOLUME_DESTROY), 1);
    assert_true(list_empty(&w->core->volumes));
}

static void tasks_get_what_the_agent_has(void **state)
{
    struct world *w = *state;
    static const char *const wanted[] = {"[" CPUS(1) "]", "[" VOLUME(60, "v1") "]"};
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        world_forget(w);
        w->task_resources = wanted[i];
        world_run(w, i ? "t2" : "t1", NULL, i == 0);
        assert_int_equal(world_count(w, AGENT_LAUNCH), 0);
        assert_int_equal(
            world_update(w, 0)->status->state, i ? TASK_STATE(LOST) : TASK_STATE(DROPPED));
        assert_int_equal(world_update(w, 0)->status->reason, STATUS_REASON(RESOURCES_UNKNOWN));
    }
    apply(w, 1, RESERVE(CPUS(1)));
    w->task_resources = "[" CPUS(1) "]";
    world_run(w, "t3", NULL, true);
    assert_int_equal(world_count(w, AGENT_LAUNCH), 1);
}

static void bad_volumes_are_refused(void **state)
{
    struct world *w = *state;
    apply(w, 1, RESERVE(DISK(100)));
    static const char *const bad[] = {CREATE(VOLUME(10, "..")), CREATE(VOLUME(10, "a/b")),
        CREATE(VOLUME(200, "v")), DESTROY(VOLUME(10, "v")), "{\"type\":\"LAUNCH\"}",
        "{\"type\":\"CREATE\"}"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        world_forget(w);
        apply(w, (uint8_t)(2 + i), bad[i]);
        assert_int_equal(update(w, 0)->status->state, STATE(FAILED));
        assert_int_equal(world_count(w, AGENT_VOLUME_CREATE), 0);
        assert_true(has(w, DISK(100)));
    }
    world_forget(w);
    apply(w, 20, CREATE(VOLUME(10, "v")));
    done(w, AGENT_VOLUME_CREATE, 0, NULL);
    apply(w, 21, CREATE(VOLUME(20, "v")));
    assert_int_equal(update(w, 1)->status->state, STATE(FAILED));
}

static void a_new_id_keeps_the_data(void **state)
{
    struct world *w = *state;
    make_volume(w, RESERVE(DISK(100)), CREATE(VOLUME(60, "v1")));
    apply(w, 3, RESERVE(CPUS(1)));
    Dcos__Internal__Refused refused = DCOS__INTERNAL__REFUSED__INIT;
    refused.has_forget = refused.forget = true;
    Dcos__Internal__MasterRecord r = DCOS__INTERNAL__MASTER_RECORD__INIT;
    r.refused = &refused;
    world_master(w, &r);
    assert_null(w->core->id);
    assert_int_equal(map_size(&w->core->operations), 0);
    assert_true(has(w, VOLUME(60, "v1")));
    assert_true(has(w, CPUS(1)));
    assert_int_equal(world_restart(w), 0);
    assert_true(has(w, VOLUME(60, "v1")));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(reservations_come_and_go),
        TEST(statuses_repeat_until_acknowledged),
        TEST(none_is_applied_twice),
        TEST(unknown_ones_were_dropped),
        TEST(they_survive_restarts),
        TEST(reservations_need_their_resources),
        TEST(volumes_are_made_before_they_are_finished),
        TEST(a_crash_before_the_folder_is_made),
        TEST(a_folder_that_cannot_be_made),
        TEST(destroyed_volumes_are_emptied),
        TEST(a_volume_that_cannot_be_emptied_stays),
        TEST(what_could_not_be_emptied_is_nobody_elses),
        TEST(all_that_follows_what_could_not_be_emptied_fails),
        TEST(a_second_removal_may_succeed),
        TEST(work_on_one_place_goes_in_order),
        TEST(tasks_of_running_executors_wait_too),
        TEST(the_order_survives_a_crash),
        TEST(volumes_in_use_stay),
        TEST(sizes_change_without_work),
        TEST(sizes_wait_for_the_volume),
        TEST(sizes_fail_with_the_volume),
        TEST(a_failure_takes_back_its_own_volume),
        TEST(undoing_keeps_later_volumes),
        TEST(tasks_get_what_the_agent_has),
        TEST(bad_volumes_are_refused),
        TEST(a_new_id_keeps_the_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
