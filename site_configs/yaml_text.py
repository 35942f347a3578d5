"""YAML files read strictly: syntax errors with their line, repeated keys refused, nothing executed."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import yaml

from optimizer.errors import InputError, Problem


def package_text(folder: str, name: str) -> str:
    """The text of a data file shipped in this package; FileNotFoundError when there is none."""
    return files("site_configs").joinpath(folder, name).read_text(encoding="utf-8")


def package_names(folder: str) -> tuple[str, ...]:
    """Names (without `.yaml`) of the YAML files shipped in a folder of this package, sorted."""
    entries = files("site_configs").joinpath(folder).iterdir()
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in entries if entry.name.endswith(".yaml")))


def parse_yaml(text: str, file: str) -> Any:
    """The document in `text`.

    Raises:
        InputError: it is not YAML, or keys are repeated (all of them are named).
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        repeated = [] if node is None else list(_repeated_keys(node, file))
        if repeated:
            raise InputError(repeated)
        return None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        raise InputError([_syntax_problem(error, file)]) from error
    except (yaml.YAMLError, ValueError) as error:
        what = str(error).splitlines()[0]
        raise InputError([Problem(file, "whole file", what, "cannot be read as YAML: correct this value")]) from error
    except RecursionError as error:
        raise InputError([Problem(file, "whole file", "brackets", "is nested too deeply: flatten it")]) from error
    finally:
        loader.dispose()


def _syntax_problem(error: yaml.MarkedYAMLError, file: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Problem(file, "whole file", "", f"is not YAML ({error.problem}): correct it")
    lines = (mark.buffer or "").rstrip("\0").splitlines()
    value = lines[mark.line].strip() if mark.line < len(lines) else "end of file"
    message = f"is not YAML ({error.problem}): correct this line or the one before"
    return Problem(file, f"line {mark.line + 1}, column {mark.column + 1}", value, message)


def _repeated_keys(node: yaml.Node, file: str, above: frozenset[int] = frozenset()) -> Iterator[Problem]:
    if id(node) in above:
        return
    above |= {id(node)}
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            yield from _repeated_keys(child, file, above)
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, child in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in seen:
                message = f"key is repeated (first in line {seen[name]}): keep one of them"
                yield Problem(file, f"line {line}", name, message)
            seen.setdefault(name, line)
            yield from _repeated_keys(child, file, above)
