"""AVF on Box Pushing with preset `tuned`: three mixers on four grids (after Figure 4 of the AVF paper).

    python -m experiments.box_pushing --grid 10

Results: experiments/results/box_pushing_GRID.
"""

from experiments.common import Job, arguments, run

EPISODES = {6: 5_000, 8: 5_000, 10: 5_000, 20: 8_000}
THRESHOLD = {6: 98.0, 8: 98.0, 10: 98.0, 20: 95.0}
MIXERS = ("vdn", "qmix", "qplex")


def main() -> None:
    """Run the grids asked for."""
    grids = {"type": int, "nargs": "+", "choices": EPISODES, "default": list(EPISODES), "help": "grid sizes"}
    given = arguments(__doc__, range(200, 208), grid=grids)
    for grid in given.grid:
        given.running = ["--grid", str(grid)]
        jobs = [Job(f"AVF-{m.upper()}", f"avf-{m}", f"BoxPushing-{grid}", EPISODES[grid]) for m in MIXERS]
        run(f"box_pushing_{grid}", f"Box Pushing {grid}x{grid}, preset tuned", jobs, given, THRESHOLD[grid])


if __name__ == "__main__":
    main()
