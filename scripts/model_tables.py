"""Tables of Markdown from the fields of a model: what pages are made of."""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo


def fields_of(model: type[BaseModel], left_out: frozenset[str] = frozenset()) -> str:
    """A row for each field: name, type, default, meaning."""
    own = {name: field for name, field in model.model_fields.items() if name not in left_out}
    rows = ((f"`{name}`", _type(field), _default(field), _describe(field)) for name, field in own.items())
    return table(("field", "type", "default", "what"), rows)


def doc_of(model: type[BaseModel]) -> str:
    """The docstring of a model as one line."""
    return " ".join((model.__doc__ or "").split())


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table of Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _type(field: FieldInfo) -> str:
    return _name(field.annotation).replace("|", "\\|")


def _name(kind: Any) -> str:
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _name(inside[0])
    if origin is Literal:
        return " | ".join(f"`{value}`" for value in inside)
    if origin in (Union, types.UnionType):
        return " | ".join("null" if one is type(None) else _name(one) for one in inside)
    if origin is tuple:
        return f"list of {_name(inside[0])}"
    if origin is dict:
        return f"object of {_name(inside[1])}"
    return {"str": "text", "float": "number", "int": "whole number", "bool": "true or false", "datetime": "time"}.get(
        kind.__name__, kind.__name__
    )


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    default = field.get_default(call_default_factory=True, validated_data={})
    return "null" if default is None else f"`{default}`"


def _describe(field: FieldInfo) -> str:
    return " ".join((field.description or "").split()).replace("|", "\\|")
