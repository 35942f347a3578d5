"""The distribution: generic folder names are ours alone, versions are pinned, the tree names no machine."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
ROOMS = ("optimizer", "forecasting", "site_configs", "settlement", "streams", "hil", "sizing", "quartet")


def pins() -> dict[str, str]:
    """Version by normalised name, as constraints.txt has them."""
    lines = (ROOT / "constraints.txt").read_text().split()
    return {normalised(name): version for name, _, version in (line.partition("==") for line in lines)}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(name: str, extras: frozenset[str], seen: dict[str, Requirement]) -> dict[str, Requirement]:
    """Every distribution that installing `name` with `extras` brings here, by normalised name."""
    for text in requires(name) or []:
        requirement = Requirement(text)
        wanted = requirement.marker is None or any(
            requirement.marker.evaluate({"extra": extra}) for extra in (*extras, "")
        )
        if wanted and normalised(requirement.name) not in seen:
            seen[normalised(requirement.name)] = requirement
            needed(requirement.name, frozenset(requirement.extras), seen)
    return seen


@pytest.mark.parametrize("room", ROOMS)
def test_folder_name_belongs_to_our_distribution_alone(room: str) -> None:
    assert set(packages_distributions()[room]) == {"quartet-ems"}


def test_every_dependency_is_pinned() -> None:
    unpinned = set(needed("quartet-ems", frozenset({"dev"}), {})) - set(pins())
    assert unpinned == set()


def test_pins_satisfy_what_the_project_asks() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for text in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pins()[normalised(requirement.name)]), text


def tracked_texts() -> dict[str, str]:
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in names.split("\0") if name]
    texts = {path: path.read_bytes() for path in paths if path.is_file()}
    return {str(path.relative_to(ROOT)): raw.decode() for path, raw in texts.items() if b"\0" not in raw[:8000]}


@pytest.mark.parametrize(
    "pattern",
    [r"/(?:root|home|Users|work)/\w", r"\.\./shared", r"--(?:extra-)?index-url", r"://[\w.-]*pypi"],
    ids=["machine path", "neighbour folder", "registry option", "registry host"],
)
def test_tree_names_no_machine_and_no_registry(pattern: str) -> None:
    found = {
        name for name, text in tracked_texts().items() if name != "tests/test_packaging.py" and re.search(pattern, text)
    }
    assert found == set()
