"""Networks that users' functions return: package.module:function, with arguments as JSON in parentheses."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import json
import os
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.errors import ConfigError
from predictor.errors import AIOPError, one_line
from predictor.text_files import parse_json

if TYPE_CHECKING:  # it takes seconds to load, and names alone do not need it
    from torch import nn

FORM = "module:function, module:network or module:function(JSON)"
_NAME = re.compile(r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<function>[^\W\d]\w*)(\((?P<arguments>.*)\))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A function and its arguments.

    name: module:function. arguments: JSON in canonical form, a list of positional or an object of named arguments;
    empty if there are none.
    """

    name: str
    arguments: str = ""

    @classmethod
    def parse(cls, text: str) -> FunctionCall | None:
        """Return the call that a name describes; None if the name has another form.

        A module without a dot has the same form as KIND:NAME, so callers try kinds first. Raises ConfigError for
        arguments that are no JSON list or object.
        """
        match = _NAME.fullmatch(text)
        if match is None:
            return None
        return cls(f"{match['module']}:{match['function']}", _canonical(text, match["arguments"] or ""))

    @property
    def text(self) -> str:
        """The name with its arguments, which `parse` reads."""
        return f"{self.name}({self.arguments})" if self.arguments or "." not in self.name else self.name

    @property
    def genotype(self) -> dict[str, Any]:
        """Name and arguments; of a call without arguments the name alone."""
        arguments = {"arguments": json.loads(self.arguments)} if self.arguments else {}
        return {"name": self.name} | arguments

    def build(self, device: str = "meta") -> nn.Module:
        """Import the module, so that its code runs, and call the function, on the meta device if it allows that.

        The module is also found in the current folder. A module-level network is returned itself. device: another one
        for a network that is run. Raises ConfigError if that fails or returns no module.
        """
        from torch import nn

        try:
            found = self._find()
            network = found if isinstance(found, nn.Module) and not self.arguments else self._call(found, device)
        except AIOPError:
            raise
        except Exception as error:  # a user's code may raise anything
            raise ConfigError(
                f"model '{self.text}': its code raises {type(error).__name__}: {one_line(error)}"
            ) from error
        if isinstance(network, type) and issubclass(network, nn.Module):
            raise ConfigError(f"model '{self.text}': returns the class {network.__name__}: it must return an instance")
        if not isinstance(network, nn.Module):
            raise ConfigError(
                f"model '{self.text}': returns {type(network).__name__}: it must return a torch.nn.Module"
            )
        return network

    @property
    def has_module(self) -> bool:
        """Whether the module can be found, here or among the installed ones. Parent packages are imported."""
        _search_here()
        try:
            return importlib.util.find_spec(self.name.partition(":")[0]) is not None
        except (ImportError, ValueError):
            return self.name.partition(":")[0] in sys.modules

    def _find(self) -> Any:
        """Import the module and return what has the name. Raises ConfigError if one of them does not exist."""
        module, _, name = self.name.partition(":")
        _search_here()
        try:
            imported = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise  # the module exists, and imports another one that does not
            raise ConfigError(
                f"model '{self.text}': there is no module {error.name} here or among the installed ones "
                "(ModuleNotFoundError): run from the folder that holds it, or set PYTHONPATH"
            ) from None
        if not hasattr(imported, name):
            known = [one for one, value in vars(imported).items() if callable(value) and not one.startswith("_")]
            close = difflib.get_close_matches(name, known, n=1)
            meant = f": did you mean {close[0]}?" if close else ": name one of its functions or networks"
            raise ConfigError(f"model '{self.text}': module {module} has no {name} (AttributeError){meant}")
        return getattr(imported, name)

    def _call(self, function: Any, device: str) -> Any:
        import torch

        arguments = json.loads(self.arguments) if self.arguments else []
        named = arguments if isinstance(arguments, dict) else {}
        listed = [] if isinstance(arguments, dict) else arguments
        try:
            with torch.device(device):  # meta: no time for initial weights
                return function(*listed, **named)
        except (RuntimeError, NotImplementedError):  # it reads the values of tensors
            return function(*listed, **named)


def _search_here() -> None:
    """Let modules be found in the current folder, last, so that no file there hides an installed package."""
    if (folder := os.getcwd()) not in sys.path:
        sys.path.append(folder)


def with_arguments(name: str, arguments: str) -> str:
    """Return the name of a network that a table gives in two columns. Raises ValueError if it takes no arguments."""
    if not arguments:
        return name
    if name.endswith(")") or _NAME.fullmatch(name) is None:
        raise ValueError("arguments: only a model of the form module:function takes them")
    return f"{name}({arguments})"


def _canonical(name: str, text: str) -> str:
    if not text.strip():
        return ""
    try:
        arguments = parse_json(text)
    except ValueError:
        arguments = None
    if not isinstance(arguments, list | dict):
        raise ConfigError(f"model '{name}': the arguments in parentheses must be a JSON list or object")
    return json.dumps(arguments, sort_keys=True, separators=(",", ":")) if arguments else ""
