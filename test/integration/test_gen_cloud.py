"""dcos-gen: templates of clouds. CloudFormation is held against cfn-lint of npm where it can be installed; what no
validator knows, the references of both templates and what hosts are told, is looked into here."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("DCOS_BUILD", os.path.join(ROOT, "build", "debug"))
GEN = os.path.join(BUILD, "src", "gen", "dcos-gen")
LINT = os.path.join(ROOT, "test", "integration", "cfn-lint")


def make(tmp_path, cloud, masters, config="bootstrap_url: https://bucket.example/dcos\n", code=0):
    (tmp_path / "config.yaml").write_text(config)
    done = subprocess.run(
        [GEN, cloud, f"--masters={masters}", "--config=config.yaml", "--output=out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": os.environ["PATH"], "BOOTSTRAP_ID": "b00"},
    )
    assert done.returncode == code, done.stderr
    if code:
        return done
    path = tmp_path / done.stdout.strip()
    with open(path, encoding="utf-8") as f:
        return str(path), json.load(f)


def check_host(text, role, stack, out):
    """A cloud-config with everything that a host needs, for a late package that is there."""
    lines = text.splitlines()
    assert lines[0] == "#cloud-config" and lines[1].startswith("packages: [curl, ")
    files = {f["path"]: f["content"] for f in (json.loads(line[2:]) for line in lines if line.startswith("- {"))}
    assert f"/etc/mesosphere/roles/{role}" in files
    assert files["/etc/mesosphere/setup-flags/repository-url"] == "https://bucket.example/dcos\n"
    list_id = files["/etc/mesosphere/setup-flags/cluster-package-list"].strip()
    assert (out / "package_lists" / f"{list_id}.package_list.json").exists()
    late = files["/etc/mesosphere/setup-flags/late-config.yaml"]
    package = re.match(r"late_bound_package_id: (\S+)\nbound_values: (.*)\n$", late)
    assert json.loads(package.group(2)) == {"cluster_name": stack}
    name = package.group(1).partition("--")[0]
    config = (out / "packages" / name / f"{package.group(1)}.dcos_config").read_text()
    assert "MESOS_CLUSTER='LATE_BIND_PLACEHOLDER_START_cluster_name_LATE_BIND_PLACEHOLDER_END'" in config
    assert "https://bucket.example/dcos/bootstrap/b00.bootstrap.tar.xz" in files["/etc/systemd/system/dcos-download.service"]
    assert lines[-1] == "- [systemctl, start, --no-block, dcos-setup.service]"
    assert len(text) < 16384


# ---- AWS ----


def walk(value):
    if isinstance(value, dict):
        yield value
        for member in value.values():
            yield from walk(member)
    elif isinstance(value, list):
        for member in value:
            yield from walk(member)


PSEUDO = {"AWS::StackName", "AWS::Region"}


@pytest.mark.parametrize("masters, name", [(1, "single-master"), (3, "multi-master"), (5, "5-master")])
def test_aws(tmp_path, masters, name):
    path, template = make(tmp_path, "aws", masters)
    assert path.endswith(f"cloudformation/{name}.cloudformation.json")
    resources, parameters = template["Resources"], template["Parameters"]
    seen = set()
    for value in walk({"Resources": resources, "Outputs": template["Outputs"]}):
        if "Ref" in value:
            assert len(value) == 1
            seen.add(value["Ref"])
        if "Fn::GetAtt" in value:
            seen.add(value["Fn::GetAtt"][0])
        if "Fn::Sub" in value:
            seen.update(re.findall(r"\$\{([^}]+)\}", value["Fn::Sub"]))
        depends = value.get("DependsOn", [])
        seen.update([depends] if isinstance(depends, str) else depends)
    assert seen <= set(resources) | set(parameters) | PSEUDO
    assert set(parameters) <= seen
    assert {"KeyName", "AdminLocation", "SlaveInstanceCount", "PublicSlaveInstanceCount", "DefaultInstanceType"} <= set(parameters)
    assert set(template["Outputs"]) == {"DnsAddress", "PublicSlaveDnsAddress"}
    machines = {n: r for n, r in resources.items() if r["Type"] == "AWS::EC2::Instance"}
    assert [m["Properties"]["PrivateIpAddress"] for m in machines.values()] == [f"10.0.4.1{i + 1}" for i in range(masters)]
    assert len(resources["MasterTargets80"]["Properties"]["Targets"]) == masters
    data = {
        "master": resources["Master1"]["Properties"]["UserData"],
        "slave": resources["SlaveLaunchTemplate"]["Properties"]["LaunchTemplateData"]["UserData"],
        "slave_public": resources["PublicSlaveLaunchTemplate"]["Properties"]["LaunchTemplateData"]["UserData"],
    }
    for role, expression in data.items():
        separator, pieces = expression["Fn::Base64"]["Fn::Join"]
        assert separator == "" and pieces[1] == {"Ref": "AWS::StackName"}
        check_host("".join("the-stack" if isinstance(p, dict) else p for p in pieces), role, "the-stack", tmp_path / "out")


@pytest.fixture(scope="module")
def lint():
    """The validator, installed once for each lock file below the build directory."""
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("node and npm are not installed: no validator of templates")
    with open(os.path.join(LINT, "package-lock.json"), "rb") as f:
        folder = os.path.join(BUILD, "cfn-lint-" + hashlib.sha256(f.read()).hexdigest()[:16])
    done = os.path.join(folder, "installed")
    if not os.path.exists(done):
        os.makedirs(folder, exist_ok=True)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(os.path.join(LINT, file), folder)
        try:
            result = subprocess.run(
                ["npm", "ci", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--ignore-scripts"], cwd=folder, timeout=300, capture_output=True, text=True
            )
        except subprocess.TimeoutExpired:
            pytest.skip("npm took longer than five minutes to install cfn-lint")
        if result.returncode != 0:
            pytest.skip("npm cannot install cfn-lint: " + result.stderr.strip()[-300:])
        with open(done, "w", encoding="utf-8"):
            pass
    program = os.path.join(folder, "node_modules", ".bin", "cfn-lint")

    def run(path):
        done = subprocess.run([program, "validate", path], capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout

    return run


@pytest.mark.parametrize("masters", [1, 3])
def test_aws_is_valid(tmp_path, lint, masters):
    path, template = make(tmp_path, "aws", masters)
    code, text = lint(path)
    assert code == 0 and "Template valid!" in text, text
    # It would have found a mistake.
    template["Resources"]["PublicSubnet"]["Properties"]["MapPublic"] = True
    with open(path, "w", encoding="utf-8") as f:
        json.dump(template, f)
    code, text = lint(path)
    assert code == 1 and "MapPublic is not a valid property of AWS::EC2::Subnet" in text


# ---- Azure ----

TOKEN = re.compile(r"\s*('(?:[^']|'')*'|[A-Za-z][A-Za-z0-9]*|[0-9]+|[(),.\[\]])")


def parse(text):
    """An expression of the resource manager: texts, numbers, calls ("call", name, arguments, members behind it)."""
    tokens, at = [], 0
    while at < len(text):
        m = TOKEN.match(text, at)
        assert m, text[at : at + 40]
        tokens.append(m.group(1))
        at = m.end()

    def one():
        token = tokens.pop(0)
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        if token.isdigit():
            return int(token)
        assert tokens.pop(0) == "("
        arguments = []
        while tokens[0] != ")":
            arguments.append(one())
            if tokens[0] == ",":
                tokens.pop(0)
        tokens.pop(0)
        members = []
        while tokens and tokens[0] == ".":
            tokens.pop(0)
            members.append(tokens.pop(0))
        return ("call", token, arguments, members)

    tree = one()
    assert not tokens
    return tree


def calls(tree):
    if isinstance(tree, tuple):
        yield tree
        for argument in tree[2]:
            yield from calls(argument)


def texts(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for member in value.values():
            yield from texts(member)
    elif isinstance(value, list):
        for member in value:
            yield from texts(member)


def value_of(tree):
    if not isinstance(tree, tuple):
        return tree
    _, name, arguments, members = tree
    if name == "concat":
        return "".join(str(value_of(a)) for a in arguments)
    if name == "base64":
        return base64.b64encode(value_of(arguments[0]).encode()).decode()
    if name == "resourceGroup" and members == ["name"]:
        return "the-group"
    raise AssertionError(name)


@pytest.mark.parametrize("masters", [1, 3, 5])
def test_azure(tmp_path, masters):
    path, template = make(tmp_path, "azure", masters)
    assert path.endswith(f"azure/dcos-{masters}master.azuredeploy.json")
    assert template["contentVersion"] == "1.0.0.0" and template["$schema"].endswith("/deploymentTemplate.json#")
    names = {(r["type"], r["name"]) for r in template["resources"]}
    assert len(names) == len(template["resources"])
    children = {("Microsoft.Network/virtualNetworks/subnets", "dcos", "nodes")}
    for resource in template["resources"]:
        assert re.match(r"^\d{4}-\d\d-\d\d$", resource["apiVersion"]) and resource["location"] == "[parameters('location')]"
        if resource["type"] == "Microsoft.Network/loadBalancers":
            for kind in ("frontendIPConfigurations", "backendAddressPools", "probes"):
                for child in resource["properties"][kind]:
                    children.add((f"Microsoft.Network/loadBalancers/{kind}", resource["name"], child["name"]))
    copies = {r["copy"]["name"] for r in template["resources"] if "copy" in r}
    used = {"parameters": set(), "variables": set()}
    for text in texts([template["resources"], template["variables"], template["outputs"]]):
        if not text.startswith("["):
            continue
        assert text.endswith("]")
        for _, name, arguments, _ in calls(parse(text[1:-1])):
            if name in used:
                used[name].add(arguments[0])
            if name == "resourceId" and len(arguments) == 3:
                assert tuple(arguments) in children
            elif name == "resourceId" and isinstance(arguments[1], str):
                assert tuple(arguments) in names
    for kind, seen in used.items():
        assert seen <= set(template[kind]), kind
    # parameters' own defaults may use others
    assert used["parameters"] == set(template["parameters"]) and used["variables"] == set(template["variables"])
    for resource in template["resources"]:
        for text in resource.get("dependsOn", []):
            if text.startswith("["):
                assert tuple(parse(text[1:-1])[2]) in names
            else:
                assert text in copies
    assert template["variables"]["masterCount"] == masters
    for variable, role in (("masterData", "master"), ("agentData", "slave"), ("publicData", "slave_public")):
        expression = template["variables"][variable]
        assert len(expression) < 24576
        check_host(base64.b64decode(value_of(parse(expression[1:-1]))).decode(), role, "the-group", tmp_path / "out")


@pytest.mark.parametrize("cloud, resolver", [("aws", "169.254.169.253"), ("azure", "168.63.129.16")])
def test_what_a_cloud_determines(tmp_path, cloud, resolver):
    make(tmp_path, cloud, 3)
    lists = list((tmp_path / "out" / "packages").glob("dcos-config/*.tar.xz"))
    assert len(lists) == 1
    text = subprocess.run(["tar", "-xJOf", str(lists[0]), "./etc/dns_config"], capture_output=True, text=True, timeout=60).stdout
    assert text == f"RESOLVERS={resolver}\n"
    done = make(tmp_path, cloud, 3, "bootstrap_url: https://x\nmaster_list: [1.1.1.1]\nplatform: onprem\ncluster_name: x\n", code=1)
    for name in ("master_list", "platform", "cluster_name"):
        assert f"{name}: {name} must be calculated, but was explicitly set in the configuration." in done.stderr
    assert "Must have 1, 3, 5, 7, or 9 masters. Found 2." in make(tmp_path, cloud, 2, code=1).stderr
    make(tmp_path, cloud, 0, code=2)
