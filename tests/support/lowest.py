"""Prints a requirement for each dependency and extra: the lowest version that pyproject.toml allows.

See docs/lower-bounds.md for what it is for.
"""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent / "pyproject.toml"


def lowest() -> list[str]:
    """As in ``torch==2.9``; a dependency without a lower bound is a ValueError."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    pins = []
    for requirement in chain(project["dependencies"], *project["optional-dependencies"].values()):
        if requirement.startswith(f"{project['name']}["):  # other extras, which are listed themselves
            continue
        match = re.match(r"([\w.-]+)>=([\w.]+)", requirement)
        if match is None:
            raise ValueError(f"{requirement}: has no lower bound")
        pins.append(f"{match[1]}=={match[2]}")
    return sorted(set(pins))


if __name__ == "__main__":
    print("\n".join(lowest()))
