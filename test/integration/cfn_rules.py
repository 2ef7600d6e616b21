"""What CloudFormation demands of a template, as far as it can be told without it: names that are referred to, limits, and
with Amazon's resource specification the properties of every resource."""

import json
import re

SECTIONS = {
    "AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Mappings", "Conditions", "Resources", "Outputs",
}
PSEUDO = {"AWS::StackName", "AWS::StackId", "AWS::Region", "AWS::URLSuffix", "AWS::Partition", "AWS::AccountId"}
ATTRIBUTES = {"Type", "Properties", "DependsOn", "Condition", "CreationPolicy"}
INLINE_MAX, TEMPLATE_MAX, USER_DATA_MAX, PARAMETERS_MAX, RESOURCES_MAX = 51200, 1024 * 1024, 16384, 200, 500


def walk(value):
    if isinstance(value, dict):
        yield value
        for member in value.values():
            yield from walk(member)
    elif isinstance(value, list):
        for member in value:
            yield from walk(member)


def references(value):
    """Names of resources and parameters that a value mentions."""
    for node in walk(value):
        if "Ref" in node:
            assert len(node) == 1
            yield node["Ref"]
        if "Fn::GetAtt" in node:
            assert len(node) == 1
            yield node["Fn::GetAtt"][0]
        if "Fn::Sub" in node:
            yield from re.findall(r"\$\{([^}]+)\}", node["Fn::Sub"])


def check_names(template):
    """Everything that is referred to is there, and every parameter, mapping and condition is used."""
    resources, parameters = template["Resources"], template.get("Parameters", {})
    mappings, conditions = template.get("Mappings", {}), template.get("Conditions", {})
    assert set(template) <= SECTIONS
    assert len(resources) <= RESOURCES_MAX and len(parameters) <= PARAMETERS_MAX
    used_conditions, used_mappings = set(), set()
    for name, resource in resources.items():
        assert re.fullmatch(r"[A-Za-z0-9]{1,255}", name) and set(resource) <= ATTRIBUTES, name
        depends = resource.get("DependsOn", [])
        for other in [depends] if isinstance(depends, str) else depends:
            assert other in resources and other != name, (name, other)
        if "Condition" in resource:
            used_conditions.add(resource["Condition"])
    for kind, most in (("Parameters", PARAMETERS_MAX), ("Outputs", 200)):
        assert len(template.get(kind, {})) <= most
        assert all(re.fullmatch(r"[A-Za-z0-9]{1,255}", name) for name in template.get(kind, {}))
    seen = set(references([resources, template.get("Outputs", {}), conditions]))
    assert seen <= set(resources) | set(parameters) | PSEUDO, seen - set(resources) - set(parameters) - PSEUDO
    assert set(parameters) <= seen, set(parameters) - seen
    for node in walk(resources):
        if "Fn::FindInMap" in node:
            name, first, second = node["Fn::FindInMap"]
            used_mappings.add(name)
            # Every value that the parameter may have is a key, and each key has the second one.
            assert set(parameters[first["Ref"]]["AllowedValues"]) == set(mappings[name])
            assert all(second in row for row in mappings[name].values())
    assert used_conditions == set(conditions) and used_mappings == set(mappings)
    check_order(template)


def check_order(template):
    """Nothing waits for itself."""
    resources, done, open_ = template["Resources"], set(), []

    def visit(name):
        assert name not in open_, open_ + [name]
        if name in done:
            return
        open_.append(name)
        depends = resources[name].get("DependsOn", [])
        needed = [depends] if isinstance(depends, str) else list(depends)
        for other in needed + [r for r in references(resources[name]) if r in resources]:
            visit(other)
        open_.pop()
        done.add(name)

    for name in resources:
        visit(name)


def evaluate(value, template, given, resource_attributes):
    """The value with parameters `given`; attributes of resources come from {(resource, attribute): text}."""
    if isinstance(value, list):
        return [evaluate(v, template, given, resource_attributes) for v in value]
    if not isinstance(value, dict):
        return value
    if "Ref" in value:
        return given[value["Ref"]]
    if "Fn::GetAtt" in value:
        return resource_attributes[tuple(value["Fn::GetAtt"])]
    if "Fn::Join" in value:
        between, pieces = evaluate(value["Fn::Join"], template, given, resource_attributes)
        return between.join(pieces)
    if "Fn::Base64" in value:
        return evaluate(value["Fn::Base64"], template, given, resource_attributes)
    if "Fn::FindInMap" in value:
        name, first, second = evaluate(value["Fn::FindInMap"], template, given, resource_attributes)
        return template["Mappings"][name][first][second]
    raise AssertionError(value)


# ---- the resource specification ----

INTRINSIC = ("Ref", "Fn::")


def check_properties(template, spec):
    """Each property of each resource is known and of its kind, and what must be there is there. Also attributes."""
    resources = template["Resources"]
    for name, resource in resources.items():
        kind = spec["ResourceTypes"].get(resource["Type"])
        assert kind, f"{name}: {resource['Type']} is no type"
        check_members(name, resource.get("Properties", {}), kind["Properties"], resource["Type"], spec)
    for node in walk([resources, template.get("Outputs", {})]):
        if "Fn::GetAtt" in node:
            name, attribute = node["Fn::GetAtt"]
            kind = resources[name]["Type"]
            if kind != "AWS::CloudFormation::Stack":
                assert attribute in spec["ResourceTypes"][kind].get("Attributes", {}), (name, attribute)


def check_members(where, members, known, resource_type, spec):
    assert isinstance(members, dict), where
    for name, value in members.items():
        assert name in known, f"{where}.{name} is not known"
        check_value(f"{where}.{name}", value, known[name], resource_type, spec)
    for name, description in known.items():
        assert not description.get("Required") or name in members, f"{where}.{name} is missing"


def check_value(where, value, description, resource_type, spec):
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)).startswith(INTRINSIC):
        return
    kind = description.get("Type")
    if kind in ("List", "Map"):
        items = value.values() if kind == "Map" else value
        assert isinstance(value, dict if kind == "Map" else list), where
        inner = {"Type": description.get("ItemType"), "PrimitiveType": description.get("PrimitiveItemType")}
        for i, item in enumerate(items):
            check_value(f"{where}[{i}]", item, inner, resource_type, spec)
    elif kind:
        types = spec["PropertyTypes"]
        check_members(where, value, types.get(f"{resource_type}.{kind}", types.get(kind))["Properties"], resource_type, spec)
    else:
        primitive = description["PrimitiveType"]
        if primitive == "Json":
            assert isinstance(value, dict), where
        elif primitive == "Boolean":
            assert value in (True, False, "true", "false"), where
        elif primitive in ("Integer", "Long", "Double"):
            assert isinstance(value, int) and not isinstance(value, bool) or str(value).isdigit(), where
        else:
            assert isinstance(value, (str, int)), where


def load_spec(folder):
    with open(f"{folder}/spec/specification.json", encoding="utf-8") as f:
        return json.load(f)
