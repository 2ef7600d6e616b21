"""Every way in which the reference says that an app definition can be wrong: status, message, paths and texts.

A row is (rule, what differs from a good app, path, error). `JSON` rows fail while the document is read, `RULE` rows
afterwards. Each is sent in every way a definition can come: POST, PUT of one app, PUT of an array, in a group.
"""

import pytest

from cluster import Cluster
from test_marathon_api import Api

ONE_OF = "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'."
HEALTH_INDEX = "Health check port indices must address an element of the ports array or container port mappings."
CHECK_INDEX = "check port index must address an element of the ports array or container port mappings."
NETWORK_MIX = "May specify a single host network, single bridge network, or else 1-to-n container networks"
NETWORK_NAMES = (
    "networkNames must be a single item list when hostPort is specified and more than 1 container network is defined"
)
IPV6 = "IPv6 can only be used for container type DOCKER and Mesos http/https/tcp health checks"
OPERATORS = "operator must be one of the following UNIQUE, CLUSTER, GROUP_BY, LIKE, MAX_PER, UNLIKE or IS"
RESERVED = "must not end with any of the following reserved keywords: restart, tasks, versions, ., .."
MIGRATION = (
    "DCOS_PACKAGE_FRAMEWORK_NAME and DCOS_MIGRATION_API_PATH must be defined when using DCOS_MIGRATION_API_VERSION"
)
IS_TEXT = (
    "IS only supports Mesos text and float values (see "
    "https://mesos.apache.org/documentation/latest/attributes-resources/)"
)
NO_SECRETS = "use of secret-references in the environment requires the secrets feature to be enabled"


def feature(name):
    return f"Feature {name} is not enabled. Enable with --enable_features {name})"


def docker(**more):
    return {"container": {"type": "DOCKER", "docker": {"image": "i", **more}}}


def mesos(**more):
    return {"container": {"type": "MESOS", **more}}


def volume(**more):
    return mesos(volumes=[{"containerPath": "d", "mode": "RW", **more}])


def persistent(**more):
    return volume(persistent={"size": 10, **more})


def external(provider_options=None, **more):
    options = {"dvdi/driver": "rexray"} if provider_options is None else provider_options
    return volume(external={"name": "v", "provider": "dvdi", "options": options, **more})


def csi(mode="RW", access="SINGLE_NODE_WRITER", shared=False, **more):
    options = {"pluginName": "p", "capability": {"accessMode": access, "accessType": "mount"}}
    entry = {"containerPath": "d", "mode": mode,
             "external": {"name": "v", "provider": "csi", "shared": shared, "options": options}}
    return {**mesos(volumes=[entry]), **more}


def health(**more):
    return {"healthChecks": [more]}


def upgrade(low, over):
    return {"upgradeStrategy": {"minimumHealthCapacity": low, "maximumOverCapacity": over}}


