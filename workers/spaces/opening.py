"""Find a space by what a user writes, a name or a YAML file, and pass declared spaces on to other processes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from workers.errors import SpaceError
from workers.spaces.base import Space, get_space, register_space, space_names
from workers.spaces.build_function import code_hash, shipped_location
from workers.spaces.declaration import Declaration, check_name, parse_declaration, read_declaration
from workers.spaces.declared import DeclaredSpace

# In the column `space` of a label store, these are the sources of networks that are in no space.
_RESERVED = frozenset({"timm", "mmdet", "mmseg", "mmpose", "onnx", "function"})


def is_space_file(text: str) -> bool:
    """Return whether `text` names a YAML file, not a space."""
    return Path(text).suffix in {".yaml", ".yml"}


def open_space(text: str) -> Space:
    """Return the space with the name `text`, or the one that the YAML file `text` declares.

    The function of a declared space is imported. Raises UnknownNameError for an unknown name, SpaceError for an
    unusable file.
    """
    if not is_space_file(text):
        return get_space(text)
    space = declare(read_declaration(Path(text)), f"space {text}")
    space.load()
    return space


def reject_taken_name(name: str, where: str) -> None:
    """Raise SpaceError unless `name` can be the name of a new space that has no declaration."""
    try:
        check_name(name)
    except ValueError as error:
        raise SpaceError(f"{where}: {error}") from None
    if name in _RESERVED or name in space_names():
        raise SpaceError(f"{where}: name '{name}' is taken: choose another name")


def declare(declaration: Declaration, where: str) -> DeclaredSpace:
    """Return the space of a declaration; from now on, `get_space` finds it in this process.

    A declaration of an earlier call with the same name is replaced. where: names the declaration in error messages.
    Raises SpaceError if the name belongs to another space.
    """
    name = declaration.name
    known = get_space(name) if name in space_names() else None
    if isinstance(known, DeclaredSpace) and known.declaration == declaration:
        return known
    replaceable = known is None or (isinstance(known, DeclaredSpace) and known.declaration.folder)
    if name in _RESERVED or not replaceable:
        raise SpaceError(f"{where}: name '{name}' is taken: choose another name")
    space = DeclaredSpace(declaration)
    register_space(space, replace=True)
    return space


def register_declaration(path: Path) -> None:
    """Register the space that a file of an installed package declares. For the module that an entry point names.

    The function's module must be part of the package. Raises SpaceError, and NameTakenError if the name is taken.
    """
    register_space(DeclaredSpace(replace(read_declaration(path), folder="")))


def shipped_modules(name: str) -> list[Path]:
    """Return the folder or file of the user's module if it is next to the file that declares the space; else nothing.

    Other machines need a copy of it.
    """
    space = get_space(name)
    if not isinstance(space, DeclaredSpace):
        return []
    space.load()
    location = shipped_location(space.declaration)
    return [location] if location else []


def space_message(name: str) -> str:
    """Return what another process needs to use the space, as text for `receive_space`; empty if it needs nothing."""
    space = get_space(name)
    if not isinstance(space, DeclaredSpace):
        return ""
    declaration = space.declaration
    space.load()
    whole = shipped_location(declaration) is not None
    fields = {"folder": declaration.folder, "whole": whole, "code": code_hash(declaration, whole=whole)}
    return json.dumps({"declaration": declaration.fields, **fields})


def receive_space(message: str) -> None:
    """Declare the space of a message in this process and import its function; do nothing for an empty message.

    Raises SpaceError if that fails, or if the function's code is not the sender's.
    """
    if not message:
        return
    fields = json.loads(message)
    declaration = parse_declaration(fields["declaration"], fields["folder"])
    declare(declaration, f"space {declaration.name}").load()
    if (own := code_hash(declaration, whole=fields["whole"])) != fields["code"]:
        raise SpaceError(
            f"space {declaration.name}: the code of {declaration.module} is not the driver's ({own}, not "
            f"{fields['code']}): bring it to the same state"
        )
