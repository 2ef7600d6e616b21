"""dcos-gen: templates of clouds. CloudFormation is held against cfn-lint of npm where it can be installed; what no
validator knows, the references of both templates and what hosts are told, is looked into here."""

import base64
import hashlib
import html.parser
import json
import os
import re
import shutil
import subprocess
import urllib.parse

import pytest
import yaml

from arm_rules import check_resource, load_models
from cfn_rules import INLINE_MAX, TEMPLATE_MAX, USER_DATA_MAX, check_names, check_properties, evaluate, load_spec, walk
from cloud_servers import npm

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


def files_of(text):
    return {f["path"]: f["content"] for f in (json.loads(line[2:]) for line in text.splitlines() if line.startswith("- {"))}


def check_host(text, role, stack, out, cloud):
    """A cloud-config with everything that a host needs, for packages that are there. Returns the list's id."""
    lines = text.splitlines()
    assert lines[0] == "#cloud-config" and lines[1].startswith("packages: [curl, ")
    config = yaml.safe_load(text)
    assert set(config) == {"packages", "write_files", "runcmd"}
    assert {f["path"]: f["content"] for f in config["write_files"]} == files_of(text)
    assert all(command[0] == "systemctl" for command in config["runcmd"])
    files = files_of(text)
    roles = {path.rpartition("/")[2] for path in files if path.startswith("/etc/mesosphere/roles/")}
    assert roles == {role, cloud} | ({f"{cloud}_master"} if role == "master" else set())
    assert files["/etc/mesosphere/setup-flags/repository-url"] == "https://bucket.example/dcos\n"
    list_id = files["/etc/mesosphere/setup-flags/cluster-package-list"].strip()
    ids = json.loads((out / "package_lists" / f"{list_id}.package_list.json").read_text())
    for package in ids:
        if "--setup_" in package:
            assert (out / "packages" / package.partition("--")[0] / f"{package}.tar.xz").exists()
    late = files["/etc/mesosphere/setup-flags/late-config.yaml"]
    package = re.match(r"late_bound_package_id: (\S+)\nbound_values: (.*)\n$", late)
    assert json.loads(package.group(2)) == {"cluster_name": stack}
    assert package.group(1).split("-")[2] in [i.partition("--setup_")[2] for i in ids]
    name = package.group(1).partition("--")[0]
    config = (out / "packages" / name / f"{package.group(1)}.dcos_config").read_text()
    assert "MESOS_CLUSTER='LATE_BIND_PLACEHOLDER_START_cluster_name_LATE_BIND_PLACEHOLDER_END'" in config
    assert "https://bucket.example/dcos/bootstrap/b00.bootstrap.tar.xz" in files["/etc/systemd/system/dcos-download.service"]
    assert "- [systemctl, start, --no-block, dcos-setup.service]" in lines
    assert len(text) < USER_DATA_MAX
    return list_id


# ---- AWS ----

GIVEN = {"AWS::StackName": "the-stack", "AWS::StackId": "arn:the-stack", "AWS::Region": "eu-west-1", "AWS::URLSuffix": "amazonaws.com"}
GROUPS = {"slave": "Slave", "slave_public": "PublicSlave"}
NAMES = {"single-master": 1, "multi-master": 3}


def data_of(template, role, i=1):
    if role == "master":
        return template["Resources"][f"Master{i}"]["Properties"]["UserData"]
    return template["Resources"][f"{GROUPS[role]}LaunchTemplate"]["Properties"]["LaunchTemplateData"]["UserData"]


def check_signal(text, resource, stack, masters):
    """The unit that signals, with what it needs to know."""
    files = files_of(text)
    assert "ExecStart=/opt/mesosphere/bin/dcos-cfn-signal\n" in files["/etc/systemd/system/dcos-cfn-signal.service"]
    settings = dict(line.split("=", 1) for line in files["/etc/mesosphere/setup-flags/cfn-signal.env"].splitlines())
    expected = {
        "CFN_ENDPOINT": "https://cloudformation.eu-west-1.amazonaws.com", "CFN_REGION": "eu-west-1", "CFN_STACK": stack,
        "CFN_RESOURCE": resource,
    }
    assert settings == ({**expected, "DCOS_MASTERS": masters} if masters else expected)
    assert text.splitlines()[-1] == "- [systemctl, start, --no-block, dcos-cfn-signal.service]"


