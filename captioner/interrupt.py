"""Ending politely: an interrupted run finishes its batch, saves, and can go on later."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def polite_interrupts() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and SIGTERM (docker stop, a job's time limit) into a flag, read by calling what this yields.

    A second signal ends at once, as it would without this.
    """
    asked = False

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            signal.default_int_handler(number, frame)
        asked = True

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # only the main thread may handle signals
        return
    previous = {number: signal.signal(number, remember) for number in SIGNALS}
    try:
        yield lambda: asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def leave_interrupts_to_parent(_worker: int) -> None:
    """In a process that reads photographs: leave signals to the main process.

    Launchers signal whole process groups; a reader that died of it would take the run down unsaved. Readers
    end when the main process does.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
