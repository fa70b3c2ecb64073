"""Run the notebooks of this folder from the first cell to the last and store them with their outputs.

    python -m experiments.notebooks.execute [NAME ...]

Needs `pip install 'jaxmac[notebooks,adapters]'`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
LARGEST = 400_000  # bytes of a stored notebook


def names() -> list[str]:
    """The notebooks that are there."""
    return sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def executed(name: str, timeout: int = 600) -> Any:
    """The notebook after a run in a fresh kernel that starts in the repository; `timeout`: seconds for a cell.

    Raises nbclient.exceptions.CellExecutionError where a cell fails.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    place = {"metadata": {"path": str(ROOT)}}
    options = {
        "record_timing": False,  # times would make every run look changed
        "coalesce_streams": True,  # and so would the pieces in which printed text arrives
    }
    NotebookClient(notebook, timeout=timeout, kernel_name="python3", resources=place, **options).execute()
    return notebook


def main() -> None:
    """Execute and store those named on the command line, or all."""
    import nbformat

    asked = sys.argv[1:] or names()
    unknown = sorted(set(asked) - set(names()))
    if unknown:
        raise SystemExit(f"no notebook {', '.join(unknown)}; there are {', '.join(names())}")
    for name in asked:
        path = FOLDER / f"{name}.ipynb"
        text = nbformat.writes(executed(name)) + "\n"
        if len(text) > LARGEST:
            raise SystemExit(f"{path.name} would have {len(text):,} bytes, more than {LARGEST:,}: nothing stored")
        path.write_text(text)
        print(f"{path.name}: {len(text):,} bytes")


if __name__ == "__main__":
    main()
