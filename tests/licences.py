"""The licence check of `make check`, and the writer of THIRD_PARTY.md (`python tests/licences.py --write`).

Fails when an installed package has a licence that ours cannot stand beside, or when THIRD_PARTY.md does not name
exactly the packages that a gateway, an office or a demo installs.
"""

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

ALLOWED = re.compile(
    r"\b(apache|mit|bsd|isc|psf|python software|mpl|mozilla|lgpl|lesser general public|unlicense|epl|0bsd|zlib"
    r"|public domain)",
    re.IGNORECASE,
)
PAGE = Path(__file__).parent.parent / "THIRD_PARTY.md"
EXTRAS = {"office", "demo"}
SILENT = {"atheris": "Apache-2.0"}
"""What packages are under that declare nothing: by the licence file of their source."""
HEAD = """# Third-party packages

What a gateway, an office and the demo install beside Sitekeeper, with the licence that each package declares.
Of these packages nothing is copied into this repository. Kept true by `make check`;
written by `python tests/licences.py --write`.

Two scripts for the browser lie in `office/console/static/vendor/` as their npm packages have them, each with its
licence beside it: htmx.org 2.0.11 (Zero-Clause BSD) and uPlot 1.6.32 (MIT).

| Package | Licence |
|---|---|
"""


def licences() -> dict[str, str]:
    """Return the declared licence of each installed package, by normalised name."""
    command = [str(Path(sys.executable).with_name("pip-licenses")), "--format=json", "--python", sys.executable]
    rows = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    declared = {_normal(row["Name"]): row["License"] for row in rows}
    return declared | {name: said for name, said in SILENT.items() if declared.get(name) == "UNKNOWN"}


def shipped(name: str = "sitekeeper", extras: set[str] = EXTRAS, seen: set[str] | None = None) -> set[str]:
    """Return every package that installing `name` with `extras` brings, itself left out."""
    found = set() if seen is None else seen
    for line in metadata.requires(name) or ():
        wanted = re.split(r"[\s;<>=!~\[(]", line, maxsplit=1)[0]
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        known = _normal(wanted)
        if (extra and extra.group(1) not in extras) or known in found or known == "sitekeeper":
            continue
        try:
            metadata.version(wanted)
        except metadata.PackageNotFoundError:
            continue  # for another Python or another system
        found.add(known)
        shipped(wanted, set(), found)
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> int:
    """Print the offenders and return 1 if there are any."""
    declared = licences()
    page = HEAD + "".join(f"| {name} | {declared[name]} |\n" for name in sorted(shipped() & set(declared)))
    if "--write" in sys.argv:
        PAGE.write_text(page, encoding="utf-8")
    wrong = [f"{name}: {text}" for name, text in declared.items() if not ALLOWED.search(text)]
    if PAGE.read_text(encoding="utf-8") != page:
        wrong.append("THIRD_PARTY.md is out of date: python tests/licences.py --write")
    print("\n".join(wrong) if wrong else f"licences of {len(declared)} packages: all permissive or weak copyleft")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
