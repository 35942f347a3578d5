"""Devices' own arithmetic compiled by Numba: `optimizer` stays plain Python and never knows.

Division by zero gives infinity as in NumPy, not an exception: a loop that may raise cannot be vectorised. What is
divided by (efficiencies, limits, COPs) is above 0 by the devices' own checks.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """`function` compiled for use inside other compiled ones, still typed as what it was."""
    return _jit(function, no_cpython_wrapper=True, forceinline=True)


def borrowing(function: Function) -> Function:
    """As `compiled`, for larger functions that only look at arrays of their callers and make none: without the counting
    of references, which costs more than the arithmetic where arrays are looked at element by element."""
    return _jit(function, no_cpython_wrapper=True, _nrt=False)


def counting(function: Function) -> Function:
    """As `borrowing`, for larger functions that make arrays of their own."""
    return _jit(function, no_cpython_wrapper=True)


def callable_from_python(function: Function) -> Function:
    """As `compiled`, and callable from Python too, without holding other threads up."""
    return _jit(function, nogil=True)


def _jit(function: Function, **options: bool) -> Function:
    jit: Any = numba.njit  # its stubs do not know the options
    result: Function = jit(error_model="numpy", **options)(_with_compiled_helpers(function))
    return result


def _with_compiled_helpers(function: Any) -> Any:
    """The function itself, or one that calls compiled versions of the plain functions it calls."""
    plain = {
        name: compiled(helper)
        for name in function.__code__.co_names
        if isinstance(helper := function.__globals__.get(name), FunctionType)
    }
    if not plain:
        return function
    names = {**function.__globals__, **plain}
    copy = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
    return copy