JSON = [
    # Types
    ("id type", {"id": 1}, "/id", "error.expected.jsstring"),
    ("cmd type", {"cmd": []}, "/cmd", "error.expected.jsstring"),
    ("args type", {"args": "x"}, "/args", "error.expected.jsarray"),
    ("args element", {"args": [1]}, "/args(0)", "error.expected.jsstring"),
    ("cpus type", {"cpus": "1"}, "/cpus", "error.expected.jsnumber"),
    ("instances type", {"instances": "1"}, "/instances", "error.expected.jsnumber"),
    ("labels type", {"labels": []}, "/labels", "error.expected.jsobject"),
    ("label value", {"labels": {"a": 1}}, "/labels/a", "error.expected.jsstring"),
    ("env type", {"env": 1}, "/env", "error.expected.jsobject"),
    ("env value", {"env": {"A": 1}}, "/env/A", "error.expected.jsstring"),
    ("requirePorts type", {"requirePorts": 1}, "/requirePorts", "error.expected.jsboolean"),
    ("tty type", {"tty": "x"}, "/tty", "error.expected.jsboolean"),
    ("container type", {"container": 1}, "/container", "error.expected.jsobject"),
    ("constraints type", {"constraints": [1]}, "/constraints(0)", "error.expected.jsarray"),
    ("constraint element", {"constraints": [["a", 1]]}, "/constraints(0)(1)", "error.expected.jsstring"),
    ("healthChecks type", {"healthChecks": {}}, "/healthChecks", "error.expected.jsarray"),
    ("dependencies element", {"dependencies": [1]}, "/dependencies(0)", "error.expected.jsstring"),
    # Limits of the field table
    ("id pattern", {"id": "/A"}, "/id", "error.pattern"),
    ("id underscore", {"id": "/a_b"}, "/id", "error.pattern"),
    ("id dot", {"id": "."}, "/id", "error.pattern"),
    ("id length", {"id": ""}, "/id", "error.minLength"),
    ("cmd length", {"cmd": ""}, "/cmd", "error.minLength"),
    ("instances min", {"instances": -1}, "/instances", "error.min"),
    ("cpus min", {"cpus": 0}, "/cpus", "error.min"),
    ("mem min", {"mem": -1}, "/mem", "error.min"),
    ("disk min", {"disk": -1}, "/disk", "error.min"),
    ("gpus min", {"gpus": -1}, "/gpus", "error.min"),
    ("executor pattern", {"executor": "/a/"}, "/executor", "error.pattern"),
    ("executorResources cpus", {"executorResources": {"cpus": 0.01}}, "/executorResources/cpus", "error.min"),
    ("executorResources mem", {"executorResources": {"mem": 31}}, "/executorResources/mem", "error.min"),
    ("executorResources disk", {"executorResources": {"disk": 9}}, "/executorResources/disk", "error.min"),
    ("resource limit", {"resourceLimits": {"cpus": "x"}}, "/resourceLimits/cpus",
     "'x' is an invalid resource limit. It must be 'unlimited' or a number"),
    ("acceptedResourceRoles empty", {"acceptedResourceRoles": []}, "/acceptedResourceRoles", "error.minLength"),
    ("role length", {"role": ""}, "/role", "error.minLength"),
    ("backoffSeconds min", {"backoffSeconds": -1}, "/backoffSeconds", "error.min"),
    ("backoffFactor min", {"backoffFactor": 0.5}, "/backoffFactor", "error.min"),
    ("maxLaunchDelaySeconds min", {"maxLaunchDelaySeconds": -1}, "/maxLaunchDelaySeconds", "error.min"),
    ("fetch uri length", {"fetch": [{"uri": "u" * 1025}]}, "/fetch(0)/uri", "error.maxLength"),
    ("taskKillGracePeriodSeconds min", {"taskKillGracePeriodSeconds": -1}, "/taskKillGracePeriodSeconds",
     "error.min"),
    ("minimumHealthCapacity max", upgrade(1.2, 0), "/upgradeStrategy/minimumHealthCapacity", "error.max"),
    ("minimumHealthCapacity min", upgrade(-0.1, 0), "/upgradeStrategy/minimumHealthCapacity", "error.min"),
    ("maximumOverCapacity max", upgrade(0, 1.2), "/upgradeStrategy/maximumOverCapacity", "error.max"),
    ("maximumOverCapacity min", upgrade(0, -1), "/upgradeStrategy/maximumOverCapacity", "error.min"),
    ("inactiveAfterSeconds min", {"unreachableStrategy": {"inactiveAfterSeconds": -1}},
     "/unreachableStrategy/inactiveAfterSeconds", "error.min"),
    ("expungeAfterSeconds min", {"unreachableStrategy": {"expungeAfterSeconds": -1}},
     "/unreachableStrategy/expungeAfterSeconds", "error.min"),
    ("killSelection enum", {"killSelection": "X"}, "/killSelection", "error.unknown.enum.literal"),
    ("container type enum", {"container": {"type": "X"}}, "/container/type", "error.unknown.enum.literal"),
    ("image length", docker(image=""), "/container/docker/image", "error.minLength"),
    ("parameter key", docker(parameters=[{"key": "", "value": "v"}]), "/container/docker/parameters(0)/key",
     "error.minLength"),
    ("volume mode enum", volume(mode="XX", hostPath="/x"), "/container/volumes(0)/mode", "error.unknown.enum.literal"),
    ("persistent type enum", persistent(type="x"), "/container/volumes(0)/persistent/type",
     "error.unknown.enum.literal"),
    ("network mode enum", {"networks": [{"mode": "x"}]}, "/networks(0)/mode", "error.unknown.enum.literal"),
    ("network name length", {"networks": [{"name": "n" * 64}]}, "/networks(0)/name", "error.pattern"),
    ("port max", {"portDefinitions": [{"port": 70000}]}, "/portDefinitions(0)/port", "error.max"),
    ("port min", {"portDefinitions": [{"port": -1}]}, "/portDefinitions(0)/port", "error.min"),
    ("port name", {"portDefinitions": [{"name": "A_"}]}, "/portDefinitions(0)/name", "error.pattern"),
    ("port protocol", {"portDefinitions": [{"protocol": "x"}]}, "/portDefinitions(0)/protocol",
     "error.unknown.enum.literal"),
    ("health protocol enum", health(protocol="X"), "/healthChecks(0)/protocol", "error.unknown.enum.literal"),
    ("health ipProtocol enum", health(ipProtocol="X"), "/healthChecks(0)/ipProtocol", "error.unknown.enum.literal"),
    ("health portIndex min", health(portIndex=-1), "/healthChecks(0)/portIndex", "error.min"),
    ("readiness at most one", {"readinessChecks": [{}, {}]}, "/readinessChecks", "error.maxLength"),
    ("readiness status min", {"readinessChecks": [{"httpStatusCodesForReady": [99]}]},
     "/readinessChecks(0)/httpStatusCodesForReady(0)", "error.min"),
    ("readiness status max", {"readinessChecks": [{"httpStatusCodesForReady": [1000]}]},
     "/readinessChecks(0)/httpStatusCodesForReady(0)", "error.max"),
    ("readiness protocol enum", {"readinessChecks": [{"protocol": "TCP"}]}, "/readinessChecks(0)/protocol",
     "error.unknown.enum.literal"),
    ("ipc mode enum", mesos(linuxInfo={"ipcInfo": {"mode": "X"}}), "/container/linuxInfo/ipcInfo/mode",
     "error.unknown.enum.literal"),
]

