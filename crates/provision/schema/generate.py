"""Writes ../src/azure/schema.json: the inputs of the resources of azure-native, and their kinds.

    pip install pulumi==3.272.0 pulumi-azure-native==3.29.0
    python generate.py > ../src/azure/schema.json

A kind is text, bool, number, any, asset, enum:A|B, []KIND, {}KIND, or #OBJECT; a list of kinds
means one of them. A required input begins with a `!`.
"""

import enum
import importlib
import json
import sys
import typing

import pulumi
from pulumi._types import input_type_py_to_pulumi_names

TYPES = {
    "resources": ["ResourceGroup"],
    "storage": ["StorageAccount", "BlobContainer", "Blob"],
    "eventgrid": [
        "Topic",
        "EventSubscription",
        "Namespace",
        "NamespaceTopic",
        "NamespaceTopicEventSubscription",
    ],
    "web": ["AppServicePlan", "WebApp", "WebAppApplicationSettings"],
}

objects = {}


def kind_of(annotation, module):
    """A kind, a list of them, or None for what is no value."""
    if isinstance(annotation, typing.ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        if annotation.startswith("Output["):
            return None
        return kind_of(getattr(module, annotation), module)
    origin = typing.get_origin(annotation)
    args = [arg for arg in typing.get_args(annotation) if arg is not type(None)]
    if origin is typing.Union:
        found = []
        for arg in args:
            kind = kind_of(arg, module)
            for one in kind if isinstance(kind, list) else [kind]:
                if one is not None and one not in found:
                    found.append(one)
        if "text" in found:
            found = [one for one in found if not one.startswith("enum:")]
        return found[0] if len(found) == 1 else found
    name = origin.__name__ if origin is not None else ""
    if name in ("Sequence", "list", "List"):
        return within("[]", kind_of(args[0], module))
    if name in ("Mapping", "dict"):
        return within("{}", kind_of(args[1], module))
    if name in ("Awaitable", "Output", "Coroutine"):
        return None
    if annotation is typing.Any:
        return "any"
    if issubclass(annotation, enum.Enum):
        return "enum:" + "|".join(str(member.value) for member in annotation)
    plain = {str: "text", bool: "bool", int: "number", float: "number"}
    if annotation in plain:
        return plain[annotation]
    if annotation in (pulumi.Asset, pulumi.Archive):
        return "asset"
    if annotation.__name__.endswith("Args"):
        return "#" + object_of(annotation, module)
    return None


def within(prefix, kind):
    return [prefix + one for one in kind] if isinstance(kind, list) else prefix + kind


def object_of(cls, module):
    key = f"{module.__name__.split('.')[1]}.{cls.__name__.removesuffix('Args')}"
    if key not in objects:
        objects[key] = {}
        objects[key] = inputs(cls, module)
    return key


def inputs(cls, module):
    found = {}
    for python, name in sorted(input_type_py_to_pulumi_names(cls).items(), key=lambda pair: pair[1]):
        annotation = getattr(cls, python).fget.__annotations__["return"]
        if isinstance(annotation, str):
            annotation = eval(annotation, {**vars(sys.modules[cls.__module__]), **vars(module)})
        kind = kind_of(annotation, module)
        required = type(None) not in typing.get_args(annotation)
        if required:
            kind = ["!" + one for one in kind] if isinstance(kind, list) else "!" + kind
        found[name] = kind
    return found


def lines(all):
    return ",\n".join(f"{json.dumps(name)}:{json.dumps(all[name], separators=(',', ':'))}" for name in sorted(all))


types = {}
for package, names in TYPES.items():
    module = importlib.import_module(f"pulumi_azure_native.{package}")
    for name in names:
        source = sys.modules[getattr(module, name).__module__]
        args = getattr(source, f"{name}Args", None) or getattr(source, f"{name}InitArgs")
        types[f"azure-native:{package}:{name}"] = inputs(args, module)
print('{"types":{\n' + lines(types) + '\n},"objects":{\n' + lines(objects) + "\n}}")
