"""What is installed is what was tested: the lock and the list of licences are complete."""

import configparser
import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from release import licences, lock

pytestmark = pytest.mark.backend_free
ROOT = Path(__file__).parents[2]
LOCKED = lock.locked()


def asked():
    """Every requirement of setup.cfg that `make test` installs."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    texts = [setup["options"]["install_requires"], *(setup["options.extras_require"][name] for name in lock.EXTRAS)]
    return [Requirement(line) for text in texts for line in text.splitlines() if line and not line.startswith("#")]


def test_what_setup_asks_for_is_locked():
    """Renew it with `make lock`."""
    for requirement in asked():
        pin, hashes = LOCKED[canonicalize_name(requirement.name)]
        assert Requirement(pin).specifier and hashes
        assert requirement.specifier.contains(pin.partition("==")[2], prereleases=True), f"{pin}, asked {requirement}"
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if not line.startswith("#"):
            assert LOCKED[line.partition("==")[0]][0] == line


def test_what_is_installed_is_locked():
    """All that the requirements bring, at any depth; not what somebody added by hand, or CUDA's libraries."""
    waiting, seen = [(requirement.name, extra) for requirement in asked() for extra in ("", *requirement.extras)], set()
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) not in seen and not lock.CUDA.match(name):
            seen.add((name, extra))
            pin, _ = LOCKED[canonicalize_name(name)]
            assert metadata.version(name).partition("+")[0] == pin.partition("==")[2]
            waiting += licences._required(name, extra)


def test_every_line_of_the_lock_has_hashes():
    assert len(LOCKED) > 100 and lock.entries(lock.TORCH_CPU.read_text())["torch"][0] == f"{LOCKED['torch'][0]}+cpu"
    for pin, hashes in LOCKED.values():
        assert re.fullmatch(r"[a-z0-9.-]+==[0-9][A-Za-z0-9.]*", pin)
        assert hashes and all(re.fullmatch("sha256:[0-9a-f]{64}", value) for value in hashes)


def test_entries_are_read():
    text = "# head\nsix==1.0 \\\n    --hash=sha256:ab \\\n    --hash=sha256:cd\npip==2\n"
    assert lock.entries(text) == {"six": ("six==1.0", {"sha256:ab", "sha256:cd"}), "pip": ("pip==2", set())}


def test_the_list_of_licences_is_complete():
    """Renew it with `make licences`."""
    rows = re.findall(r"^\| ([a-z0-9][a-z0-9-]*) \| (.+) \|$", licences.PAGE.read_text(encoding="utf-8"), re.M)[1:]
    found = licences.packages()
    assert dict(rows).keys() == found.keys()
    assert {"keras", "tensorflow", "numpy"} < found.keys() and licences.UNKNOWN not in found.values()
    assert not [stated for _, stated in rows if stated == licences.UNKNOWN]