TWO_NETWORKS = [{"mode": "container", "name": "x"}, {"mode": "container", "name": "y"}]
RULE = [
    ("id reserved restart", {"id": "/a/restart"}, "/id", RESERVED),
    ("id reserved tasks", {"id": "/a/tasks"}, "/id", RESERVED),
    ("id reserved versions", {"id": "/a/versions"}, "/id", RESERVED),
    ("cmd of one character", {"cmd": "x"}, "/cmd", "must not be an empty string"),
    ("neither cmd nor args", {"cmd": None}, "/", ONE_OF),
    ("both cmd and args", {"args": ["x"]}, "/", ONE_OF),
    ("container without image", {"cmd": None, **mesos()}, "/", ONE_OF),
    ("docker check", {**docker(), "check": {"exec": {"command": {"shell": "true"}}}}, "/",
     "AppDefinition must not use 'checks' if using docker"),
    ("DOCKER without docker", {"container": {"type": "DOCKER"}}, "/container/docker", "not defined"),
    ("docker credential", docker(credential={"principal": "x"}), "/container/docker/credential", "must be empty"),
    ("docker pullConfig", docker(pullConfig={"secret": "s"}), "/container/docker/pullConfig",
     "pullConfig is not supported with Docker containerizer"),
    ("pullConfig secret", {"container": {"type": "MESOS", "docker": {"image": "i", "pullConfig": {"secret": "s"}}}},
     "/container/docker/pullConfig/secret", "pullConfig.secret must refer to an existing secret"),
    # Ports and networks
    ("port names", {"portDefinitions": [{"name": "a"}, {"name": "a"}]}, "/portDefinitions",
     "Port names must be unique."),
    ("port numbers", {"portDefinitions": [{"port": 9}, {"port": 9}]}, "/portDefinitions", "Ports must be unique."),
    ("mapping names", {"networks": [{"mode": "container/bridge"}],
                       **mesos(portMappings=[{"name": "a"}, {"name": "a"}])},
     "/container/portMappings", "Port names must be unique."),
    ("mapping numbers", {"networks": [{"mode": "container/bridge"}],
                         **mesos(portMappings=[{"hostPort": 9}, {"hostPort": 9}])},
     "/container/portMappings", "Ports must be unique."),
    ("mappings in host mode", mesos(portMappings=[{"containerPort": 80}]), "/container/portMappings",
     "portMappings are not allowed with host-networking"),
    ("host network name", {"networks": [{"mode": "host", "name": "x"}]}, "/networks(0)",
     "Host networks may not have names or labels"),
    ("host network labels", {"networks": [{"mode": "host", "labels": {"a": "b"}}]}, "/networks(0)",
     "Host networks may not have names or labels"),
    ("bridge network name", {"networks": [{"mode": "container/bridge", "name": "x"}]}, "/networks(0)",
     "Bridge networks may not have names"),
    ("duplicate networks", {"networks": [{"name": "x"}, {"name": "x"}]}, "/networks",
     "Duplicate networks are not allowed"),
    ("mixed networks", {"networks": [{"mode": "host"}, {"mode": "container/bridge"}]}, "/networks", NETWORK_MIX),
    ("two host networks", {"networks": [{"mode": "host"}, {"mode": "host"}]}, "/networks", NETWORK_MIX),
    ("network without name", {"networks": [{"mode": "container"}]}, "/networks(0)",
     "Network name must be specified when container network is selected."),
    ("docker with two networks", {**docker(), "networks": TWO_NETWORKS}, "/networks",
     "may only specify a single container network when using the Docker container engine"),
    ("hostPort on two networks", {"networks": TWO_NETWORKS, **mesos(portMappings=[{"hostPort": 0}])},
     "/container/portMappings(0)/networkNames", NETWORK_NAMES),
    ("unknown network of a mapping", {"networks": TWO_NETWORKS, **mesos(portMappings=[{"networkNames": ["z"]}])},
     "/container/portMappings(0)/networkNames(0)", "is not one of (x,y)"),
    # Deprecated fields
    ("uris and fetch", {"uris": ["http://a"], "fetch": [{"uri": "http://b"}]}, "/uris",
     "may not be set in conjunction with fetch"),
    ("ports and portDefinitions", {"ports": [1], "portDefinitions": [{"port": 2}]}, "/",
     "cannot specify both ports and port definitions"),
    ("ports twice", {"ports": [5, 5]}, "/ports", "ports must be unique"),
    ("discovery in docker", {**docker(), "ipAddress": {"networkName": "x", "discovery": {"ports": [
        {"number": 80, "name": "a", "protocol": "tcp"}]}}},
     "/ipAddress/discovery", "ipAddress/discovery is not allowed for Docker containers"),
    ("networks and docker.network", {**docker(network="BRIDGE"), "networks": [{"mode": "host"}]}, "/",
     "must not specify both container.docker.network and networks"),
    ("networks and ipAddress", {"ipAddress": {}, "networks": [{"mode": "host"}]}, "/",
     "must not specify both networks and ipAddress"),
    ("ipAddress and ports", {"ipAddress": {"networkName": "x"}, "portDefinitions": [{"port": 1}]}, "/",
     "cannot specify both an IP address and port"),
    ("fetch uri", {"fetch": [{"uri": "a b"}]}, "/fetch(0)/uri", "URI has invalid syntax."),
    # Checks
    ("health index", health(portIndex=3), "/healthChecks(0)", HEALTH_INDEX),
    ("health index without ports", {"portDefinitions": [], **health(portIndex=0)}, "/healthChecks(0)", HEALTH_INDEX),
    ("health tcp index", health(protocol="TCP", portIndex=1), "/healthChecks(0)", HEALTH_INDEX),
    ("health mesos index", health(protocol="MESOS_HTTP", portIndex=1), "/healthChecks(0)", HEALTH_INDEX),
    ("check index", {"check": {"tcp": {"portIndex": 4}}}, "/check", CHECK_INDEX),
    ("two Mesos checks", {"healthChecks": [{"protocol": "MESOS_TCP"}, {"protocol": "MESOS_HTTP"}]}, "/healthChecks",
     "AppDefinition can contain at most one Mesos health check"),
    ("IPv6 without docker", health(protocol="MESOS_TCP", ipProtocol="IPv6"), "/healthChecks(0)", IPV6),
    ("IPv6 from Marathon", {**docker(), **health(protocol="TCP", ipProtocol="IPv6")}, "/healthChecks(0)", IPV6),
    ("readiness port name", {"readinessChecks": [{"portName": "x"}]}, "/readinessChecks(0)/portName",
     "No port definition reference for portName x"),
    ("readiness timeout", {"portDefinitions": [{"name": "x"}],
                           "readinessChecks": [{"portName": "x", "intervalSeconds": 5, "timeoutSeconds": 5}]},
     "/readinessChecks(0)/timeoutSeconds", "got 5, expected less than 5"),
    ("readiness interval", {"portDefinitions": [{"name": "x"}],
                            "readinessChecks": [{"portName": "x", "intervalSeconds": 0, "timeoutSeconds": 0}]},
     "/readinessChecks(0)/intervalSeconds", "got 0, expected more than 0"),
    # Volumes
    ("host path", volume(hostPath=""), "/container/volumes(0)/hostPath", "must not be empty"),
    ("volume secret", mesos(volumes=[{"containerPath": "d", "secret": "s"}]), "/container/volumes(0)/secret",
     "volume.secret must refer to an existing secret"),
    ("volume names", mesos(volumes=[external()["container"]["volumes"][0]] * 2), "/container/volumes",
     "Volume names must be unique"),
    ("persistent path", volume(containerPath="a/b", persistent={"size": 1}), "/container/volumes(0)/containerPath",
     'value must not contain "/"'),
    ("persistent mode", volume(mode="RO", persistent={"size": 1}), "/container/volumes(0)/mode", "got RO, expected RW"),
    ("persistent size", persistent(size=0), "/container/volumes(0)/persistent/size", "got 0, expected more than 0"),
    ("maxSize of a root volume", persistent(maxSize=20), "/container/volumes(0)/persistent",
     "Only mount volumes can have maxSize"),
    ("maxSize too small", persistent(type="mount", maxSize=10), "/container/volumes(0)/persistent",
     "Max size must be larger than size"),
    ("constraints of a root volume", persistent(constraints=[["path", "LIKE", "x"]]),
     "/container/volumes(0)/persistent/constraints", "Constraints on root volumes are not supported"),
    ("volume operator", persistent(type="mount", constraints=[["path", "IS", "x"]]),
     "/container/volumes(0)/persistent/constraints(0)", "Operator must be one of LIKE, UNLIKE"),
    ("volume expression", persistent(type="mount", constraints=[["path", "LIKE", "["]]),
     "/container/volumes(0)/persistent/constraints(0)", "Invalid regular expression"),
    ("resident over capacity", {**persistent(), **upgrade(0.5, 1)}, "/upgradeStrategy/maximumOverCapacity",
     "got 1.0, expected 0.0"),
    ("resident unreachable", {**persistent(), "unreachableStrategy": {}}, "/unreachableStrategy",
     "unreachableStrategy must be disabled for resident tasks"),
    ("resident roles", {**persistent(), "acceptedResourceRoles": ["x"]}, "/acceptedResourceRoles",
     'A resident app must have `acceptedResourceRoles = ["*"]`.'),
    ("resident role", persistent(), "/role", "Resident apps cannot have the role *"),
    ("external feature", external(), "/container/volumes(0)", feature("external_volumes")),
    ("external provider", external(provider="x"), "/container/volumes(0)/external/provider", "is unknown provider"),
    ("dvdi driver", external({}), "/container/volumes(0)/external/options/dvdi/driver", "not defined"),
    ("dvdi instances", {**external(), "instances": 2}, "/",
     "Number of instances is limited to 1 when declaring DVDI volumes in app [/bad]"),
    ("dvdi mode", mesos(volumes=[{**external()["container"]["volumes"][0], "mode": "RO"}]),
     "/container/volumes(0)/mode", "got RO, expected RW"),
    ("dvdi size in docker", {"container": {**docker()["container"], **{
        "volumes": external(size=3)["container"]["volumes"]}}}, "/container/volumes(0)/external/size", "must be empty"),
    ("external over capacity", {**external(), **upgrade(0.5, 1)}, "/upgradeStrategy/maximumOverCapacity",
     "got 1.0, expected 0.0"),
    ("csi not shareable", csi(instances=2), "/instances",
     "got 2, expected 1 or less while non-shareable CSI volumes are defined"),
    ("csi single writer", csi(access="MULTI_NODE_SINGLE_WRITER", shared=True, instances=2), "/instances",
     "got 2, expected 1 or less while a multi-node single-writer volume is defined mounted as read/write"),
    ("csi read only", csi(access="MULTI_NODE_READER_ONLY", shared=True), "/container/volumes(0)/mode",
     "CSI volume must be mounted readonly with a read-only access mode"),
    # Everything else
    ("unreachable order", {"unreachableStrategy": {"inactiveAfterSeconds": 2, "expungeAfterSeconds": 1}},
     "/unreachableStrategy/inactiveAfterSeconds",
     "inactiveAfterSeconds (2) must be less or equal to expungeAfterSeconds, which is 1"),
    ("single instance", {"labels": {"MARATHON_SINGLE_INSTANCE_APP": "true"}, "instances": 2}, "/instances",
     "Single instance app may only have one instance"),
    ("single instance minimum", {"labels": {"MARATHON_SINGLE_INSTANCE_APP": "true"}, **upgrade(1, 0)},
     "/upgradeStrategy/minimumHealthCapacity", "got 1.0, expected 0.0"),
    ("single instance over capacity", {"labels": {"MARATHON_SINGLE_INSTANCE_APP": "true"}, **upgrade(0, 1)},
     "/upgradeStrategy/maximumOverCapacity", "got 1.0, expected 0.0"),
    ("migration labels", {"labels": {"DCOS_MIGRATION_API_VERSION": "v1"}}, "/labels", MIGRATION),
    ("migration version", {"labels": {"DCOS_MIGRATION_API_VERSION": "v2", "DCOS_PACKAGE_FRAMEWORK_NAME": "x",
                                      "DCOS_MIGRATION_API_PATH": "/x"}}, "/labels", "got v2, expected v1"),
    ("gpus", {"gpus": 1}, "/gpus", feature("gpu_resources")),
    ("gpus in docker", {**docker(), "gpus": 1}, "/gpus", "GPU resources only work with the Mesos containerizer"),
    ("secrets", {"secrets": {"s": {"source": "x"}}}, "/secrets", feature("secrets")),
    ("secret source", {"secrets": {"s": {"source": ""}}}, "/secrets/s/source", "must not be empty"),
    ("secret name", {"secrets": {"": {"source": "x"}}}, "/secrets()", "must not be empty"),
    ("env secret", {"env": {"A": {"secret": "s"}}}, "/env/A/secret", "references an undefined secret"),
    ("env secrets feature", {"env": {"A": {"secret": "s"}}}, "/env", NO_SECRETS),
    ("env name", {"env": {"": "x"}}, "/env()", "must not be empty"),
    ("limit below request", {"cpus": 2, "resourceLimits": {"cpus": 1}}, "/resourceLimits/cpus",
     "resource limit must be greater than or equal to requested resource (2.0)"),
    ("mem limit below request", {"mem": 64, "resourceLimits": {"mem": 1}}, "/resourceLimits/mem",
     "resource limit must be greater than or equal to requested resource (64.0)"),
    ("constraint of one field", {"constraints": [["hostname"]]}, "/constraints(0)",
     "Each constraint must have either 2 or 3 fields"),
    ("constraint of four fields", {"constraints": [["hostname", "IS", "a", "b"]]}, "/constraints(0)",
     "Each constraint must have either 2 or 3 fields"),
    ("constraint operator", {"constraints": [["hostname", "X"]]}, "/constraints(0)", OPERATORS),
    ("constraint field", {"constraints": [["", "UNIQUE"]]}, "/constraints(0)",
     "missing field for constraint declaration"),
    ("UNIQUE", {"constraints": [["hostname", "UNIQUE", "x"]]}, "/constraints(0)", "UNIQUE does not accept a value"),
    ("GROUP_BY", {"constraints": [["rack", "GROUP_BY", "x"]]}, "/constraints(0)",
     "GROUP BY must define an integer value or else no value at all"),
    ("MAX_PER", {"constraints": [["rack", "MAX_PER", "x"]]}, "/constraints(0)", "MAX_PER requires an integer value"),
    ("MAX_PER without value", {"constraints": [["rack", "MAX_PER"]]}, "/constraints(0)",
     "MAX_PER requires an integer value"),
    ("LIKE without value", {"constraints": [["rack", "LIKE"]]}, "/constraints(0)",
     "LIKE and UNLIKE require a non-empty, regular expression value"),
    ("UNLIKE without value", {"constraints": [["rack", "UNLIKE", ""]]}, "/constraints(0)",
     "LIKE and UNLIKE require a non-empty, regular expression value"),
    ("LIKE expression", {"constraints": [["rack", "LIKE", "["]]}, "/constraints(0)", "is not a valid regular expression"),
    ("IS value", {"constraints": [["rack", "IS", "[1-2]"]]}, "/constraints(0)", IS_TEXT),
    ("role", {"role": "other"}, "/role", "got other, expected one of: [*]"),
    ("acceptedResourceRoles", {"acceptedResourceRoles": ["x"]}, "/acceptedResourceRoles",
     "acceptedResourceRoles can only contain * and *"),
    ("seccomp both", mesos(linuxInfo={"seccomp": {"profileName": "p", "unconfined": True}}),
     "/container/linuxInfo/seccomp", "Seccomp unconfined can NOT be true when Profile is defined"),
    ("seccomp neither", mesos(linuxInfo={"seccomp": {"unconfined": False}}), "/container/linuxInfo/seccomp",
     "Seccomp unconfined must be true when Profile is NOT defined"),
    ("shmSize of the parent", mesos(linuxInfo={"ipcInfo": {"mode": "SHARE_PARENT", "shmSize": 1}}),
     "/container/linuxInfo/ipcInfo", "ipcInfo shmSize can NOT be set when mode is SHARE_PARENT"),
]


