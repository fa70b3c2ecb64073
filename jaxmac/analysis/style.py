"""What all figures share: colours, axes, level lines, the legend with what the lines are."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The palette of Okabe and Ito, which people with any common colour blindness can tell apart, without its yellow,
# which is too faint for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)))  # the next one each time the colours are used up
BEST, OTHER = "--", ":"  # dashes of levels: the best return, other policies
INK = "0.25"  # colour of everything that is not data: levels, marks and their labels
SMALL = 8  # points
LINE = 0.17  # inches for a further line of a label
DECADE = 0.5  # height of a decade on the logarithmic part of an axis, as a share of the bound's
BAND = 0.2  # opacity of an interval


def line_style(index: int) -> tuple[str, Any]:
    """Colour and dash pattern of the line with this index."""
    return COLOURS[index % len(COLOURS)], DASHES[index // len(COLOURS) % len(DASHES)]


def number(value: float, digits: int = 4) -> str:
    """A number with `digits` significant digits, never fewer than its integer part has, and a real minus sign."""
    return f"{value:,.{max(digits, len(f'{abs(value):.0f}'))}g}".replace("-", "\N{MINUS SIGN}")


def grid(count: int, width: float | None = None, height: float = 4.6) -> tuple[Figure, list[Any]]:
    """A figure and its `count` axes, at most three in a row, of these inches (width None: as fits a page)."""
    from jaxmac.analysis.figure import NotebookFigure

    columns = min(count, 3)
    rows = -(-count // columns)
    across = (width or (7.5 if columns == 1 else 5.5)) * columns
    figure = NotebookFigure(figsize=(across, height * rows), layout="constrained")
    return figure, [figure.add_subplot(rows, columns, index + 1) for index in range(count)]


def label_axes(axes: Any, title: str, xlabel: str, ylabel: str) -> None:
    """Labels, grid lines, and as many ticks as have room beside each other."""
    from matplotlib.ticker import MaxNLocator

    width = axes.figure.get_figwidth() / axes.get_subplotspec().get_gridspec().ncols
    axes.xaxis.set_major_locator(MaxNLocator(max(3, int(width)), steps=[1, 2, 2.5, 5, 10]))
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set_title(title, parse_math=False, pad=16)  # above the label of a mark
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)


def legend(figure: Figure, caption: str) -> None:
    """Draw one legend for all axes, below them, where it cannot cover a curve; `caption` says what lines are."""
    lines: dict[str, Any] = {}
    for axes in figure.axes:
        for line, label in zip(*axes.get_legend_handles_labels(), strict=True):
            lines.setdefault(label, line)
    width = figure.get_figwidth()
    across = max(20, int(11.5 * width) - 6)
    lines = {textwrap.fill(label, across, break_on_hyphens=False): line for label, line in lines.items()}
    figure.set_figheight(figure.get_figheight() + LINE * sum(label.count("\n") for label in lines))
    columns = max(1, min(3, len(lines), int(11.5 * width) // (max(map(len, lines), default=0) + 6)))
    drawn = figure.legend(
        list(lines.values()),
        list(lines),
        loc="outside lower center",
        ncols=columns,
        title="\n".join(textwrap.wrap(caption, int(15 * width))),
        title_fontsize=SMALL,
        frameon=False,
    )
    for text in drawn.get_texts():
        text.set_parse_math(False)  # a dollar sign in a label does not start a formula


def draw_levels(axes: Any, levels: Sequence[tuple[str, float, Any]]) -> None:
    """Draw horizontal lines (label, value, `BEST` or `OTHER`), labelled on the right, outside of the axes.

    Call it when the limits of the axes are final: labels that would cover each other are moved apart.
    """
    height = 72 * 3.2  # points, about
    least, last = 2.7 * SMALL, -float("inf")
    for label, value, dash in sorted(levels, key=lambda level: level[1]):
        axes.axhline(value, color=INK, linestyle=dash, linewidth=1.2, zorder=1.8)
        there = axes.transAxes.inverted().transform(axes.transData.transform((0, value)))[1] * height
        last = max(there, last + least)
        axes.annotate(
            f"{label}\n{number(value, 4 if dash == BEST else 3)}",  # what was measured is not that exact
            (1, value),
            (5, last - there),
            ("axes fraction", "data"),
            "offset points",
            color=INK,
            fontsize=SMALL,
            va="center",
            annotation_clip=False,
            parse_math=False,
        )


def mark(axes: Any, x: float, label: str, colour: str = INK) -> None:
    """Draw a thin vertical line with a short label above the axes."""
    axes.axvline(x, color=colour, linewidth=0.8, zorder=1)
    low, high = axes.get_xlim()
    side = "left" if x < (low + high) / 2 else "right"
    where: Any = ("data", "axes fraction")
    axes.annotate(label, (x, 1), (0, 2), where, "offset points", color=colour, fontsize=SMALL, ha=side)


def log_below(axes: Any, bound: float, lowest: float, highest: float) -> None:
    """Show these limits on an axis that is logarithmic below a negative bound; shade and name that part."""
    from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

    def forward(y: np.ndarray) -> np.ndarray:
        far = np.minimum(y / bound, 1e300)
        return np.where(y < bound, bound * (1 + DECADE * np.log10(np.maximum(far, 1.0))), y)

    def inverse(z: np.ndarray) -> np.ndarray:
        return np.where(z < bound, bound * 10 ** (np.maximum(z / bound - 1, 0.0) / DECADE), z)

    axes.set_yscale("function", functions=(forward, inverse))
    low, high = 1.3 * lowest, highest + 0.08 * (highest - bound)
    linear = np.asarray(MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(bound, high))
    decades = bound * 10.0 ** np.arange(0, np.log10(low / bound))
    axes.yaxis.set_major_locator(FixedLocator([*decades, *linear[(linear > bound) & (linear <= high)]]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: number(value))
    axes.axhspan(low, bound, color="0.5", alpha=0.12, linewidth=0, zorder=0)
    axes.set_ylim(low, high)
    where: Any = ("axes fraction", "axes fraction")
    words = f"logarithmic\nbelow {number(bound)}"
    axes.annotate(words, (1, 0), (5, 2), where, "offset points", color=INK, fontsize=SMALL, va="bottom")
