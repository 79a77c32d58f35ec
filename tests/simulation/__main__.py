"""`python -m tests.simulation`: search seeds, replay one, or look for the mistakes made on purpose."""

import argparse
import sys

from tests.simulation.bugs import BUGS, broken
from tests.simulation.search import search, shrink, told
from tests.simulation.world import run


def main() -> int:
    """Return 0 if nothing was broken; for `bugs`, if every mistake was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    commands = parser.add_subparsers(dest="command")
    replay = commands.add_parser("replay", help="run one seed, and shrink its faults if it fails")
    replay.add_argument("seed", type=int)
    bugs = commands.add_parser("bugs", help="look for every mistake made on purpose")
    bugs.add_argument("--most", type=int, default=2_000, help="seeds for each")
    arguments = parser.parse_args()
    match arguments.command:
        case "replay":
            return _replay(arguments.seed)
        case "bugs":
            return _bugs(arguments.most)
        case _:
            return _search(arguments.first, arguments.seeds)


def _search(first: int, seeds: int) -> int:
    found = search(range(first, first + seeds))
    for result in found.failed:
        print(told(result), end="\n\n")
    rate = found.seeds / found.took_s
    print(f"{found.seeds} seeds, {len(found.failed)} failed; {rate:.1f} a second, {found.simulated_h:.1f} h simulated")
    for what, times in sorted(found.sometimes.items()):
        print(f"{times:8} {what}")
    return 1 if found.failed else 0


def _replay(seed: int) -> int:
    result = run(seed)
    if result.why:
        result = shrink(result)
    print(told(result))
    print(f"hash {result.digest}")
    return 1 if result.why else 0


def _bugs(most: int) -> int:
    missed = 0
    for bug in BUGS:
        with broken(bug) as run_broken:
            result = next((one for seed in range(most) if (one := run_broken(seed)).why), None)
        missed += result is None
        where = f"not found in {most} seeds" if result is None else f"seed {result.seed}: {result.why}"
        print(f"{bug.name}: {where}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
