"""A matplotlib figure that a notebook shows at the end of a cell, without pyplot and its global state."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

DPI = 80  # low, because notebooks are stored together with their images


class NotebookFigure(Figure):
    """A matplotlib Figure that a notebook shows as a PNG image."""

    def _repr_png_(self) -> bytes:
        picture = io.BytesIO()
        self.savefig(picture, format="png", dpi=DPI)
        return picture.getvalue()
