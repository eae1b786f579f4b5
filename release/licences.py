"""Write docs/licences.md: every package that `pip install gamix_keras` brings, and its licence.

    make licences

The packages are found from the metadata of what is installed, as pip finds them: the requirements of this package,
theirs, and so on, on this machine's system and Python.
"""

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PAGE = Path(__file__).parent.parent / "docs" / "licences.md"
UNKNOWN = "unknown"
_HEAD = """# Licences

gamix_keras is under the Apache License 2.0. `pip install gamix_keras` also installs the packages below, under licences
of their own, as their metadata states them; nothing of them is part of this repository or of the wheel. `make licences`
writes this list; what an extra adds is not in it.

| package | licence |
| --- | --- |
"""
# Long texts in the place of a name, as some packages have them.
_BY_TEXT = {
    "Apache License": "Apache-2.0",
    "Permission is hereby granted, free of charge": "MIT",
    "Redistribution and use in source and binary forms": "BSD",
}


def packages(root: str = "gamix_keras") -> dict[str, str]:
    """Return the licence of each package that another one installs, by name, in alphabetical order."""
    found: dict[str, str] = {}
    waiting, seen = list(_required(root)), set()
    while waiting:
        wanted = waiting.pop()
        if wanted not in seen:
            seen.add(wanted)
            found[wanted[0]] = licence(metadata.distribution(wanted[0]))
            waiting += _required(*wanted)
    return dict(sorted(found.items()))


def _required(name: str, extra: str = "") -> Iterator[tuple[str, str]]:
    """Yield what a package with an extra requires: names, each with an extra."""
    for line in metadata.requires(name) or []:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            for wanted in ("", *requirement.extras):
                yield canonicalize_name(requirement.name), wanted


def licence(package: metadata.Distribution) -> str:
    """Return the licence that a package states: as an expression, as a name, as classifiers, or as a text."""
    about = package.metadata
    expression, text = about.get("License-Expression"), (about.get("License") or "").strip()
    if expression:
        return expression
    if text.upper() == "UNKNOWN":
        text = ""
    if text and "\n" not in text and len(text) < 60:
        return text
    classifiers = [line.split(" :: ")[-1] for line in about.get_all("Classifier", []) if line.startswith("License ::")]
    named = [line.removesuffix(" License") for line in classifiers if line != "OSI Approved"]
    files = [file.read_text() for file in package.files or [] if re.fullmatch(r"(?i)licen[cs]e(\.\w+)?", file.name)]
    whole = re.sub(r"\s+", " ", "\n".join([text, *files]))
    by_text = [name for part, name in _BY_TEXT.items() if part in whole]
    return ", ".join(named or by_text[:1]) or UNKNOWN


def page() -> str:
    """Return the page."""
    return _HEAD + "".join(f"| {name} | {stated} |\n" for name, stated in packages().items())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))