@pytest.fixture(scope="module")
def api():
    c = Cluster()
    master = c.master()
    yield Api(c.marathon(master))
    c.close()


def definition(change):
    app = {"id": "/bad", "cmd": "sleep 100", **change}
    return {k: v for k, v in app.items() if v is not None}


def below(prefix, path):
    return prefix + path if path != "/" or not prefix else prefix


def check(r, message, path, error):
    assert r.status_code == 422, r.text
    body = r.json()
    assert body["message"] == message, body
    assert (path, error) in [(d["path"], e) for d in body["details"] for e in d["errors"]], body


def sends(api, app, names_id):
    """(prefix of paths, answer) for each way to send the definition."""
    yield "", api("POST", "/v2/apps", app)
    yield "(0)", api("PUT", "/v2/apps?partialUpdate=false", [app])
    yield "(1)", api("PUT", "/v2/apps?partialUpdate=false", [{"id": "/good", "cmd": "sleep 1"}, app])
    if names_id:
        return
    yield "", api("PUT", "/v2/apps//bad", app)
    yield "", api("PUT", "/v2/apps//bad?partialUpdate=false", app)
    yield "", api("PATCH", "/v2/apps//bad", app)
    yield "(0)", api("PUT", "/v2/apps", [app])
    yield "/apps(0)", api("PUT", "/v2/groups", {"apps": [app]})


