"""Signals that end a run: Ctrl-C, and those with which a cluster or a closed terminal stops a process."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from jaxmac.processes.collective import any_process, mark_shared

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

LOST = ("_xla_gc_callback", "__del__")  # functions in which Python ignores what is raised, and prints a traceback


class Interruption:
    """A context in which SIGINT, SIGTERM and SIGHUP take effect at the next `check`, however many come.

    Within a chunk the members are given to the compiled function and cannot be saved, and what is written belongs
    together; so a signal waits until the chunk is over. After SIGTERM and SIGHUP, once everything is saved, the end
    of the context calls the handler that was there before, or ends the process with 128 plus the signal's number.
    A signal that the process ignores, such as SIGHUP under nohup, is still ignored. Outside the main thread nothing
    is caught.
    """

    def __init__(self, say: Callable[[str], None]):
        self.say = say  # how the user is told; the progress bar replaces it
        self.received: signal.Signals | None = None
        self.ended = False  # whether the caller has ended the run
        self._at_once = False
        self._handlers: dict[signal.Signals, object] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        if self.received in (None, signal.SIGINT):
            return
        if self._handlers[self.received] is signal.SIG_DFL:
            raise SystemExit(128 + self.received)
        signal.raise_signal(self.received)

    def _note(self, number: int, frame: FrameType | None) -> None:
        again, self.received = self.received is not None, self.received or signal.Signals(number)
        if self._at_once and (frame is None or frame.f_code.co_name not in LOST):
            self._at_once = False
            raise KeyboardInterrupt
        self.say("already stopping: the checkpoint is written first" if again else "stopping after this chunk ...")

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside, a signal raises KeyboardInterrupt at once: nothing that is done here would have to be saved."""
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if this process, or another one of the run, got a signal or was ended."""
        if any_process(self.ended or self.received is not None):
            raise mark_shared(KeyboardInterrupt())
