"""Values of bindings, through the converters of the public azure-functions library.

The rules are those of Azure's own worker: a parameter annotated `str` or `bytes` gets just that,
every other goes through the converter that the library registered for the binding's type.
"""

import types
import typing

import azure.functions as func
from azure.functions import meta

_UNIONS = (typing.Union, getattr(types, "UnionType", typing.Union))


class LoadError(Exception):
    """A function that can't be run as it is declared."""


class Out(func.Out):
    """What `name: func.Out[T]` gives to a function."""

    __slots__ = ("_value",)

    def __init__(self):
        self._value = None

    def set(self, val):
        self._value = val

    def get(self):
        return self._value


def without_optional(annotation):
    """T of `Optional[T]`; any other annotation as it is."""
    if typing.get_origin(annotation) in _UNIONS:
        rest = [arg for arg in typing.get_args(annotation) if arg is not type(None)]
        if len(rest) == 1:
            return rest[0]
    return annotation


def is_out(annotation):
    """Whether an annotation is `func.Out`, with a type or without."""
    origin = typing.get_origin(annotation) or annotation
    return isinstance(origin, type) and issubclass(origin, func.Out)


def converter(binding_type):
    """The library's converter; None for a type that it has none for."""
    return func.get_binding_registry().get(binding_type)


class Input:
    """One input of a function: the trigger or an input binding."""

    def __init__(self, function, binding, annotation, annotated, trigger):
        self.name = binding["name"]
        annotation = without_optional(annotation)
        annotated = annotated and annotation is not typing.Any
        self._type = annotation if annotated else None
        self._converter = converter(binding["type"])
        # The library's Event Grid converter reads JSON only, its blob converter bytes or text.
        self._datum_type = "json" if trigger else "bytes"
        self._plain = annotation in (str, bytes) if annotated else self._converter is None
        if annotated and not self._plain and not self._fits(annotation):
            raise LoadError(
                f"type of {self.name} binding {binding['type']!r} does not match its Python "
                f"annotation {getattr(annotation, '__name__', annotation)!r} in {function}"
            )

    def _fits(self, annotation):
        if self._converter is None or not isinstance(annotation, type):
            return False
        return annotation is object or self._converter.check_input_type_annotation(annotation)

    def decode(self, data):
        """The argument for these bytes; None where there is nothing (a blob that isn't there)."""
        if data is None:
            return None
        if self._plain:
            return data if self._type is bytes else str(data, "utf-8")
        return self._converter.decode(meta.Datum(data, self._datum_type), trigger_metadata=None)


class Output:
    """One output of a function: a `func.Out` parameter, or `$return`."""

    def __init__(self, binding, annotation):
        self.name = binding["name"]
        self._binding_type = binding["type"]
        self._converter = converter(binding["type"])
        arguments = typing.get_args(annotation) if is_out(annotation) else ()
        self._type = arguments[0] if arguments else None

    def encode(self, value):
        """(kind, bytes) of a value that the function set or returned."""
        try:
            if self._converter is None:
                raise NotImplementedError
            datum = self._converter.encode(value, expected_type=self._type)
        except NotImplementedError:
            raise TypeError(
                f"output {self.name!r}: a binding of type {self._binding_type!r} can't take a "
                f"value of type {type(value).__name__!r}"
            ) from None
        if datum is None or datum.value is None:
            return None
        data = datum.value
        return datum.type, data.encode("utf-8") if isinstance(data, str) else bytes(data)