ROWS = [("Invalid JSON", *row) for row in JSON] + [("Object is not valid", *row) for row in RULE]


@pytest.mark.parametrize("message,rule,change,path,error", ROWS, ids=[row[1].replace(" ", "-") for row in ROWS])
def test_row(api, message, rule, change, path, error):
    for prefix, r in sends(api, definition(change), "id" in change):
        check(r, message, below(prefix, path), error)
    assert api.ok("GET", "/v2/apps") == {"apps": []}


# What can only be wrong with a part of the rules: an existing app, a group, a list.
@pytest.fixture
def existing(api):
    api.ok("POST", "/v2/apps", {"id": "/ok", "cmd": "sleep 100", "instances": 0})
    yield "/ok"
    api.ok("DELETE", "/v2/groups?force=true")


PARTIAL = [row for row in ROWS if "id" not in row[2] and "cmd" not in row[2] and row[1] not in (
    # A partial update keeps the command of the app, and is not checked for old and new fields together.
    "ports and portDefinitions", "ipAddress and ports", "dvdi instances")]


@pytest.mark.parametrize("message,rule,change,path,error", PARTIAL, ids=[r[1].replace(" ", "-") for r in PARTIAL])
def test_partial_update(api, existing, message, rule, change, path, error):
    for method in ("PUT", "PATCH"):
        check(api(method, "/v2/apps//ok", change), message, path, error)
        check(api(method, "/v2/apps", [{"id": "/ok", **change}]), message, below("(0)", path), error)
    assert api.ok("GET", "/v2/apps//ok")["app"]["instances"] == 0


