"""Requests to stop: a flag that training checks between two steps, instead of ending in the middle of one."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)
_HINT = b"\nstopping as soon as a checkpoint is written; Ctrl-C once more stops at once\n"


class Stopped(KeyboardInterrupt):
    """Training was stopped by a signal, and has written a checkpoint.

    Args:
        signal_number: The signal.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")
        self.signal_number = signal_number


@contextmanager
def stop_requests() -> Iterator[Callable[[], int]]:
    """Yield a function that returns the number of SIGTERM or SIGINT once one has come, and 0 until then.

    A second signal acts as it did before. Outside the main thread, which alone can handle signals, nothing changes.
    """
    heard: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def hear(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        restore()
        if number == signal.SIGINT:
            os.write(2, _HINT)  # print is not safe here

    for number in SIGNALS:
        signal.signal(number, hear)
    try:
        yield lambda: heard[0] if heard else 0
    finally:
        restore()
