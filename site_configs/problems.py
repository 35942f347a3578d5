"""Translates pydantic's findings into problems a person can mend: path as in the file, value, what to do."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from optimizer.errors import Problem

LONGEST_VALUE = 60
"""Characters of a value worth showing in a message."""

_ADVICE = {
    "tuple_type": "must be a list",
    "model_type": "must be a mapping of fields",
    "model_attributes_type": "must be a mapping of fields",
    "dict_type": "must be a mapping of fields",
    "missing": "is required: add it",
    "extra_forbidden": "is not a known field: remove it or correct its spelling",
    "finite_number": "must be a finite number",
    "union_tag_not_found": "has no kind: add the field `kind`",
}


def problems_of(error: ValidationError, data: Any, file: str) -> list[Problem]:
    """One problem for each finding; `data` is the document that was checked."""
    findings = error.errors(include_url=False)
    kept = [details for details in findings if not _follows_from_items(details, findings)]
    return [_problem(details, data, file) for details in kept]


def _follows_from_items(details: ErrorDetails, findings: list[ErrorDetails]) -> bool:
    """A list is too short only because its items were refused: they are reported themselves."""
    length = len(details["loc"])
    return details["type"] == "too_short" and any(
        len(other["loc"]) > length and other["loc"][:length] == details["loc"] for other in findings
    )


def shown(value: Any) -> str:
    """A value as a message shows it."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def device_path(data: Any, parts: list[str | int]) -> str:
    """`devices.3.capacity_kwh (battery1)`: the path with the id of the device it leads into."""
    path = ".".join(str(part) for part in parts) or "whole file"
    holder: Any = data
    name = ""
    for part in parts:
        holder = _step(holder, part)
        if isinstance(holder, dict) and isinstance(holder.get("id"), str):
            name = holder["id"]
    return f"{path} ({name})" if name else path


def _problem(details: ErrorDetails, data: Any, file: str) -> Problem:
    kind = details["type"]
    value = "nothing" if kind == "missing" else shown(details["input"])
    message = _ADVICE.get(kind) or _plain(details)
    return Problem(file, device_path(data, _file_parts(details["loc"], data)), value, message)


def _plain(details: ErrorDetails) -> str:
    if details["type"] == "string_pattern_mismatch":
        return f"must match the pattern {details.get('ctx', {}).get('pattern')}"
    if details["type"] == "union_tag_invalid":
        context = details.get("ctx", {})
        return f"unknown kind {context.get('tag')}: known are {context.get('expected_tags')}"
    message = details["msg"].removeprefix("Value error, ").replace("Input should", "must", 1)
    return message[:1].lower() + message[1:]


def _file_parts(location: tuple[int | str, ...], data: Any) -> list[str | int]:
    """The location as steps into the file, without the tags of union members."""
    parts: list[str | int] = []
    holder = data
    for place, part in enumerate(location):
        last = place == len(location) - 1
        if isinstance(holder, dict) and part not in holder and not (last or isinstance(part, int)):
            continue
        parts.append(part)
        holder = _step(holder, part)
    return parts


def _step(holder: Any, part: str | int) -> Any:
    if isinstance(holder, dict):
        return holder.get(part)
    if isinstance(holder, list) and isinstance(part, int) and part < len(holder):
        return holder[part]
    return None
