"""Run a notebook from top to bottom without Jupyter: Python cells in one namespace, cells that begin with ! in a shell.

`python -m tests.support.notebook FILE.ipynb` writes what the cells print into the file.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
# The program of this interpreter, whether or not it is on the path.
_PROGRAM = f"""orchestrator() {{ {sys.executable} -c 'from orchestrator.cli import main; main()' "$@"; }}\n"""


def run_notebook(path: Path, folder: Path) -> list[str]:
    """Run the code cells in a folder, and return what each printed. A cell that fails raises an error."""
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    names: dict[str, Any] = {}
    printed = []
    for cell in cells:
        source = "".join(cell["source"])
        if source.startswith("!"):
            printed.append(_run_shell(source.removeprefix("!"), folder))
        else:
            out = io.StringIO()
            with contextlib.chdir(folder), contextlib.redirect_stdout(out):
                exec(compile(source, path.name, "exec"), names)
            printed.append(out.getvalue())
    return printed


def _run_shell(script: str, folder: Path) -> str:
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": paths, "COLUMNS": "100", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        ["bash", "-c", _PROGRAM + script],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {script}{done.stdout}")
    return done.stdout


def _write_outputs(path: Path) -> None:
    """Run the notebook in a temporary folder and write the outputs into it."""
    with tempfile.TemporaryDirectory() as folder:
        printed = iter(run_notebook(path, Path(folder)))
    notebook = json.loads(path.read_text())
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            text = re.sub(r"\x1b\[[0-9;]*m", "", next(printed))
            stream = {"name": "stdout", "output_type": "stream", "text": text.splitlines(keepends=True)}
            cell["outputs"] = [stream] if text else []
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    _write_outputs(Path(sys.argv[1]))
