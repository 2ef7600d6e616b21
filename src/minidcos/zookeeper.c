/* The ZooKeeper of several masters: Debian's, one server on loopback. */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "minidcos/door.h"

enum { ZOOKEEPER_PORT = 2181, TICK_MS = 500 };

static const char JAVA[] = "/usr/bin/java", JAR[] = "/usr/share/java/zookeeper.jar";

int zookeeper_plan(struct cluster *c, struct error *err)
{
    static const char *const options[] = {"-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
        "-XX:-UsePerfData", "-Dzookeeper.jmx.log4j.disable=true", "-cp"};
    if (access(JAVA, X_OK) < 0 || access(JAR, R_OK) < 0)
        return error_set(err, -ENOENT,
            "several masters need ZooKeeper: install the packages zookeeper and "
            "default-jre-headless");
    struct daemon *d = cluster_add(c, DAEMON_ZOOKEEPER, "zookeeper");
    d->ip = xstrdup("127.0.0.1");
    d->port = ZOOKEEPER_PORT;
    vec_push(&d->argv, xstrdup(JAVA));
    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        vec_push(&d->argv, xstrdup(options[i]));
    vec_push(&d->argv, xstrdup(JAR));
    vec_push(&d->argv, xstrdup("org.apache.zookeeper.server.quorum.QuorumPeerMain"));
    vec_push(&d->argv, path_join(d->work_dir, "zoo.cfg"));
    return 0;
}

int zookeeper_create(const struct cluster *c, struct error *err)
{
    const struct daemon *d = cluster_first(c, DAEMON_ZOOKEEPER);
    if (!d)
        return 0;
    _cleanup_free_ char *path = path_join(d->work_dir, "zoo.cfg");
    _cleanup_buf_ struct buf text = BUF_INIT;
    buf_printf(&text,
        "tickTime=%d\ninitLimit=20\nsyncLimit=10\ndataDir=%s/data\nclientPortAddress=%s\n"
        "clientPort=%u\nmaxClientCnxns=0\nadmin.enableServer=false\n",
        TICK_MS, d->work_dir, d->ip, d->port);
    return file_write_atomic(path, text.p, text.n, 0644, err);
}

bool zookeeper_serves(const struct daemon *d)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(d->port)};
    if (inet_pton(AF_INET, d->ip, &sin.sin_addr) != 1)
        return false;
    _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* On loopback this is answered at once. */
    return fd >= 0 && connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0;
}

char *zookeeper_masters(struct cluster *c)
{
    const struct daemon *zookeeper = cluster_first(c, DAEMON_ZOOKEEPER);
    const struct daemon *master = cluster_first(c, DAEMON_MASTER);
    if (zookeeper)
        return xasprintf("zk://%s:%u/mesos", zookeeper->ip, zookeeper->port);
    return xasprintf("%s:%u", master->ip, master->port);
}
