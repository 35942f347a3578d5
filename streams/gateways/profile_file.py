"""Profiles of controllers: YAML files that say where their values stand, shipped by name or of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from optimizer.errors import InputError, Problem

PROFILES = Path(__file__).parents[1] / "profiles"
Profile = TypeVar("Profile", bound=BaseModel)


def read_profile(kind: type[Profile], name_or_path: str | Path) -> Profile:
    """The profile of a shipped name, or of a YAML file.

    Raises:
        InputError: no such profile, or every field of it that is wrong.
    """
    path = Path(name_or_path)
    if path.suffix not in {".yaml", ".yml"}:
        path = PROFILES / f"{name_or_path}.yaml"
    try:
        return kind.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        known = ", ".join(sorted(p.stem for p in PROFILES.glob("*.yaml")))
        problem = Problem(str(path), "profile", str(name_or_path), f"no such profile; shipped: {known}")
        raise InputError([problem]) from error
    except yaml.YAMLError as error:
        raise InputError([Problem(str(path), "file", "text", f"not YAML: {error}")]) from error
    except ValidationError as error:
        raise InputError([_problem(path, dict(detail)) for detail in error.errors()]) from error


def _problem(path: Path, detail: Mapping[str, object]) -> Problem:
    where = detail["loc"]
    assert isinstance(where, tuple)
    return Problem(str(path), ".".join(map(str, where)), str(detail["input"]), str(detail["msg"]))
