"""Requests to stop: the first is noted, the second ends the process."""

import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.backend_free

# Both signals arrive while Python cannot handle them, as in a long step; then there is time to work on.
TWO = """
import os, signal, sys, time
from gamix_keras.interrupts import stop_requests
first, second = int(sys.argv[1]), int(sys.argv[2])
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background process ignores it
try:
    with stop_requests() as requested:
        signal.pthread_sigmask(signal.SIG_BLOCK, {first, second})
        os.kill(os.getpid(), first)
        os.kill(os.getpid(), second)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {first, second})
        print("worked on", requested())
except KeyboardInterrupt:
    print("interrupted")
"""
# The second comes after the first was noted.
LATER = TWO.replace("        os.kill(os.getpid(), second)\n", "").replace(
    'print("worked on", requested())', "assert requested() == first; os.kill(os.getpid(), second); time.sleep(5)"
)


@pytest.mark.parametrize("code", [TWO, LATER])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_process_at_once(code, second):
    first = signal.SIGINT if second == signal.SIGTERM else signal.SIGTERM
    arguments = [sys.executable, "-c", code, str(int(first)), str(int(second))]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert "worked on" not in done.stdout
    assert done.returncode == -signal.SIGTERM or done.stdout == "interrupted\n"


def test_one_signal_is_noted():
    code = TWO.replace("        os.kill(os.getpid(), second)\n", "")
    arguments = [sys.executable, "-c", code, str(int(signal.SIGTERM)), str(int(signal.SIGTERM))]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"worked on {int(signal.SIGTERM)}\n")
