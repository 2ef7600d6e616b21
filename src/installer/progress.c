#include "installer/progress.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { COLUMNS_DEFAULT = 80 };

void progress_init(struct progress *p, size_t total)
{
    *p = (struct progress){.terminal = isatty(STDOUT_FILENO) == 1,
        .total = total,
        .quiet_line = true,
        .began_us = clock_monotonic_us()};
}

static void wipe(struct progress *p)
{
    if (p->terminal && !p->quiet_line)
        fputs("\r\033[K", stdout);
    p->quiet_line = true;
}

static void draw(struct progress *p, const char *name)
{
    struct winsize size;
    int columns = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col
                                                                                  : COLUMNS_DEFAULT;
    char line[512];
    int64_t seconds = (clock_monotonic_us() - p->began_us) / USEC_PER_SEC;
    (void)snprintf(line, sizeof(line),
        "%s %lld:%02lld  %zu of %zu done, %zu failed, %zu running  %s", name,
        (long long)(seconds / 60), (long long)(seconds % 60), p->done, p->total, p->failed,
        p->running, p->latest);
    wipe(p);
    printf("%.*s", columns - 1, line);
    fflush(stdout);
    p->quiet_line = false;
}

void progress_event(const struct chain *chain, const struct chain_event *event,
    const struct chain_result *result, void *userdata)
{
    struct progress *p = userdata;
    const struct chain_host *host = &chain->hosts[event->host];
    switch (event->type) {
    case CHAIN_HOST_STARTED:
        p->running++;
        break;
    case CHAIN_STEP_STARTED:
        (void)snprintf(
            p->latest, sizeof(p->latest), "%s: %s", host->address, chain->steps[event->step].stage);
        /* Many files in a row are one line. */
        if (!p->terminal && (event->step == 0 || chain->steps[event->step].stage !=
                                                     chain->steps[event->step - 1].stage))
            printf("%s: %s (%s): %s\n", chain->name, host->address, host->install_role,
                chain->steps[event->step].stage);
        break;
    case CHAIN_STEP_DONE:
        break;
    case CHAIN_HOST_DONE:
        p->running--;
        p->done++;
        p->failed += result->status != CHAIN_SUCCESS;
        wipe(p);
        printf("%s: %s (%s): %s%s%s\n", chain->name, host->address, host->install_role,
            chain_status_name(result->status), result->reason[0] ? ": " : "", result->reason);
        break;
    }
    if (p->terminal)
        draw(p, chain->name);
    fflush(stdout);
}

void progress_summary(
    struct progress *p, const char *action, const struct action_result *r, const char *logs)
{
    size_t failed = 0, untouched = 0;
    wipe(p);
    for (size_t i = 0; i < r->n; i++) {
        untouched += r->results[i].status == CHAIN_UNSTARTED;
        failed += r->results[i].status == CHAIN_FAILED || r->results[i].status == CHAIN_TERMINATED;
    }
    printf("%s: %zu of %zu hosts done", action, r->n - failed - untouched, r->n);
    if (failed > 0)
        printf(", %zu failed", failed);
    if (untouched > 0)
        printf(", %zu not touched", untouched);
    printf("%s%s\n", failed > 0 ? "; what they printed is in " : "", failed > 0 ? logs : "");
    fflush(stdout);
    for (size_t i = 0; i < r->n; i++) {
        if (r->results[i].status == CHAIN_FAILED || r->results[i].status == CHAIN_TERMINATED)
            fprintf(stderr, "%s: %s\n", r->hosts[i].address, r->results[i].reason);
    }
}
