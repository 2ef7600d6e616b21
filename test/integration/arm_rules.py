"""What the Azure Resource Manager takes in the resources of a template, by the descriptions of its interface in Microsoft's
packages for JavaScript: names, kinds, what must be there and what cannot be given."""

import json
import os
import re
import shutil
import subprocess

CLASSES = {
    "Microsoft.Network/networkSecurityGroups": "NetworkSecurityGroup",
    "Microsoft.Network/publicIPAddresses": "PublicIPAddress",
    "Microsoft.Network/natGateways": "NatGateway",
    "Microsoft.Network/virtualNetworks": "VirtualNetwork",
    "Microsoft.Network/loadBalancers": "LoadBalancer",
    "Microsoft.Network/networkInterfaces": "NetworkInterface",
    "Microsoft.Compute/virtualMachines": "VirtualMachine",
    "Microsoft.Compute/virtualMachineScaleSets": "VirtualMachineScaleSet",
}
TEMPLATE_ONLY = {"type", "apiVersion", "name", "dependsOn", "copy"}
DUMP = """
const all = {};
const module = await import(process.argv[1]);
for (const value of Object.values(module)) if (value && value.type) all[value.type.className] = value.type;
console.log(JSON.stringify(all));
"""


def load_models(package, folder):
    """Classes that a package describes: {name: description}."""
    copy = os.path.join(folder, os.path.basename(package) + ".mjs")
    shutil.copy(os.path.join(package, "dist-esm", "src", "models", "mappers.js"), copy)
    done = subprocess.run(
        ["node", "--input-type=module", "-e", DUMP, f"file://{copy}"], capture_output=True, text=True, timeout=120, check=True
    )
    return json.loads(done.stdout)


def tree_of(description):
    """{member: description or tree}: names such as properties.x are of members in members."""
    tree = {}
    for member in description.get("modelProperties", {}).values():
        *above, last = re.split(r"(?<!\\)\.", member["serializedName"])
        at = tree
        for name in above:
            at = at.setdefault(name, {})
        at[last] = member
    return tree


def is_description(node):
    return "serializedName" in node


def check_tree(where, value, tree, models):
    assert isinstance(value, dict), where
    for name, member in value.items():
        assert name in tree, f"{where}.{name} is not known"
        known = tree[name]
        if not is_description(known):
            check_tree(f"{where}.{name}", member, known, models)
            continue
        assert not known.get("readOnly"), f"{where}.{name} cannot be set"
        check_value(f"{where}.{name}", member, known["type"], models)
    for name, known in tree.items():
        if is_description(known) and known.get("required") and not known.get("readOnly"):
            assert name in value, f"{where}.{name} is missing"


def check_value(where, value, kind, models):
    if isinstance(value, str) and value.startswith("["):
        return  # an expression
    name = kind["name"]
    if name == "Composite":
        check_tree(where, value, tree_of(models[kind["className"]]), models)
    elif name == "Sequence":
        assert isinstance(value, list), where
        for i, item in enumerate(value):
            check_value(f"{where}[{i}]", item, kind["element"]["type"], models)
    elif name == "Enum":
        assert value in kind["allowedValues"], f"{where}: {value}"
    elif name == "Number":
        assert isinstance(value, int) and not isinstance(value, bool), where
    elif name == "Boolean":
        assert isinstance(value, bool), where
    elif name == "String":
        assert isinstance(value, str), where
    else:
        assert name in ("Dictionary", "any"), (where, name)


def check_resource(resource, models):
    name = resource["type"]
    check_tree(f"{name} {resource['name']}", {k: v for k, v in resource.items() if k not in TEMPLATE_ONLY}, tree_of(models[CLASSES[name]]), models)
