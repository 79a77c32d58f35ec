"""One table of all promises: `python -m benchmarks [NAME...] [--quick]`; the same as data goes to build/bench.json.

A bench that fails is a row too, and makes the exit code 1. A promise that is not reached is marked, and is no failure:
the figures are there to be read. `--quick` shortens the runs; its figures are for finding one's mistakes only.
"""

import argparse
import json
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from benchmarks import machine, promises
from benchmarks.rows import table

OUT = Path("build/bench.json")


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    options.add_argument("names", nargs="*", metavar="NAME", help=", ".join(promises.BENCHES))
    options.add_argument("--quick", action="store_true", help="short runs, whose figures prove nothing")
    asked = options.parse_args()
    if unknown := set(asked.names) - promises.BENCHES.keys():
        options.error(f"no bench {', '.join(sorted(unknown))}; there are {', '.join(promises.BENCHES)}")
    facts = machine.describe() | {"commit": _commit(), "quick": asked.quick}
    for name, fact in facts.items():
        print(f"{name:16} {fact}")
    rows, results, failed = [], {}, []
    for name in asked.names or promises.BENCHES:
        began = time.monotonic()
        print(f"... {name}", file=sys.stderr, flush=True)
        try:
            results[name] = promises.BENCHES[name](asked.quick)
            rows += promises.ROWS[name](results[name])
        except (Exception, SystemExit):  # noqa: BLE001 - one bench must not take the others' figures with it
            traceback.print_exc()
            failed.append(name)
        print(f"    {name}: {time.monotonic() - began:.0f} s, load {machine.load()}", file=sys.stderr, flush=True)
    print(table(rows))
    for name in failed:
        print(f"{name}: FAILED, no figures")
    _write({"machine": facts, "load at the end": machine.load(), "rows": rows, "results": results, "failed": failed})
    sys.exit(1 if failed else 0)


def _write(found: dict[str, Any]) -> None:
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _commit() -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
