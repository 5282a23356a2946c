"""Options that several commands share, each written once, and options that come from a configuration model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from orchestrator.cli.output import say
from orchestrator.errors import ConfigError
from orchestrator.predictors.generations import generation_folder, generation_numbers
from orchestrator.published.image_size import image_size
from predictor.plain_numbers import plain_float, plain_int
from workers.yaml_file import parse_yaml

IMAGE = "SIDE, HEIGHTxWIDTH or CHANNELSxHEIGHTxWIDTH"

Store = Annotated[str, typer.Option(help="Label store: a folder or an object-store URI.")]
Predictors = Annotated[Path, typer.Option(help="Folder of the predictor's generations; all nodes must reach it.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Watch = Annotated[bool, typer.Option("--watch", help="Repeat until Ctrl-C.")]
InputSize = Annotated[str, typer.Option("--input-size", help=f"Image size in pixels: {IMAGE}.")]
Workers = Annotated[int, typer.Option(help="Processes that share each batch.", min=1)]
Gpus = Annotated[float, typer.Option(help="GPUs per worker; may be a fraction.", min=0)]
# The spelling of version 0.1, for one release.
OldOut = Annotated[Path | None, typer.Option("--out", hidden=True, help="Deprecated: use --predictors.")]

NETWORK_NAMES = (
    "timm:NAME, mmdet:CONFIG, mmseg:CONFIG, mmpose:CONFIG, FILE.onnx, nasbench201:STRING, mnasnet:JSON, "
    "FILE.yaml:JSON, package.module:function, module:function(JSON) ..."
)


def renamed_option(old: str, given: Path | None, new: str, value: Path) -> Path:
    """The value of option `new`, or the one given under its old name, with a warning."""
    if given is None:
        return value
    say(f"{old} is deprecated and will be removed in version 0.3: use {new}")
    return given


def existing_generation(folder: Path, number: int) -> Path:
    """Return the folder of a generation. Raises ConfigError if it does not exist."""
    numbers = generation_numbers(folder)
    if number not in numbers:
        known = ", ".join(map(str, numbers)) if numbers else "none: make one with `orchestrator train`"
        raise ConfigError(f"generation {number} of {folder}: does not exist; there are {known}")
    return generation_folder(folder, number)


def parse_input_size(text: str) -> tuple[int, int, int]:
    """(channels, height, width) as `predictor.trace` takes them. Raises ConfigError."""
    channels, _, rest = text.partition("x") if text.count("x") == 2 else ("3", "", text)
    try:
        return (plain_int(channels, least=1), *image_size(rest))
    except ValueError:
        raise ConfigError(f"--input-size {text}: write {IMAGE}, such as 224, 800x1333 or 1x28x28") from None


def recipe_overrides(pairs: list[str]) -> dict[str, object]:
    """FIELD=VALUE pairs as a mapping; body.X=V, head.X=V and the like set fields of a section. Raises ConfigError."""
    fields: dict[str, object] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set '{pair}': write FIELD=VALUE, for example steps=500")
        try:
            value = parse_yaml(text)
        except ValueError:
            raise ConfigError(f"--set '{pair}': the value is not YAML") from None
        section, dot, inner = name.partition(".")
        if dot:
            inside = fields.setdefault(section, {})
            if not isinstance(inside, dict):
                raise ConfigError(f"--set '{pair}': {section} was set to a plain value before")
            inside[inner] = value
        else:
            fields[name] = value
    return fields


def options_from(model: type[BaseModel], names: Collection[str] = ()) -> Callable[[Callable[..., None]], Any]:
    """Give a command an option for each field of `model`, or for `names`, with the field's default and description.

    The command is called with `fields`, a mapping of those that were given on the command line, and with its own
    parameters. A mapping field is a repeatable FIELD=VALUE option.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters
        options = {name: _option(name, model.model_fields[name]) for name in names or model.model_fields}

        def run(ctx: typer.Context, **values: Any) -> None:
            fields = {name: values.pop(name) for name in options}
            given = {name: value for name, value in fields.items() if was_given(ctx, name)}
            command(fields=_parsed(model, given), **values)

        context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        others = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for name, parameter in own.items()
            if name != "fields"
        ]
        parameters = [context, *options.values(), *others]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        run.__doc__ = command.__doc__
        return run

    return decorate


def was_given(ctx: typer.Context, name: str) -> bool:
    """Whether an option was written on the command line."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    """The command-line option of a field. Pydantic checks its value, as it does for files."""
    origin = get_origin(field.annotation)
    if origin is dict:
        kind: Any = list[str] | None
        option = typer.Option(f"--{name.replace('_', '-')}", metavar="FIELD=VALUE", help=field.description)
        return _parameter(name, Annotated[kind, option], None)
    if origin is tuple:
        return _parameter(name, Annotated[str, typer.Option(help=field.description)], "")
    if field.annotation is bool:
        return _parameter(
            name, Annotated[bool, typer.Option(f"--{name.replace('_', '-')}", help=field.description)], False
        )
    if field.is_required():
        return _parameter(name, Annotated[str | None, typer.Option(help=field.description)], None)
    kind = str if isinstance(field.default, str) else int | None if field.default is None else type(field.default)
    number: dict[str, Any] = (
        {} if kind is str else {"parser": _plain_number(kind), "metavar": "FLOAT" if kind is float else "INTEGER"}
    )
    return _parameter(name, Annotated[kind, typer.Option(help=field.description, **number)], field.default)


def _plain_number(kind: Any) -> Callable[[Any], int | float]:
    """Return the parser of a number's text, which click's own types would read as Python does: 1_0 is 10."""

    def parse(value: Any) -> int | float:
        if not isinstance(value, str):  # the default
            return value  # type: ignore[no-any-return]
        try:
            return plain_float(value) if kind is float else plain_int(value)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return parse


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _parsed(model: type[BaseModel], given: dict[str, Any]) -> dict[str, Any]:
    """FIELD=VALUE lists as mappings; other values unchanged."""
    return {
        name: recipe_overrides(value) if get_origin(model.model_fields[name].annotation) is dict else value
        for name, value in given.items()
    }
