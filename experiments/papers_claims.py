"""What the papers claim with a figure or a table, as comparisons that stored results can decide."""

from __future__ import annotations

from typing import NamedTuple

from experiments.common import slug

SMALL_GRIDS = ("BoxPushing-6", "BoxPushing-8", "BoxPushing-10", "BoxPushing-12", "BoxPushing-14")
GRIDS = ("BoxPushing-10", "BoxPushing-20", "BoxPushing-30")
AVF_WAREHOUSES = ("Warehouse-S", "Warehouse-D", "Warehouse-T", "Warehouse-T1")
TOMACVF_WAREHOUSES = ("Warehouse-D", "Warehouse-D1", "Warehouse-T", "Warehouse-T1", "Warehouse-Q")  # its A to E
KITCHENS = ("Overcooked-A", "Overcooked-B", "Overcooked-C")
FACTORED = ("avf-vdn", "avf-qmix", "avf-qplex")
PRIMITIVE = ("BoxPushing-10-primitive", "Warehouse-S-primitive", "CaptureTarget-10-primitive")
ABLATIONS = ("BoxPushing-10, ablations", "Warehouse-D, ablations")
PAPERS_ABLATIONS = ("Overcooked-B, ablations", "Warehouse-Q, ablations")
FOLDERS = {task: f"primitive/{slug(task)}" for task in PRIMITIVE}
FOLDERS |= {task: f"tomacvf_ablations/{slug(task.partition(',')[0])}" for task in (*ABLATIONS, *PAPERS_ABLATIONS)}
FOLDERS |= {
    f"{task}, {mixer.upper()}": f"macro_state/{slug(task)}_{mixer}"
    for task in ("BoxPushing-10", "Warehouse-S")
    for mixer in ("qmix", "qplex")
}
"""Folders of experiments/results by task, where their summaries have the learners as labels."""
STATES = tuple(task for task, folder in FOLDERS.items() if folder.startswith("macro_state"))


class Claim(NamedTuple):
    """Each learner of `above` ends above each of `below`, on each task."""

    words: str  # the paper's claim, in ours
    above: tuple[str, ...]
    below: tuple[str, ...]
    tasks: tuple[str, ...]  # environments, or keys of FOLDERS
    remark: str = ""
    or_level: bool = False  # whether it holds as well where they are level
    level: bool = False  # whether it is that they are level
    most: bool = False  # whether more than half of the comparisons are enough

    @property
    def learners(self) -> tuple[str, ...]:
        """All that are compared."""
        return *self.above, *self.below


class Failure(NamedTuple):
    """No seed of any of the learners solves any of the tasks."""

    words: str  # the paper's claim, in ours
    learners: tuple[str, ...]
    tasks: tuple[str, ...]  # environments, or keys of FOLDERS
    remark: str = ""


class Learning(NamedTuple):
    """No seed of any of the learners solves any of the tasks, but each does better than one action repeated."""

    words: str  # the paper's claim, in ours
    learners: tuple[str, ...]
    tasks: tuple[str, ...]  # keys of FOLDERS whose summary has the return of one action repeated
    remark: str = ""


class Figure(NamedTuple):
    """A figure or table of a paper and what it is there for."""

    title: str
    claims: tuple[Claim | Failure | Learning, ...]
    reported: dict[str, dict[str, str]] = {}  # the paper's numbers: task -> learner -> mean and spread

    @property
    def learners(self) -> list[str]:
        """All that its claims are about."""
        return list(dict.fromkeys(x for claim in self.claims for x in claim.learners))

    @property
    def tasks(self) -> list[str]:
        """All that its claims are about."""
        return list(dict.fromkeys(task for claim in self.claims for task in claim.tasks))