def check_waits(template, parameter):
    """Each machine, or group of them, is complete when it signalled, in this stack only."""
    resources = template["Resources"]
    machines = {n: r for n, r in resources.items() if r["Type"] in ("AWS::EC2::Instance", "AWS::AutoScaling::AutoScalingGroup")}
    for name, machine in machines.items():
        count = 1 if machine["Type"] == "AWS::EC2::Instance" else {"Ref": parameter[name]}
        assert machine["CreationPolicy"] == {"ResourceSignal": {"Count": count, "Timeout": "PT45M"}}
        if machine["Type"] != "AWS::EC2::Instance":
            # CloudFormation does not wait for none.
            condition = template["Conditions"][machine["Condition"]]
            assert condition == {"Fn::Not": [{"Fn::Equals": [{"Ref": parameter[name]}, "0"]}]}
    statements = resources["SignalRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    assert statements == [{"Effect": "Allow", "Action": ["cloudformation:SignalResource"], "Resource": [{"Ref": "AWS::StackId"}]}]
    for node in walk(resources):
        if "MetadataOptions" in node:
            assert node["MetadataOptions"]["HttpTokens"] == "required"
            assert node["IamInstanceProfile"] == {"Arn": {"Fn::GetAtt": ["SignalProfile", "Arn"]}}


@pytest.mark.parametrize("masters, name", [(1, "single-master"), (3, "multi-master"), (5, "5-master")])
def test_aws(tmp_path, masters, name):
    path, template = make(tmp_path, "aws", masters)
    assert path.endswith(f"cloudformation/{name}.cloudformation.json")
    check_names(template)
    size = os.path.getsize(path)
    assert size < (INLINE_MAX if masters <= 3 else TEMPLATE_MAX)
    resources, parameters = template["Resources"], template["Parameters"]
    assert set(parameters) == {
        "KeyName", "AdminLocation", "SlaveInstanceCount", "PublicSlaveInstanceCount", "DefaultInstanceType", "ImageId",
    }
    assert set(template["Outputs"]) == {"DnsAddress", "PublicSlaveDnsAddress"}
    machines = {n: r for n, r in resources.items() if r["Type"] == "AWS::EC2::Instance"}
    assert [m["Properties"]["PrivateIpAddress"] for m in machines.values()] == [f"10.0.4.1{i + 1}" for i in range(masters)]
    assert len(resources["MasterTargets80"]["Properties"]["Targets"]) == masters
    listeners = {p: sorted(r["Properties"]["Port"] for n, r in resources.items() if re.fullmatch(p + r"Listener\d+", n)) for p in ("Master", "InternalMaster", "PublicSlave")}
    assert listeners == {"Master": [80, 443], "InternalMaster": [80, 443, 2181, 5050, 8080, 8181], "PublicSlave": [80, 443]}
    check_waits(template, {"SlaveServerGroup": "SlaveInstanceCount", "PublicSlaveServerGroup": "PublicSlaveInstanceCount"})
    balancer = {("InternalMasterLoadBalancer", "DNSName"): "internal.example"}
    for i in range(1, masters + 1):
        text = evaluate(data_of(template, "master", i), template, GIVEN, balancer)
        check_host(text, "master", "the-stack", tmp_path / "out", "aws")
        check_signal(text, f"Master{i}", "the-stack", None)
    for role, group in GROUPS.items():
        text = evaluate(data_of(template, role), template, GIVEN, balancer)
        check_host(text, role, "the-stack", tmp_path / "out", "aws")
        check_signal(text, f"{group}ServerGroup", "the-stack", "internal.example")


def make_all(tmp_path, cloud, config="bootstrap_url: https://bucket.example/dcos\n", ids='["java--1", "one--1"]'):
    """Everything for a cloud: {path below the folder: text}."""
    (tmp_path / "config.yaml").write_text(config)
    done = subprocess.run(
        [GEN, cloud, "--config=config.yaml", "--output=out", "--download-url=https://bucket.example/dcos/a b", f"--set=package_ids={ids}"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, env={"PATH": os.environ["PATH"], "BOOTSTRAP_ID": "b00"}, check=False,
    )
    assert done.returncode == 0, done.stderr
    return {line.removeprefix("out/"): (tmp_path / line).read_text() for line in done.stdout.splitlines()}


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    folder = tmp_path_factory.mktemp("aws")
    return folder / "out", make_all(folder, "aws")


def short(path):
    return path.removeprefix("cloudformation/").removesuffix(".json")


def test_aws_nested(everything):
    out, texts = everything
    templates = {short(p): json.loads(t) for p, t in texts.items() if p.endswith(".json")}
    counts = [1, 3, 5, 7]
    assert set(templates) == {
        "single-master.cloudformation", "multi-master.cloudformation", "infra", "debian-advanced-priv-agent", "debian-advanced-pub-agent",
    } | {f"debian-{kind}-{n}" for n in counts for kind in ("advanced-master", "zen")}
    for name, template in templates.items():
        check_names(template)
        assert len(texts[f"cloudformation/{name}.json"]) < TEMPLATE_MAX
    for count in counts:
        zen = templates[f"debian-zen-{count}"]
        children = zen["Resources"]
        assert list(children) == ["InfraStack", "MasterStack", "PrivateAgentStack", "PublicAgentStack"]
        templates_of = {}
        for name, child in children.items():
            assert child["Type"] == "AWS::CloudFormation::Stack"
            url = child["Properties"]["TemplateURL"]
            templates_of[name] = templates[short(url.removeprefix("https://bucket.example/dcos/a b/"))]
            # Each parameter is given, no other is; outputs that are handed on are there.
            parameters = templates_of[name]["Parameters"]
            assert set(child["Properties"]["Parameters"]) == set(parameters)
            for parameter, value in child["Properties"]["Parameters"].items():
                if isinstance(value, str):
                    assert value in parameters[parameter]["AllowedValues"]
                elif "Ref" in value and not value["Ref"].startswith("AWS::"):
                    assert value["Ref"] == parameter
                    given, wanted = zen["Parameters"][parameter], parameters[parameter]
                    assert {**given, "Type": ""} == {**wanted, "Type": ""}
                    assert given["Type"] == ("String" if wanted["Type"].startswith("AWS::SSM::") else wanted["Type"])
        for node in walk([children, zen["Outputs"]]):
            if "Fn::GetAtt" in node:
                stack, output = node["Fn::GetAtt"]
                assert output.removeprefix("Outputs.") in templates_of[stack]["Outputs"]
        given_agents = children["PrivateAgentStack"]["Properties"]["Parameters"]
        assert given_agents["InternalMasterLoadBalancerDnsName"] == {"Fn::GetAtt": ["MasterStack", "Outputs.InternalMasterLoadBalancerDnsName"]}
        assert set(zen["Outputs"]) == {"DnsAddress", "InternalMasterLoadBalancerDnsName", "PublicSlaveDnsAddress"}
        assert set(zen["Parameters"]) == {
            "KeyName", "AdminLocation", "ImageId", "MasterInstanceType", "PrivateAgentInstanceType", "PublicAgentInstanceType",
            "PrivateAgentInstanceCount", "PublicAgentInstanceCount",
        }
        master = templates_of["MasterStack"]
        machines = [n for n, r in master["Resources"].items() if r["Type"] == "AWS::EC2::Instance"]
        assert machines == [f"Master{i + 1}" for i in range(count)]
        given = {**GIVEN, "AWS::StackName": "child", "ClusterName": "the-stack", "MasterCount": str(count), "InternalMasterLoadBalancerDnsName": "internal.example"}
        ids = set()
        for i in range(1, count + 1):
            text = evaluate(data_of(master, "master", i), master, given, {})
            ids.add(check_host(text, "master", "the-stack", out, "aws"))
            check_signal(text, f"Master{i}", "child", None)
        for role, stack in (("slave", "PrivateAgentStack"), ("slave_public", "PublicAgentStack")):
            text = evaluate(data_of(templates_of[stack], role), templates_of[stack], given, {})
            # All nodes of a cluster have the same packages.
            ids.add(check_host(text, role, "the-stack", out, "aws"))
            check_signal(text, f"{GROUPS[role]}ServerGroup", "child", "internal.example")
        assert len(ids) == 1
    for name in ("debian-advanced-master-3", "debian-advanced-priv-agent", "debian-advanced-pub-agent"):
        check_waits(templates[name], {"SlaveServerGroup": "PrivateAgentInstanceCount", "PublicSlaveServerGroup": "PublicAgentInstanceCount"})


def links_of(page):
    found = []

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag == "a":
                found.append(dict(attrs)["href"])

    Reader().feed(page)
    return found


def test_aws_page(everything):
    _, texts = everything
    links = links_of(texts["aws.html"])
    seen = {}
    for link in links:
        parts = urllib.parse.urlsplit(link)
        assert parts.netloc == "console.aws.amazon.com" and parts.path == "/cloudformation/home"
        region = urllib.parse.parse_qs(parts.query)["region"][0]
        where, _, query = parts.fragment.partition("?")
        assert where == "/stacks/quickcreate"
        values = urllib.parse.parse_qs(query, strict_parsing=True)
        assert values["stackName"] == ["DCOS"]
        path = values["templateURL"][0].removeprefix("https://bucket.example/dcos/a b/")
        assert path in texts
        seen.setdefault(path, []).append(region)
    assert set(seen) == {"cloudformation/single-master.cloudformation.json", "cloudformation/multi-master.cloudformation.json"}
    for regions in seen.values():
        assert len(regions) == len(set(regions)) == 16
        assert all(re.fullmatch(r"[a-z]{2}-[a-z]+-\d", r) for r in regions)


SECRETS = """bootstrap_url: https://bucket.example/dcos
superuser_username: admin
superuser_password_hash: "$6$rounds=656000$saltsaltsalt$Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYg"
aws_template_storage_secret_access_key: do-not-show-me
"""


@pytest.mark.parametrize("cloud", ["aws", "azure"])
def test_no_secret_in_templates(tmp_path, cloud):
    texts = make_all(tmp_path, cloud, SECRETS)
    for text in texts.values():
        assert "saltsaltsalt" not in text and "do-not-show-me" not in text


@pytest.fixture(scope="module")
def spec():
    return load_spec(npm("@aws-cdk/cfnspec", "2.72.1"))


def test_aws_resources_are_as_specified(everything, spec):
    """Against Amazon's own specification of resources."""
    for path, text in everything[1].items():
        if path.endswith(".json"):
            check_properties(json.loads(text), spec)
    # It would have found mistakes.
    template = json.loads(everything[1]["cloudformation/single-master.cloudformation.json"])
    for change, message in (
        (lambda r: r["PublicSubnet"]["Properties"].update(MapPublic=True), "PublicSubnet.MapPublic is not known"),
        (lambda r: r["Vpc"]["Properties"].update(EnableDnsSupport="maybe"), "Vpc.EnableDnsSupport"),
        (lambda r: r["PublicRoute"]["Properties"].pop("RouteTableId"), "PublicRoute.RouteTableId is missing"),
        (lambda r: r["SlaveLaunchTemplate"]["Properties"]["LaunchTemplateData"].update(Key="x"), "LaunchTemplateData.Key is not known"),
    ):
        wrong = json.loads(json.dumps(template))
        change(wrong["Resources"])
        with pytest.raises(AssertionError, match=re.escape(message)):
            check_properties(wrong, spec)


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


def test_aws_is_valid(tmp_path, everything, lint):
    """By a validator that others wrote, whose list of properties is older than the metadata service's second version."""
    path = str(tmp_path / "template.json")
    for name, text in everything[1].items():
        if name.endswith(("/multi-master.cloudformation.json", "/infra.json", "master-1.json", "agent.json", "zen-3.json")):
            template = json.loads(text)
            for node in walk(template):
                node.pop("MetadataOptions", None)
            with open(path, "w", encoding="utf-8") as f:
                json.dump(template, f)
            code, said = lint(path)
            assert code == 0 and "Template valid!" in said, (name, said)
    # It would have found a mistake.
    template["Resources"]["InfraStack"]["Properties"]["Template"] = "x"
    with open(path, "w", encoding="utf-8") as f:
        json.dump(template, f)
    code, said = lint(path)
    assert code == 1 and "Template is not a valid property of AWS::CloudFormation::Stack" in said


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
        check_host(base64.b64decode(value_of(parse(expression[1:-1]))).decode(), role, "the-group", tmp_path / "out", "azure")


@pytest.fixture(scope="module")
def everything_azure(tmp_path_factory):
    return make_all(tmp_path_factory.mktemp("azure"), "azure")


def test_azure_page(everything_azure):
    names = [f"azure/dcos-{n}master.azuredeploy.json" for n in (1, 3, 5)]
    assert list(everything_azure) == [*names, "azure.html"]
    found = []
    for link in links_of(everything_azure["azure.html"]):
        start, _, uri = link.partition("/uri/")
        assert start == "https://portal.azure.com/#create/Microsoft.Template" and re.fullmatch(r"[A-Za-z0-9._~%-]+", uri)
        found.append(urllib.parse.unquote(uri).removeprefix("https://bucket.example/dcos/a b/"))
    assert found == names


def test_azure_resources_are_as_described(everything_azure, tmp_path):
    """Against Microsoft's own descriptions of resources."""
    models = {
        **load_models(npm("@azure/arm-network", "33.0.0"), tmp_path),
        **load_models(npm("@azure/arm-compute", "21.0.0"), tmp_path),
    }
    for path, text in everything_azure.items():
        if path.endswith(".json"):
            assert len(text) < 4 * 1024 * 1024
            for resource in json.loads(text)["resources"]:
                check_resource(resource, models)
    # It would have found mistakes.
    by_type = {r["type"].rpartition("/")[2]: r for r in json.loads(text_of_one(everything_azure))["resources"]}
    for kind, change, message in (
        ("virtualMachines", lambda r: r["properties"]["osProfile"].update(userData="x"), "osProfile.userData is not known"),
        ("natGateways", lambda r: r["properties"].update(provisioningState="x"), "provisioningState cannot be set"),
        ("virtualMachineScaleSets", lambda r: r["properties"]["virtualMachineProfile"]["networkProfile"]["networkInterfaceConfigurations"][0].pop("name"), "[0].name is missing"),
        ("networkSecurityGroups", lambda r: r["properties"]["securityRules"][0]["properties"].update(priority="high"), "properties.priority"),
    ):
        wrong = json.loads(json.dumps(by_type[kind]))
        change(wrong)
        with pytest.raises(AssertionError, match=re.escape(message)):
            check_resource(wrong, models)


def text_of_one(texts):
    return texts["azure/dcos-1master.azuredeploy.json"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze")
def test_units_are_understood(everything, tmp_path):
    """Every unit that a host is given, by systemd itself; its programs are not here."""
    template = json.loads(everything[1]["cloudformation/single-master.cloudformation.json"])
    text = evaluate(data_of(template, "master"), template, GIVEN, {("InternalMasterLoadBalancer", "DNSName"): "x"})
    units = []
    for path, content in files_of(text).items():
        if path.startswith("/etc/systemd/system/"):
            units.append(str(tmp_path / os.path.basename(path)))
            with open(units[-1], "w", encoding="utf-8") as f:
                f.write(re.sub(r"(?m)^(Exec\w+=)/opt/mesosphere/\S+", r"\1/bin/true", content))
    assert len(units) == 4
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and not re.search("Unknown|Failed|ignoring", done.stderr), done.stderr


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
