"""`jaxmac bench`: throughput of environments and training."""

from __future__ import annotations

from collections.abc import Sequence

from jaxmac.cli.parsing import parse


def command_bench(arguments: Sequence[str]) -> int:
    """Throughput of environments and training."""
    from jaxmac.bench.run import BenchArguments, bench

    return bench(parse("bench", BenchArguments, arguments))