FIGURES = (
    Figure(
        "AVF, Figure 4: Box Pushing and Warehouse",
        (
            Claim(
                "AVF-QPLEX performs better than AVF-VDN, AVF-QMIX and MacDec-Q in all domains.",
                ("avf-qplex",),
                ("avf-qmix", "avf-vdn", "mac-dec-q"),
                GRIDS + AVF_WAREHOUSES,
            ),
            Claim(
                "AVF-QMIX learns behaviour with higher payoffs than MacDec-Q and AVF-VDN in most environments.",
                ("avf-qmix",),
                ("mac-dec-q", "avf-vdn"),
                GRIDS + AVF_WAREHOUSES,
                most=True,
            ),
            Claim(
                "AVF-VDN learns behaviour with higher payoffs than MacDec-Q on Warehouse-D, T and T1.",
                ("avf-vdn",),
                ("mac-dec-q",),
                AVF_WAREHOUSES[1:],
            ),
            Claim(
                "On Box Pushing AVF-VDN is comparable to MacDec-Q.",
                ("avf-vdn",),
                ("mac-dec-q",),
                GRIDS,
                level=True,
            ),
            Claim(
                "AVF-VDN has the lowest return of the AVF algorithms.",
                ("avf-qmix", "avf-qplex"),
                ("avf-vdn",),
                GRIDS + AVF_WAREHOUSES,
            ),
            Claim(
                "MacDec-Q has the lowest return in all Warehouse tasks.",
                FACTORED,
                ("mac-dec-q",),
                AVF_WAREHOUSES,
            ),
            Failure("MacDec-Q fails on grids larger than BoxPushing-10.", ("mac-dec-q",), GRIDS[1:]),
        ),
    ),
    Figure(
        "AVF, Table 1: CaptureTarget-10",
        (
            Claim(
                "AVF-QPLEX is above all others.",
                ("avf-qplex",),
                ("avf-vdn", "avf-qmix", "mac-dec-q", "mac-cen-q", "mac-iaicc"),
                ("CaptureTarget-10",),
                "The paper adds that it alone solves the task in most runs. Always moving to the target, which "
                "takes no learning, captures it in .52 of the episodes, and here all learners end near that.",
            ),
            Claim(
                "Mac-IAICC and MacCen-Q are above most AVF algorithms (by the numbers: AVF-VDN and AVF-QMIX).",
                ("mac-iaicc", "mac-cen-q"),
                ("avf-vdn", "avf-qmix"),
                ("CaptureTarget-10",),
                "Mac-IAICC's is greedy play of all seeds in the same 1,000 episodes, whose own error the interval "
                "leaves out.",
            ),
            Failure("MacDec-Q fails.", ("mac-dec-q",), ("CaptureTarget-10",)),
        ),
        {
            "CaptureTarget-10": {
                "mac-dec-q": "0.05 ± 0.02",
                "mac-cen-q": "0.35 ± 0.09",
                "avf-vdn": "0.13 ± 0.05",
                "avf-qmix": "0.26 ± 0.08",
                "avf-qplex": "0.61 ± 0.09",
                "mac-iaicc": "0.29 ± 0.06",
            }
        },
    ),
    Figure(
        "AVF, Figure 5: the state that the mixer sees",
        (
            Claim(
                "With the real state of the environment the return is far below that with the joint macro-state.",
                ("joint",),
                ("real",),
                STATES,
                "The paper adds that it is negative: here with QMIX on BoxPushing-10 only.",
            ),
            Claim(
                "So it is with the macro-state of the agent alone that has terminated.",
                ("joint",),
                ("terminated",),
                STATES,
                "An environment that only the joint macro-state solves is in tests/algorithms/test_probes.py.",
            ),
        ),
    ),
    Figure(
        "AVF, Table 3: primitive actions",
        (
            Failure("On primitive actions VDN and QMIX fail.", ("VDN", "QMIX"), PRIMITIVE),
            Learning(
                "QPLEX learns something, but sub-optimal behaviour only.",
                ("QPLEX",),
                PRIMITIVE,
                "On Warehouse-S all of the paper's numbers are far above ours, and above doing nothing.",
            ),
            Claim("By the paper's numbers QPLEX is above both.", ("QPLEX",), ("VDN", "QMIX"), PRIMITIVE),
        ),
        {
            "BoxPushing-10-primitive": {
                "VDN": "-4.1 ± 10.5",
                "QMIX": "-2.0 ± 9.3",
                "QPLEX": "13.4 ± 2.6",
            },
            "Warehouse-S-primitive": {"VDN": "32 ± 4.5", "QMIX": "44 ± 6.2", "QPLEX": "61 ± 5.3"},
            "CaptureTarget-10-primitive": {
                "VDN": "0.04 ± 0.01",
                "QMIX": "0.09 ± 0.03",
                "QPLEX": "0.20 ± 0.04",
            },
        },
    ),
    Figure(
        "AVF, Figure 8: MacCen-Q and Mac-IAICC on the largest tasks",
        (
            Claim(
                "On BoxPushing-30 MacCen-Q is above AVF-QPLEX.",
                ("mac-cen-q",),
                ("avf-qplex",),
                GRIDS[2:],
                "The paper's text says Dec-MADDRQN here, but means the learner of joint observations.",
            ),
            Claim("On Warehouse-T1 it is below.", ("avf-qplex",), ("mac-cen-q",), ("Warehouse-T1",)),
            Claim(
                "At the same number of episodes Mac-IAICC is below AVF-QPLEX.",
                ("avf-qplex",),
                ("mac-iaicc",),
                ("BoxPushing-30", "Warehouse-T1"),
                "With more episodes it may get as far, the paper says.",
            ),
        ),
    ),
    Figure(
        "ToMacVF, Figures 4 to 6: Box Pushing, Warehouse, Overcooked",
        (
            Claim(
                "ToMacVF is above AVF (here AVF-QMIX: the same mixer, smaller hypernetworks) everywhere.",
                ("tomacvf-qmix",),
                ("avf-qmix",),
                (*SMALL_GRIDS, *TOMACVF_WAREHOUSES, *KITCHENS),
            ),
            Claim(
                "ToMacVF is above Mac-IAICC on large Box Pushing grids.",
                ("tomacvf-qmix",),
                ("mac-iaicc",),
                SMALL_GRIDS[2:],
                "The paper has Mac-IAICC degrade on larger grids; here it ends at the small boxes on 6x6, too.",
            ),
            Claim(
                "ToMacVF is above Mac-IAICC, or level with it, in Warehouse and Overcooked.",
                ("tomacvf-qmix",),
                ("mac-iaicc",),
                (*TOMACVF_WAREHOUSES, *KITCHENS),
                or_level=True,
            ),
            Claim(
                "Mac-NIACC is comparable to Mac-IAICC in Warehouse and Overcooked.",
                ("mac-niacc",),
                ("mac-iaicc",),
                (*TOMACVF_WAREHOUSES, *KITCHENS),
                "Of Mac-NIACC and Mac-CAC, which the figures show as well, there are sweeps only.",
                level=True,
            ),
            Claim(
                "MacDec-Q and MacCen-Q have the lowest returns in Warehouse and Overcooked.",
                ("tomacvf-qmix", "mac-iaicc"),
                ("mac-dec-q", "mac-cen-q"),
                (*TOMACVF_WAREHOUSES, *KITCHENS),
                "The paper quotes this from earlier work, and shows neither of them in the Warehouse.",
            ),
            Failure(
                "Its AVF performs poorly in Warehouse and Overcooked, with high variance (here: AVF-QMIX fails).",
                ("avf-qmix",),
                (*TOMACVF_WAREHOUSES, *KITCHENS),
            ),
            Failure(
                "Its AVF collapses to a return of zero in Box Pushing (here: AVF-QMIX fails).",
                ("avf-qmix",),
                SMALL_GRIDS,
                "The AVF paper reports the opposite of its own method.",
            ),
        ),
    ),
    Figure(
        "ToMacVF, Figure 7: ablations",
        (
            Claim(
                "Both ATPG and Mac-SJERT matter on Overcooked-B and on its Warehouse-E, which is Warehouse-Q here.",
                ("whole",),
                ("without ATPG", "without Mac-SJERT", "without both"),
                PAPERS_ABLATIONS,
            ),
            Claim(
                "On BoxPushing-10 and Warehouse-D, which the paper does not show, either matters.",
                ("whole",),
                ("without ATPG", "without Mac-SJERT", "without both"),
                ABLATIONS,
            ),
        ),
    ),
    Figure(
        "ToMacVF, Figure 8: mixers",
        (
            Claim(
                "ToMacVF with QMIX is above that with QTRAN and QPLEX in some kitchens of Overcooked.",
                ("tomacvf-qmix",),
                ("tomacvf-qtran", "tomacvf-qplex"),
                KITCHENS,
            ),
        ),
    ),
)
