"""The user's function that builds the networks of a declared space: import, arguments, version of its code."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from workers.errors import SpaceError
from workers.spaces.declaration import Declaration

BuildFunction = Callable[..., Any]


def import_function(declaration: Declaration) -> BuildFunction:
    """Import the function and check its arguments. The declaration's folder is added to the end of sys.path.

    The user's code runs. Raises SpaceError if it fails, or if the function does not take the parameters.
    """
    where = f"space {declaration.name}: build {declaration.build}"
    module = _import_module(declaration, where)
    name = declaration.build.partition(":")[2]
    function: BuildFunction | None = getattr(module, name, None)
    if function is None or not callable(function):
        found = getattr(module, "__file__", None) or "the module"
        raise SpaceError(f"{where}: {found} has no function '{name}': define it there, or correct build")
    _check_arguments(function, declaration, where)
    return function


def shipped_location(declaration: Declaration) -> Path | None:
    """Return the package's folder or the module's file in the declaration's folder; None if it is installed elsewhere.

    Of a package, this is the top-level one. The module must have been imported.
    """
    folder = declaration.folder and Path(declaration.folder).resolve()
    return next((path for path in _locations(_top_level(declaration)) if path.parent == folder), None)


def code_hash(declaration: Declaration, *, whole: bool) -> str:
    """Return a hash of names and contents of the Python files that hold the function, as 12 hexadecimal digits.

    whole: of its top-level package; otherwise of its module alone. The module must have been imported.
    """
    digest = hashlib.sha256()
    file = getattr(sys.modules[declaration.module], "__file__", None)
    roots = _locations(_top_level(declaration)) if whole else [Path(file)] if file else []
    for root in roots:
        for path in sorted(root.rglob("*.py")) if root.is_dir() else [root]:
            content = path.read_bytes()
            digest.update(f"{path.relative_to(root.parent).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]


def _top_level(declaration: Declaration) -> str:
    return declaration.module.partition(".")[0]


def _locations(module: str) -> list[Path]:
    """Return the folders of a package, or the file of a module."""
    imported = sys.modules[module]
    names = [*getattr(imported, "__path__", [])] or [getattr(imported, "__file__", None)]
    return [Path(name).resolve() for name in names if name]


def _import_module(declaration: Declaration, where: str) -> ModuleType:
    folder = declaration.folder
    if folder and folder not in sys.path and Path(folder).is_dir():
        sys.path.append(folder)  # the end: a file called random.py must not replace Python's
        importlib.invalidate_caches()
    try:
        return importlib.import_module(declaration.module)
    except Exception as error:  # a user's module may raise anything
        reason = one_line(error)
        missing = isinstance(error, ModuleNotFoundError) and f"{declaration.module}.".startswith(f"{error.name}.")
        remedy = f"put it into {folder}, or install it on every machine" if folder else "install its package"
        raise SpaceError(f"{where}: cannot be imported ({reason}): {remedy if missing else 'fix the module'}") from None


def _check_arguments(function: BuildFunction, declaration: Declaration, where: str) -> None:
    """Raise SpaceError unless the function can be called with the parameters of every network."""
    try:
        arguments = inspect.signature(function).parameters
    except (TypeError, ValueError):  # a callable without a signature is checked by its first call
        return
    takes_all = any(a.kind is a.VAR_KEYWORD for a in arguments.values())
    named = {name for name, a in arguments.items() if a.kind in (a.KEYWORD_ONLY, a.POSITIONAL_OR_KEYWORD)}
    for parameter in declaration.parameters:
        if parameter.name not in named and not takes_all:
            raise SpaceError(
                f"{where}: has no argument '{parameter.name}': add it, or remove the parameter (it has "
                f"{', '.join(arguments) or 'none'})"
            )
    always = {parameter.name for parameter in declaration.parameters if not parameter.conditions}
    declared = {parameter.name for parameter in declaration.parameters}
    for name, argument in arguments.items():
        variable = argument.kind in (argument.VAR_KEYWORD, argument.VAR_POSITIONAL)
        if variable or argument.default is not argument.empty or name in always:
            continue
        if name in declared:
            raise SpaceError(f"{where}: some networks have no '{name}', as it has a condition: give it a default")
        raise SpaceError(f"{where}: needs '{name}', which is no parameter: declare it, or give it a default")


def one_line(error: BaseException) -> str:
    """Return the kind and text of an error, of at most 200 characters, in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
