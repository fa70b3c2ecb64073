"""A run in memory and on disk: its directory, members, checkpoints, result and the sinks that get its metrics."""

from jaxmac.runs.directory import RunDirectoryError
from jaxmac.runs.result import Result, load
from jaxmac.runs.sinks import Sink, register_sink

__all__ = ["Result", "RunDirectoryError", "Sink", "load", "register_sink"]
