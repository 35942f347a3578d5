"""Devices' own arithmetic compiled by Numba: `optimizer` stays plain Python and never knows.

Division by zero gives infinity as in NumPy, not an exception: a loop that may raise cannot be vectorised. What is
divided by (efficiencies, limits, COPs) is above 0 by the devices' own checks.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar

import numba
from numba.core.compiler import Compiler

from hil.code_digest import code_digest

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """`function` compiled for use inside other compiled ones, still typed as what it was."""
    return _jit(function, no_cpython_wrapper=True)


def inlined(function: Function) -> Function:
    """As `compiled`, and always written out where it is called: for the body of a loop that is to be vectorised."""
    result: Function = _jit(function, compiled_helper=inlined, no_cpython_wrapper=True, forceinline=True)
    return result


class _ApartArrays(Compiler):
    """Tells LLVM that a function's arrays do not overlap."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)  # type: ignore[no-untyped-call]
        self.state.flags.noalias = True


def on_apart_arrays(function: Function) -> Function:
    """As `compiled`, for a loop over many arrays that do not overlap where one of them is written to. Otherwise the
    loop looks at every pair of them before it begins, which takes as long as a hundred of its rounds."""
    return _jit(function, no_cpython_wrapper=True, pipeline_class=_ApartArrays)


def borrowing(function: Function) -> Function:
    """As `compiled`, for larger functions that only look at arrays of their callers and make none: without the counting
    of references, which costs more than the arithmetic where arrays are looked at element by element."""
    return _jit(function, no_cpython_wrapper=True, _nrt=False)


def callable_from_python(function: Function) -> Function:
    """As `compiled`, and callable from Python too, without holding other threads up."""
    return _jit(function, nogil=True)


def kept(function: Function) -> Function:
    """As `callable_from_python`, and kept on disk for later processes: a function that takes long to compile.

    Numba looks at the file of the function alone, and not at those of the functions it calls. So what is kept belongs
    to one state of all the code (`code_digest`), and other code finds nothing.
    """
    return _jit(function, nogil=True, cache=_made_a_place())


@cache
def _made_a_place() -> bool:
    """Makes the place of compiled code, below `NUMBA_CACHE_DIR` or in the user's cache folder; False if it cannot."""
    usual = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "quartet" / "numba"
    place = Path(os.environ.get("NUMBA_CACHE_DIR", usual)) / code_digest()
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    config: Any = numba.config
    config.CACHE_DIR = str(place)
    return os.access(place, os.W_OK)


def _jit(function: Function, compiled_helper: Callable[[Any], Any] | None = None, **options: Any) -> Function:
    jit: Any = numba.njit  # its stubs do not know the options
    whole = _with_helpers(function, compiled_helper or compiled)
    result: Function = jit(error_model="numpy", **options)(whole)
    return result


def _with_helpers(function: Any, compiled_helper: Callable[[Any], Any]) -> Any:
    """The function itself, or one that calls compiled versions of the plain functions it calls."""
    plain = {
        name: compiled_helper(helper)
        for name in function.__code__.co_names
        if isinstance(helper := function.__globals__.get(name), FunctionType)
    }
    if not plain:
        return function
    names = {**function.__globals__, **plain}
    copy = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
    return copy
