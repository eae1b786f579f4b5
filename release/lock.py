"""Write requirements.lock: every package that `make test` installs, with its version and the hashes of its files.

    make lock                  renews what setup.cfg and constraints.txt ask for, and leaves other versions as they are
    make lock UPGRADE=1        takes the newest versions that they allow

uv resolves for Linux on the Python that runs this. Two things that no resolver knows are added. torch is listed with
the hashes of PyPI's files and, if a directory of wheels is configured for pip (PIP_FIND_LINKS), with that of a build
without CUDA, so that either is accepted. keras-cv is installed without its dependencies, because they install
keras-core, which it does not need under Keras 3.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCK, BUILD = ROOT / "requirements.lock", ROOT / "build"
EXTRAS = ("jax", "torch", "notebook", "test", "dev", "docs")
WITHOUT_DEPENDENCIES = ("keras-cv==0.9.0", "regex")
# The editable installation of this package is built with what is locked, not with what is newest.
MADE_WITH = ("setuptools>=77", "wheel")
# Libraries of torch's build with CUDA: several GB that no test uses. pip adds them after the lock if torch needs them.
_CUDA = re.compile(r"(nvidia-|cuda-|triton\b)")
_HEAD = """# Written by `make lock`: do not edit. What `make test` installs, with hashes (Linux, Python {python}).
# pip install --require-hashes --no-deps -r requirements.lock
"""
Entries = dict[str, tuple[str, set[str]]]  # pin and hashes by name


def entries(text: str) -> Entries:
    """Return pin and hashes of each package of a requirements file, by name."""
    found = {}
    for entry in re.sub(r"\\\n\s*", " ", text).splitlines():
        if entry.strip() and not entry.startswith("#"):
            pin, *hashes = entry.split(" --hash=")
            name = re.split(r"[=<>;\[ ]", pin)[0]
            found[name] = (pin.strip(), {value.strip() for value in hashes})
    return found


def _compile(name: str, requirements: list[str], *arguments: str) -> Entries:
    """Let uv resolve; versions in `build/NAME.lock` are kept if they can be."""
    asked, resolved = BUILD / f"{name}.in", BUILD / f"{name}.lock"
    asked.write_text("\n".join(requirements) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--generate-hashes", "--no-header"]
    command += ["--no-annotate", "--python", sys.executable, *arguments, "-o", str(resolved), str(asked)]
    subprocess.run(command, cwd=ROOT, check=True)
    return entries(resolved.read_text(encoding="utf-8"))


def _locked() -> Entries:
    extras = [word for extra in EXTRAS for word in ("--extra", extra)]
    places = [word for place in os.environ.get("PIP_FIND_LINKS", "").split() for word in ("--find-links", place)]
    found = _compile("all", list(MADE_WITH), "setup.cfg", "-c", "constraints.txt", *extras, *places)
    pin, hashes = found["torch"]
    pin = pin.partition("+")[0]
    of_pypi = _compile("alone", [pin, *WITHOUT_DEPENDENCIES], "--no-deps")
    return {**found, **of_pypi, "torch": (pin, hashes | of_pypi["torch"][1])}


def main() -> None:
    """Resolve, and write the file."""
    BUILD.mkdir(exist_ok=True)
    pins = entries(LOCK.read_text(encoding="utf-8")) if LOCK.exists() and "--upgrade" not in sys.argv else {}
    (BUILD / "all.lock").write_text("".join(f"{pin}\n" for pin, _ in pins.values()), encoding="utf-8")
    lines = [
        " \\\n".join([pin, *(f"    --hash={value}" for value in sorted(hashes))])
        for name, (pin, hashes) in sorted(_locked().items())
        if not _CUDA.match(name)
    ]
    head = _HEAD.format(python=".".join(map(str, sys.version_info[:2])))
    LOCK.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"{LOCK.name}: {len(lines)} packages")


if __name__ == "__main__":
    main()