def test_several_at_once_are_grouped(api):
    r = api("POST", "/v2/apps", {"id": "/bad", "cmd": "sleep 1", "constraints": [["a"], ["a", "X"]],
                                 "portDefinitions": [{"name": "a", "port": 9}, {"name": "a", "port": 9}]})
    assert r.status_code == 422
    assert r.json()["details"] == [
        {"path": "/constraints(0)", "errors": ["Each constraint must have either 2 or 3 fields"]},
        {"path": "/constraints(1)", "errors": [OPERATORS]},
        {"path": "/portDefinitions", "errors": ["Port names must be unique.", "Ports must be unique."]}]


def test_groups(api):
    def refused(method, path, body, at, error, message="Object is not valid"):
        check(api(method, path, body), message, at, error)

    app = {"id": "x", "cmd": "sleep 1"}
    refused("POST", "/v2/groups", {"id": "/g", "apps": [{**app, "id": "/other/x"}]}, "/apps(0)/id",
            "Identifier is not child of '/g'")
    refused("POST", "/v2/groups", {"id": "/g", "groups": [{"id": "/other"}]}, "/groups(0)",
            "Identifier is not child of '/g'")
    refused("POST", "/v2/groups", {"id": "/g", "apps": [app, app]}, "/",
            "Applications and Pods may not share the same id")
    refused("POST", "/v2/groups", {"id": "/g", "apps": [app], "groups": [{"id": "x"}]}, "/g",
            "Groups and Applications may not have the same identifier.")
    refused("POST", "/v2/groups", {"id": "/g", "apps": [{**app, "dependencies": ["x"]}]}, "/",
            "Dependency graph has cyclic dependencies.")
    refused("POST", "/v2/groups", {"id": "/g", "groups": [{"id": "h", "enforceRole": True}]}, "/",
            "enforceRole can only be set for top-level groups, and /g/h is not top-level")
    refused("POST", "/v2/groups", {"id": "/g", "groups": [{"id": "h", "apps": [{**app, "cpus": "x"}]}]},
            "/groups(0)/apps(0)/cpus", "error.expected.jsnumber", "Invalid JSON")
    refused("POST", "/v2/groups", {"id": "/g", "groups": [{"id": "h", "apps": [{**app, "cmd": "x"}]}]},
            "/groups(0)/apps(0)/cmd", "must not be an empty string")
    refused("PUT", "/v2/groups/g", {"scaleBy": -1}, "/scaleBy", "error.min", "Invalid JSON")
    refused("PUT", "/v2/groups/g", {"scaleBy": 2, "apps": []}, "/scaleBy",
            "not allowed in conjunction with other properties.")
    api.ok("POST", "/v2/groups", {"id": "/g"})
    refused("PUT", "/v2/groups/g", {"id": "/g", "enforceRole": True, "apps": [app]}, "/enforceRole",
            "enforceRole cannot be modified in a request that adds, removes or modifies services; "
            "please make these changes in separate requests.")
    api.ok("POST", "/v2/groups", {"id": "/g/h"})
    refused("PATCH", "/v2/groups/g/h", {"enforceRole": True}, "/id", "Path needs to be top-level")
    r = api("PUT", "/v2/groups/g", {"version": "2020-01-01T00:00:00.000Z"})
    assert r.status_code == 422 and r.json()["message"] == (
        "Group /g not available in version 2020-01-01T00:00:00.000Z")
    api.ok("DELETE", "/v2/groups")


