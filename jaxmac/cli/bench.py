"""`jaxmac bench`: measure the throughput of environments and of training."""

from __future__ import annotations

from collections.abc import Sequence

from jaxmac.cli.parsing import parse


def command_bench(arguments: Sequence[str]) -> int:
    """Run the benchmarks, print tables and write a report."""
    from jaxmac.bench.run import BenchArguments, bench

    return bench(parse("bench", BenchArguments, arguments))
