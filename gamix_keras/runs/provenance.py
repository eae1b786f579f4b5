"""What a result depends on apart from its configuration: versions, machine, state of the code."""

import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

_BACKENDS = ("tensorflow", "tensorflow-cpu", "jax", "torch")
RECORDED_PACKAGES = ("gamix_keras", "keras", *_BACKENDS, "numpy", "scipy", "scikit-learn")


def session(from_epoch: int) -> dict[str, Any]:
    """Describe a training session that starts after `from_epoch` epochs, as plain values."""
    return {
        "from_epoch": from_epoch,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions(),
        "git": _git_state(),
    }


def versions() -> dict[str, str]:
    """Return the versions of the installed packages that numbers depend on."""
    return {name: version for name in RECORDED_PACKAGES if (version := _version(name))}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_state() -> dict[str, Any] | None:
    """Return the commit of the code that runs, and whether it was changed since; None outside a repository."""
    here = Path(__file__).parents[1]
    try:
        _git(here, "ls-files", "--error-unmatch", "__init__.py")
        commit = _git(here, "rev-parse", "HEAD")
        return {"commit": commit, "changed": bool(_git(here, "status", "--porcelain", "--", str(here)))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()
