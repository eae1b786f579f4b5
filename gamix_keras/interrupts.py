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
    """Yield a function that returns the number of SIGTERM or SIGINT once one of them came, and 0 until then.

    A second signal acts at once, as it would without this. Outside the main thread Python handles no signals, and
    nothing is changed.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def first(number: int, frame: FrameType | None) -> None:
        received.append(number)
        # Not restored yet: Python drops a signal that came before its handler was set back to the default.
        for other in SIGNALS:
            signal.signal(other, second)
        if number == signal.SIGINT:
            os.write(2, _HINT)  # print is not safe here

    def second(number: int, frame: FrameType | None) -> None:
        restore()
        signal.raise_signal(number)

    def requested() -> int:
        if received:
            restore()  # from here on a second signal need not wait for Python to run
        return received[0] if received else 0

    for number in SIGNALS:
        signal.signal(number, first)
    try:
        yield requested
    finally:
        restore()
