#ifndef DCOS_TEST_ZK_SERVER_H
#define DCOS_TEST_ZK_SERVER_H

/* One private ZooKeeper server (Debian's zookeeper and a Java runtime) on a free port, in a
 * temporary folder. Tests that need it are left out, with the reason on stderr, where it is not
 * installed. */

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "unit.h"

#define ZK_SERVER_JAR "/usr/share/java/zookeeper.jar"

struct zk_server {
    char folder[64];
    uint16_t port;
    pid_t pid; /* 0 = none runs */
};

static inline bool zk_server_installed(void)
{
    bool there = access(ZK_SERVER_JAR, R_OK) == 0 && access("/usr/bin/java", X_OK) == 0;
    if (!there)
        fprintf(stderr, "tests with ZooKeeper are left out: %s or /usr/bin/java is missing\n",
            ZK_SERVER_JAR);
    return there;
}

/* Not one of those that the system gives to connections: it could be taken by anybody who connects
 * to anything while the server is restarted. */
static inline uint16_t zk_server_free_port(void)
{
    enum { FIRST = 10000, N = 2000 };
    for (unsigned i = 0; i < N; i++) {
        uint16_t port = (uint16_t)(FIRST + ((unsigned)getpid() * 61 + i) % N);
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        bool is_free = bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
        fd_close(fd);
        if (is_free)
            return port;
    }
    fail_msg("no port is free");
    return 0;
}

static inline bool zk_server_answers(const struct zk_server *z)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        .sin_port = htons(z->port)};
    char text[8] = "";
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good = connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && write(fd, "ruok", 4) == 4 &&
                read(fd, text, sizeof(text) - 1) == 4 && strcmp(text, "imok") == 0;
    fd_close(fd);
    return good;
}

static inline void zk_server_kill(struct zk_server *z, int signum)
{
    if (z->pid <= 0)
        return;
    kill(z->pid, signum);
    if (signum == SIGKILL) {
        waitpid(z->pid, NULL, 0);
        z->pid = 0;
    }
}

/* Starts it, again after zk_server_kill() with the same data and port. */
static inline void zk_server_start(struct zk_server *z)
{
    if (!z->folder[0]) {
        (void)snprintf(z->folder, sizeof(z->folder), "/tmp/dcos-test-zk-XXXXXX");
        assert_non_null(mkdtemp(z->folder));
        z->port = zk_server_free_port();
    }
    _cleanup_buf_ struct buf text = BUF_INIT;
    buf_printf(&text,
        "tickTime=200\ndataDir=%s/data\nclientPortAddress=127.0.0.1\nclientPort=%u\n"
        "maxClientCnxns=0\nmaxSessionTimeout=60000\nadmin.enableServer=false\n4lw.commands."
        "whitelist=ruok,srvr\n",
        z->folder, z->port);
    char config[96], log[96];
    (void)snprintf(config, sizeof(config), "%s/zoo.cfg", z->folder);
    (void)snprintf(log, sizeof(log), "%s/log", z->folder);
    assert_int_equal(file_write_atomic(config, text.p, text.n, 0644, NULL), 0);
    z->pid = fork();
    assert_true(z->pid >= 0);
    if (z->pid == 0) {
        /* A test that crashes takes it along. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!freopen(log, "ae", stdout) || dup2(STDOUT_FILENO, STDERR_FILENO) < 0)
            _exit(1);
        execl("/usr/bin/java", "java", "-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            "-XX:-UsePerfData", "-Dzookeeper.forceSync=no", "-Dzookeeper.jmx.log4j.disable=true",
            "-cp", ZK_SERVER_JAR, "org.apache.zookeeper.server.quorum.QuorumPeerMain", config,
            (char *)NULL);
        _exit(1);
    }
    const struct timespec pause = {.tv_nsec = 20000000};
    int64_t until_us = clock_monotonic_us() + 60 * USEC_PER_SEC;
    while (!zk_server_answers(z)) {
        assert_int_equal(waitpid(z->pid, NULL, WNOHANG), 0);
        assert_true(clock_monotonic_us() < until_us);
        nanosleep(&pause, NULL);
    }
}

static inline void zk_server_stop(struct zk_server *z)
{
    zk_server_kill(z, SIGCONT);
    zk_server_kill(z, SIGKILL);
    if (z->folder[0])
        assert_int_equal(remove_tree(z->folder, NULL), 0);
    z->folder[0] = '\0';
}

#endif
