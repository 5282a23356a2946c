"""`orchestrator suggest`: which architectures to label next, for those who label elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.campaign.config import IN_ROUNDS, CampaignConfig
from orchestrator.cli.data_notes import data_notes
from orchestrator.cli.options import Json, options_from
from orchestrator.cli.output import emit_rows, say
from orchestrator.cli.tables import Column
from orchestrator.errors import ConfigError
from predictor.atomic_write import replace_file
from predictor.errors import write_problem

_OPTIONS = ("task", "space", "num", "pool", "data", "fidelity", "recipe", "set", "seed", "store", "predictors")
_COLUMNS = (
    Column("genotype", "architecture"),
    Column("reason"),
    Column("score"),
    Column("mean"),
    Column("deviation"),
    Column("flops", "FLOPs", 1),
    Column("params", "", 1),
)


@options_from(CampaignConfig, _OPTIONS)
def suggest(
    fields: Mapping[str, Any],
    choose: Annotated[
        str, typer.Option(help="diverse (for the predictor), best (for the best network) or both.")
    ] = "both",
    out: Annotated[
        Path | None, typer.Option(help="CSV or JSON file that `label --architectures` and you can read.")
    ] = None,
    json: Json = False,
) -> None:
    """Suggest which architectures to label next, from the labels of the store. Nothing is trained or stored.

    Fewer than three labels give diverse architectures. Exit code 1: fewer than --num are left to suggest.
    """
    if choose not in IN_ROUNDS:
        raise ConfigError(f"--choose '{choose}': write one of {', '.join(IN_ROUNDS)}")
    if out is not None:
        _check_writable(out)
    config = CampaignConfig.checked(**fields, choose=choose)
    # Torch takes seconds to load; --help and wrong options do without.
    from orchestrator.campaign.plan import plan_template, with_space_name
    from orchestrator.cli.rounds import open_chooser_for
    from orchestrator.search.architectures_out import suggestion_rows, suggestions_text
    from orchestrator.search.history import labelled_architectures
    from orchestrator.store.delta import DeltaLabelStore

    config = with_space_name(config)
    with data_notes():
        template = plan_template(config)
    labels = DeltaLabelStore(config.store)
    known = labelled_architectures(labels, template)
    say(f"labels in {config.store}: {len(known)} architectures of {config.space} for {config.task} on {config.data}")
    chooser = open_chooser_for(config, template, labels)
    for labelled in known:
        chooser.tell(labelled.architecture, labelled.value, labelled.seconds)
    rows = suggestion_rows(chooser.ask(config.num))
    if out is not None:
        _write(out, suggestions_text(rows, out.suffix))
    emit_rows(rows, json, _COLUMNS)
    if len(rows) < config.num:
        say(f"only {len(rows)} of {config.num}: no other candidate has another graph: raise --pool")
    raise typer.Exit(0 if len(rows) == config.num else 1)


def _check_writable(out: Path) -> None:
    """Raise ConfigError unless the file can be written and `label --architectures` reads its format."""
    if out.suffix not in {".csv", ".json"}:
        raise ConfigError(f"--out {out}: must be a .csv or .json file")
    if out.is_dir() or not out.parent.is_dir():
        what = "is a folder" if out.is_dir() else f"folder {out.parent} does not exist"
        raise ConfigError(f"--out {out}: {what}: name a file in an existing folder")


def _write(out: Path, text: str) -> None:
    """Write the file. Raises ConfigError if that is not possible."""
    try:
        replace_file(out, text)
    except OSError as error:
        raise ConfigError(f"--out {out}: {write_problem(error, 'name a file that can be written')}") from None
    say(f"written: {out}")
