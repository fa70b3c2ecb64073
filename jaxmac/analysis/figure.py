"""A figure that shows itself at the end of a notebook cell, without pyplot and its state."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

DPI = 80  # small files: notebooks are stored with their pictures


class NotebookFigure(Figure):
    """A matplotlib Figure that a notebook shows as PNG."""

    def _repr_png_(self) -> bytes:
        picture = io.BytesIO()
        self.savefig(picture, format="png", dpi=DPI)
        return picture.getvalue()