def test_updates_only(api, existing):
    r = api("PUT", "/v2/apps//ok", {"version": "2020-01-01T00:00:00.000Z", "cmd": "sleep 3"})
    check(r, "Object is not valid", "/", "The 'version' field may only be combined with the 'id' field.")
    r = api("PUT", "/v2/apps", [{"cmd": "sleep 3"}])
    assert (r.status_code, r.json()) == (422, {"message": "requirement failed: App Update must have app id set"})
    for body in ({}, '"x"', 3):
        check(api("PUT", "/v2/apps", body), "Invalid JSON", "", "error.expected.jsarray")
    check(api("PUT", "/v2/apps", [3]), "Invalid JSON", "(0)", "error.expected.jsobject")
    check(api("POST", "/v2/apps", []), "Invalid JSON", "", "error.expected.jsobject")
    r = api("PUT", "/v2/apps//ok", {"version": "x"})
    assert (r.status_code, r.json()) == (
        422, {"message": "Invalid timestamp provided 'x'. Expecting ISO-8601 datetime string."})


# What looks wrong and is not.
GOOD = [
    ("lower case operator", {"constraints": [["hostname", "unique"]]}),
    ("GROUP_BY inf", {"constraints": [["rack", "GROUP_BY", "inf"]]}),
    ("unlimited", {"resourceLimits": {"cpus": "unlimited", "mem": 200}}),
    ("command checks", {"healthChecks": [{"protocol": "COMMAND", "command": {"value": "true"}}] * 2}),
    ("zero ports", {"portDefinitions": [{"port": 0}, {"port": 0}]}),
    ("image alone", {"cmd": None, **docker()}),
    ("health by port", {"portDefinitions": [], **health(port=80)}),
    ("health without index", health()),
    ("tcp,udp", {"portDefinitions": [{"protocol": "tcp,udp"}]}),
    ("single instance", {"labels": {"MARATHON_SINGLE_INSTANCE_APP": "true"}}),
    ("unknown dependency", {"dependencies": ["/nobody"]}),
    ("unknown fields", {"surprise": {"x": 1}}),
    ("IPv6 in docker", {**docker(), **health(protocol="MESOS_TCP", ipProtocol="IPv6")}),
    ("disabled", {"unreachableStrategy": "disabled"}),
]


