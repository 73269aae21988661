"""Finds the functions of an app (the v2 programming model) and how each is to be called."""

import importlib
import inspect
import json
import logging
import os
import sys
import typing

import azure.functions as func

from .binding import Input, LoadError, Output, is_out


class Function:
    """A function as it is called: its inputs and outputs, by the names of its parameters."""

    def __init__(self, function, script):
        self.name = function.get_function_name()
        self.call = function.get_user_function()
        self.is_async = inspect.iscoroutinefunction(self.call)
        self.script = script
        self.bindings = [json.loads(text) for text in function.get_raw_bindings()]
        self.trigger = json.loads(json.dumps(function.get_trigger().get_dict_repr(), default=str))
        self.inputs = []
        self.outputs = []
        self.returns = None
        self.wants_context = False
        self.cloud_event = False
        self.error = None
        try:
            self._bind()
        except Exception as error:
            self.error = f"cannot load the {self.name} function: {error}"

    def _bind(self):
        parameters = dict(inspect.signature(self.call).parameters)
        hints = _type_hints(self.call)
        bound = {b["name"]: b for b in self.bindings if b["name"] != "$return"}
        if "context" in parameters and "context" not in bound:
            self.wants_context = True
            del parameters["context"]
        self._check_names(parameters, bound)
        for name, binding in bound.items():
            annotation = hints.get(name)
            direction = str(binding["direction"]).lower()
            if direction == "inout":
                raise LoadError('"inout" bindings are not supported')
            out = is_out(annotation)
            if direction == "out":
                if name in hints and not out:
                    raise LoadError(
                        f"binding {name} has the direction \"out\", but its annotation is not "
                        "azure.functions.Out"
                    )
                self.outputs.append(Output(binding, annotation))
                continue
            if out:
                raise LoadError(
                    f"binding {name} has the direction \"in\", but its annotation is "
                    "azure.functions.Out"
                )
            trigger = name == self.trigger["name"]
            self.inputs.append(Input(self.name, binding, annotation, name in hints, trigger))
            if trigger:
                cloud_event = getattr(func, "CloudEvent", None)
                self.cloud_event = cloud_event is not None and annotation is cloud_event
        returned = [b for b in self.bindings if b["name"] == "$return"]
        if returned:
            self.returns = Output(returned[0], hints.get("return"))

    def _check_names(self, parameters, bound):
        variadic = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        named = {
            name
            for name, p in parameters.items()
            if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and p.default is p.empty
        }
        if unbound := named - set(bound):
            raise LoadError(
                f"the following parameters are declared in Python but not by a decorator: "
                f"{sorted(unbound)}"
            )
        if not variadic and (undeclared := set(bound) - set(parameters)):
            raise LoadError(
                f"the following parameters are declared by a decorator but not in Python: "
                f"{sorted(undeclared)}"
            )

    def describe(self):
        """What the host wants to know."""
        return {
            "name": self.name,
            "trigger": self.trigger,
            "bindings": self.bindings,
            "script": self.script,
            "is_async": self.is_async,
            "cloud_event": self.cloud_event,
            "error": self.error,
        }


def _type_hints(call):
    """Resolved annotations. One that can't be resolved (a name that only a type checker imports)
    is left out; the others stay."""
    try:
        return typing.get_type_hints(call)
    except Exception:
        hints = {}
    target = inspect.unwrap(call)
    scope = getattr(target, "__globals__", {})
    for name, annotation in getattr(target, "__annotations__", {}).items():
        try:
            hints[name] = eval(annotation, scope) if isinstance(annotation, str) else annotation
        except Exception:
            continue
    return hints


def load(app_dir):
    """Imports the app of a folder and returns its functions, in the order of their definition."""
    script = os.environ.get("PYTHON_SCRIPT_FILE_NAME", "function_app.py")
    if not os.path.exists(os.path.join(app_dir, script)):
        raise LoadError(f"there is no {script} in {app_dir}")
    packages = os.path.join(app_dir, ".python_packages", "lib", "site-packages")
    sys.path[0] = app_dir
    if os.path.isdir(packages):
        sys.path.insert(1, packages)
    module = importlib.import_module(os.path.splitext(script)[0].replace(os.sep, "."))
    app = _find_app(module, script)
    # The library warns that apps without HTTP functions have no use for an auth level.
    logging.disable(logging.WARNING)
    try:
        functions = app.get_functions()
    finally:
        logging.disable(logging.NOTSET)
    return [Function(function, script) for function in functions]


def _find_app(module, script):
    found = {id(v): v for v in vars(module).values() if isinstance(v, func.FunctionRegister)}
    if len(found) > 1:
        raise LoadError(f"{script} defines {len(found)} function apps: there must be one")
    if found:
        return next(iter(found.values()))
    blueprints = {id(v): v for v in vars(module).values() if isinstance(v, func.DecoratorApi)}
    if not blueprints:
        raise LoadError(
            f"{script} defines no function app: it needs `app = func.FunctionApp()` at its top level"
        )
    app = func.FunctionApp()
    for blueprint in blueprints.values():
        app.register_functions(blueprint)
    return app
