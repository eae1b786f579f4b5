"""Run the notebooks anew and keep their outputs, one after another.

    make notebooks

A notebook is written once all of its cells have run, so one that fails keeps what it had.
"""

import argparse
import os
from pathlib import Path

import nbclient
import nbformat

from gamix_keras import files

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "notebooks"
SECONDS_PER_CELL = 900


def main() -> None:
    """Run those that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", metavar="NOTEBOOK", nargs="*", type=Path, help="default: all of notebooks/")
    for path in parser.parse_args().notebooks or sorted(FOLDER.glob("*.ipynb")):
        execute(path)
        print(path.name, f"{path.stat().st_size / 1000:.0f} kB", flush=True)


def execute(path: Path) -> None:
    """Run a notebook with this checkout's package, and write it with its outputs and nothing else."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    notebook = nbformat.read(path, as_version=4)
    kept = {"record_timing": False, "store_widget_state": False, "coalesce_streams": True}
    client = nbclient.NotebookClient(notebook, timeout=SECONDS_PER_CELL, kernel_name="python3", **kept)
    client.execute(cwd=str(FOLDER))
    notebook.metadata["language_info"] = {"name": "python"}  # not this machine's version
    with files.replacing(path) as temporary:
        nbformat.write(notebook, temporary)


if __name__ == "__main__":
    main()