@pytest.mark.parametrize("rule,change", GOOD, ids=[row[0].replace(" ", "-") for row in GOOD])
def test_good(api, rule, change):
    r = api("POST", "/v2/apps", definition({**change, "id": "/good", "instances": 0}))
    assert r.status_code == 201, r.text
    api.ok("DELETE", "/v2/groups?force=true")


def test_dry_run(api):
    """The plan comes in the order of dependencies, and nothing happens."""
    apps = [{"id": "b", "cmd": "sleep 1", "dependencies": ["a"]}, {"id": "a", "cmd": "sleep 1"}]
    plan = api.ok("PUT", "/v2/groups/g?dryRun=true", {"apps": apps})
    named = [[(a["action"], a["app"]) for a in s["actions"]] for s in plan["steps"]]
    assert [sorted(s) for s in named] == [
        [("StartApplication", "/g/a"), ("StartApplication", "/g/b")], [("ScaleApplication", "/g/a")],
        [("ScaleApplication", "/g/b")]]
    r = api("PUT", "/v2/groups/g?dryRun=true", {"apps": [{**apps[1], "dependencies": ["b"]}, apps[0]]})
    assert r.status_code == 422 and "cyclic" in r.text
    assert api("GET", "/v2/groups/g").status_code == 404 and api.ok("GET", "/v2/deployments") == []
