"""The notebooks run from top to bottom, without network, and are committed as they were written: not run."""

import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME
from jupyter_client.manager import KernelManager
from nbmake.nb_run import NotebookRun

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
CELL_SECONDS = 240
"""A cell takes ten seconds at most on a core of its own."""

LONGEST = ("3_looking_inside", "6_resuming_and_processes")
"""Half a minute each, left to `make test-slow`; what they show has tests of its own."""

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_seven():
    assert len(NOTEBOOKS) == 7


@each
def test_is_committed_without_results(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == NATIVE_KERNEL_NAME
    for cell in code(notebook):
        assert cell.outputs == [] and cell.execution_count is None


@each
def test_begins_with_a_title_and_ends_with_an_assertion(path):
    notebook = nbformat.read(path, as_version=4)
    assert notebook.cells[0].source.startswith("# ") and "It takes about" in " ".join(
        notebook.cells[0].source.split()
    )
    assert notebook.cells[-1].cell_type == "code" and "assert " in notebook.cells[-1].source


def test_the_kernel_is_the_interpreter_that_runs_the_tests():
    assert KernelManager(kernel_name=NATIVE_KERNEL_NAME).format_kernel_cmd()[0] == sys.executable


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=pytest.mark.slow if path.stem in LONGEST else (), id=path.stem) for path in NOTEBOOKS],
)
def test_runs(path, monkeypatch):
    """Quietly, with pictures inside, and without leaving a file behind."""
    # As many threads as a busy machine can do with; pictures go into the notebook whatever the environment says.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("MPLBACKEND", raising=False)
    before = sorted(FOLDER.iterdir())
    result = NotebookRun(path, CELL_SECONDS, kernel=NATIVE_KERNEL_NAME).execute()
    assert result.error is None, result.error.trace
    outputs = [output for cell in code(result.nb) for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2
    assert not [output.text for output in outputs if output.get("name") == "stderr"]
    trains = any("convdbn.train(" in cell.source for cell in code(result.nb))
    bars = ["application/vnd.jupyter.widget-view+json" in output.get("data", {}) for output in outputs]
    assert any(bars) or not trains, "a training shows its progress"
    assert sorted(FOLDER.iterdir()) == before
