"""Write requirements.lock: every package that `make test` installs, with its version and the hashes of its files.

    make lock                  renews what setup.cfg and constraints.txt ask for, and leaves other versions as they are
    make lock UPGRADE=1        takes the newest versions that they allow

uv resolves for Linux on the Python that runs this. Two things that no resolver knows are done here. torch has files of
its own: with hashes, pip prefers PyPI's build, which needs several GB of CUDA's libraries, so `release/torch-cpu.lock`
names the build without them, for machines on which pip is told of a directory that has it (PIP_FIND_LINKS), and
`release/torch.lock` PyPI's for all others. keras-cv is installed without its dependencies, because they install
keras-core, which it does not need under Keras 3.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCK, BUILD = ROOT / "requirements.lock", ROOT / "build"
TORCH, TORCH_CPU = ROOT / "release" / "torch.lock", ROOT / "release" / "torch-cpu.lock"
EXTRAS = ("jax", "torch", "notebook", "test", "dev", "docs")
WITHOUT_DEPENDENCIES = ("keras-cv==0.9.0", "regex")
# The editable installation of this package is built with what is locked, not with what is newest.
MADE_WITH = ("setuptools>=77", "wheel")
# Libraries of torch's build with CUDA: several GB that no test uses. pip adds them after the lock if torch needs them.
CUDA = re.compile(r"(nvidia-|cuda-|triton\b)")
_HEAD = """# Written by `make lock`: do not edit. What `make test` installs, with hashes (Linux, Python {python}).
# pip install --require-hashes --no-deps -r {file}
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
    command += ["setup.cfg"] if "--extra" in arguments else []
    subprocess.run(command, cwd=ROOT, check=True)
    return entries(resolved.read_text(encoding="utf-8"))


def main() -> None:
    """Resolve, and write the files."""
    BUILD.mkdir(exist_ok=True)
    kept = {} if "--upgrade" in sys.argv else locked()
    pins = "".join(f"{pin}\n" for name, (pin, _) in kept.items() if name != "torch")
    (BUILD / "all.lock").write_text(pins, encoding="utf-8")
    extras = [word for extra in EXTRAS for word in ("--extra", extra)]
    places = [word for place in os.environ.get("PIP_FIND_LINKS", "").split() for word in ("--find-links", place)]
    found = _compile("all", list(MADE_WITH), "-c", "constraints.txt", *extras, *places)
    torch = found.pop("torch")
    if "+cpu" in torch[0]:
        _write(TORCH_CPU, {"torch": torch})
    alone = _compile("alone", [torch[0].partition("+")[0], *WITHOUT_DEPENDENCIES], "--no-deps")
    _write(TORCH, {"torch": alone.pop("torch")})
    _write(LOCK, {name: entry for name, entry in {**found, **alone}.items() if not CUDA.match(name)})


def locked() -> Entries:
    """Return what is locked now, PyPI's torch included."""
    there = [file for file in (LOCK, TORCH) if file.exists()]
    return {name: entry for file in there for name, entry in entries(file.read_text(encoding="utf-8")).items()}


def _write(file: Path, found: Entries) -> None:
    lines = [
        " \\\n".join([pin, *(f"    --hash={value}" for value in sorted(hashes))])
        for _, (pin, hashes) in sorted(found.items())
    ]
    head = _HEAD.format(python=".".join(map(str, sys.version_info[:2])), file=file.relative_to(ROOT))
    file.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"{file.relative_to(ROOT)}: {len(lines)} packages")


if __name__ == "__main__":
    main()
