"""Deliberately broken variants of the product, each with the test that must turn red, and how to make one."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from simulators.stage import replaced

ROOT: Final = Path(__file__).parents[2]
COPIED: Final = (
    "sitekeeper", "drivers", "edge", "cloud_sync", "office", "simulators", "config", "tests", "pyproject.toml",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One way of being wrong.

    Attributes:
        file: where the mistake is made. changes: (what stands there exactly once, what stands there instead).
        test: node id of the test that finds it.
    """

    name: str
    file: str
    changes: tuple[tuple[str, str], ...]
    test: str


_UNRELEASED: Final = (
    "tests/unit/cloud_sync/test_shells.py::test_without_an_office_nothing_is_released_whatever_the_broker_says"
)
_DEAD: Final = (
    "tests/acceptance/test_s4_doors.py::test_numbers_lost_while_the_gateway_is_dead_are_a_gap_and_nothing_is_told_twice"
)
_UNSEEN: Final = (
    "tests/unit/edge/test_commander.py::test_a_device_that_hangs_is_given_up_and_an_unseen_effect_is_unconfirmed"
)
_PUBLISHED: Final = "self._machine.published(stream, sequence, reason, self._clock.monotonic())\n"
_READ: Final = "self._remember(payload, (stream, sequence))\n"
_FORGET: Final = "self._source.release(self._source.epoch, [(stream, sequence, sequence)])\n"

MUTANTS: Final = (
    Mutant(
        name="receipt on broker acknowledgement",
        file="cloud_sync/uplink.py",
        changes=((_PUBLISHED, _PUBLISHED + " " * 8 + _FORGET),),
        test=_UNRELEASED,
    ),
    Mutant(
        name="delete on publish",
        file="cloud_sync/uplink.py",
        changes=((_READ, _READ + " " * 16 + _FORGET),),
        test="tests/unit/cloud_sync/test_shells.py::test_a_refused_topic_shows_and_does_not_reconnect",
    ),
    Mutant(
        name="no dedupe",
        file="cloud_sync/store/apply.py",
        changes=(('if applied != "new":', 'if applied == "conflict":'),),
        test="tests/unit/cloud_sync/test_store.py::test_a_block_twice_is_a_block_once",
    ),
    Mutant(
        name="no length check",
        file="drivers/modbus/reply.py",
        changes=(("if told != expected.size or there != expected.size:", "if False:"),),
        test="tests/unit/drivers/test_modbus_reply.py::test_wrong_answers",
    ),
    Mutant(
        name="wall-clock timers",
        file="edge/pipeline.py",
        changes=(
            ("self._clock = clock\n", "self._clock = clock\n        self._began = clock.wall() - clock.monotonic()\n"),
            ("mono=self._clock.monotonic(), trusted", "mono=self._clock.wall() - self._began, trusted"),
        ),
        test="tests/unit/edge/test_pipeline_clock.py::test_a_step_of_the_wall_clock_moves_no_timer",
    ),
    Mutant(
        name="bad input treated as false",
        file="edge/rules/engine.py",
        changes=(("record.value if record.q < 64 else None", "record.value if record.q < 64 else False"),),
        test="tests/unit/edge/rules/test_packs.py::test_the_tests_beside_the_shipped_rules_pass",
    ),
    Mutant(
        name="event acknowledged before the commit",
        file="drivers/mqtt/driver.py",
        changes=(("await self._durable(pending)", "await asyncio.sleep(0)"),),
        test="tests/unit/drivers/mqtt/test_acknowledging.py::test_acknowledged_only_when_durable",
    ),
    Mutant(
        name="event ledger forgotten at a restart",
        file="edge/app.py",
        changes=(("occurrences=Occurrences(state.rule_state)", "occurrences=Occurrences({})"),),
        test=_DEAD,
    ),
    Mutant(
        name="write confirmed without read-back",
        file="edge/commands/line.py",
        changes=(("shown = guard.shows(self.target, step.value, self._desk.present(since))", "shown = True"),),
        test=_UNSEEN,
    ),
    Mutant(
        name="interlock believed whatever its quality",
        file="edge/commands/guard.py",
        changes=(("is_good(sample.q) and self.fresh(point)", "self.fresh(point)"),),
        test="tests/unit/edge/test_never_remote.py::test_a_barrier_is_not_closed_unless_it_is_known_to_be_clear",
    ),
)  # fmt: skip


def copy_into(folder: Path) -> Path:
    """Copy everything that a test needs, so that nothing is ever broken in place."""
    folder.mkdir(exist_ok=True)
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "mutants"))
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Return what makes Python import from the copy, and never believe byte code of before a change."""
    return {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


@contextmanager
def broken(folder: Path, mutant: Mutant) -> Iterator[None]:
    """Make the mistake in the copy, for a while.

    Raises:
        ValueError: what is to be changed does not stand there exactly once.
    """
    file = folder / mutant.file
    sound = file.read_text(encoding="utf-8")
    file.write_text(replaced(sound, dict(mutant.changes)), encoding="utf-8")
    try:
        yield
    finally:
        file.write_text(sound, encoding="utf-8")
