"""What the command line decides before Keras is imported."""

import ctypes
import subprocess
import sys

import pytest

from gamix_keras.cli import environment

HAS_MALLOPT = sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt")
# How often the system has to hand out a page again while a block of 64 MiB is taken, written and freed ten times.
PAGES = """
import ctypes, resource, sys
from gamix_keras.cli.environment import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
library, size = ctypes.CDLL(None), 1 << 26
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    block = library.malloc(size)
    ctypes.memset(block, 1, size)
    library.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.backend_free
@pytest.mark.skipif(not HAS_MALLOPT, reason="glibc's allocator")
def test_freed_memory_is_kept_for_the_next_step():
    command = [sys.executable, "-c", PAGES]
    kept, returned = (
        int(subprocess.run([*command, how], capture_output=True, text=True, check=True).stdout)
        for how in ("keep", "return")
    )
    assert kept < 0.2 * returned


@pytest.mark.backend_free
def test_another_c_library_has_its_own_way(monkeypatch):
    monkeypatch.setattr(environment.ctypes, "CDLL", lambda name: object())
    environment.keep_freed_memory()
