"""Mistakes made on purpose, each of which the search must find: a simulation that finds none of them proves nothing.

The mistake is made in the source text while the module is loaded, never in the tree; all modules of the sync and of the
simulation are loaded anew around it, and the sound ones are put back afterwards.
"""

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any, Final

from simulators.stage import replaced

UPLINK: Final = "cloud_sync.uplink_machine"
INGEST: Final = "cloud_sync.ingest_machine"
RECORDS: Final = "cloud_sync.ingest_records"
PARKING: Final = "cloud_sync.ingest_parking"
APPLY: Final = "cloud_sync.store.apply"
ALARMS: Final = "cloud_sync.store.alarms"
WIRE: Final = "cloud_sync.wire"
HOLDS: Final = "cloud_sync.holds"
LANES: Final = "cloud_sync.lanes"
DEALER: Final = "cloud_sync.dealer"
TEMPO: Final = "cloud_sync.tempo"
PROBING: Final = "cloud_sync.probing"
PACE: Final = "cloud_sync.pace"
LACKING: Final = "cloud_sync.lacking"
SAVED: Final = "cloud_sync.saved"
VOLATILE: Final = "cloud_sync.store.volatile"
ORDERS: Final = "edge.commands.orders"
RENEWED: Final = ("cloud_sync", "edge.commands.orders", "tests.simulation")

_RECEIPTED: Final = """\
            from cloud_sync.ingest_records import Answer
            from cloud_sync.wire import receipt_for
            one = put.block
            receipt = receipt_for(0, [(one.epoch, one.stream, one.sequence)])
            return [Answer(one.site, receipt), Acknowledge(arrival)]"""
_NOT_REPEATED: Final = """\
            if isinstance(entry, PutBlock) and applied != "repeat":
                block"""
_REPLACED: Final = """\
        self._sql.execute("UPDATE blocks SET digest = ? WHERE id = ?", (put.digest, found[0]))
        return found[0], "conflict\""""


@dataclass(frozen=True, slots=True)
class Bug:
    """One mistake.

    Attributes:
        seed: the smallest seed that is known to find it. changes: pairs of what stands there exactly once, and what
            stands there instead.
    """

    name: str
    seed: int
    module: str
    changes: tuple[tuple[str, str], ...]


BUGS: Final = (
    Bug("receipts are cumulative", 0, UPLINK, (("(committed.stream, start, end)", "(committed.stream, 1, end)"),)),
    Bug("a receipt of any epoch releases", 0, UPLINK, (("if committed.epoch == self.epoch", "if committed.epoch"),)),
    Bug(
        "the broker's answer is taken for the office's",
        1,
        UPLINK,
        (("            flight.since = now", "            self._done(stream, sequence, sequence)"),),
    ),
    Bug(
        "what has a receipt stays in flight",
        0,
        UPLINK,
        (("            flight = self._in_flight.pop(block)", "            flight = self._in_flight[block]"),),
    ),
    Bug(
        "a rewind goes to the other lane",
        10,
        LANES,
        (("        lane = BACKFILL if", "        lane = BACKFILL if not"),),
    ),
    Bug(
        "probing never ends",
        0,
        PROBING,
        (("        self.at = None\n        self.times = 0", "        self.times = 0"),),
    ),
    Bug(
        "a quarantined block is kept and stops its stream",
        5,
        UPLINK,
        (("return self._release([(stream, sequence, sequence)], now)", "return []"),),
    ),
    Bug(
        "a stream is held back for ever",
        5,
        HOLDS,
        (("in self.streams.items() if until <= now or everything]", "in self.streams.items() if everything]"),),
    ),
    Bug(
        "a new connection goes on where the old one broke",
        8,
        UPLINK,
        (("        self._lanes = Lanes()", "        self._lanes = self._lanes or Lanes()"),),
    ),
    Bug(
        "backfill earns no credit",
        0,
        PACE,
        (("min(self._credit + (now - self.now) * rate / SECOND, rate / 20)", "min(self._credit, rate / 20)"),),
    ),
    Bug(
        "no deadline for what is held",
        10,
        UPLINK,
        (("times = self.holds.deadlines()", "times: list[Micros] = []"),),
    ),
    Bug(
        "the newest block at connecting is in no lane",
        0,
        LANES,
        (("min(newest, self._split - 1)", "min(newest, self._split - 2)"),),
    ),
    Bug(
        "a shrinking window forgets blocks",
        26,
        UPLINK,
        (
            (
                '            if block[0] != "alarms":\n                self._rewind(block)',
                '            if block[0] != "alarms":\n                self._in_flight.pop(block)',
            ),
        ),
    ),
    Bug(
        "alarms wait for answers while probing",
        0,
        UPLINK,
        (("        if alarm is not None:  # a new alarm", "        if False:  # a new alarm"),),
    ),
    Bug(
        "a block that found no room is receipted",
        225,
        PARKING,
        (
            (
                '            self.counts["overflowed"] += 1\n            return [Acknowledge(arrival)]',
                _RECEIPTED,
            ),
        ),
    ),
    Bug(
        "alarms are applied as they come",
        77,
        INGEST,
        (("if position is None or block.sequence > position + 1:", "if position is None:"),),
    ),
    Bug(
        "what is missing is asked for once only",
        708,
        PARKING,
        (("if asked is not None and now - asked < self.every:", "if asked is not None:"),),
    ),
    Bug(
        "parking has no bound",
        225,
        PARKING,
        (("if key not in where and self.count() >= self.limits.parked:", "if self.limits.parked < 0:"),),
    ),
    Bug(
        "what is too new counts as done",
        10,
        RECORDS,
        (('if reason != "too-new" and applied', "if applied"),),
    ),
    Bug(
        "a repeat gets no receipt",
        1,
        INGEST,
        (("            if isinstance(entry, PutBlock):\n                block", _NOT_REPEATED),),
    ),
    Bug("no dedupe", 0, APPLY, (('if applied != "new":', 'if applied == "conflict":'),)),
    Bug("a conflict passes for a repeat", 12, APPLY, (("if found[1] == put.digest:", "if found[1]:"),)),
    Bug(
        "a conflict takes the place of the first",
        12,
        APPLY,
        (
            (
                '        return found[0], "conflict"',
                _REPLACED,
            ),
        ),
    ),
    Bug(
        "late samples overwrite the newest",
        8,
        APPLY,
        (('newer = "(excluded.sequence, excluded.position) > (latest.sequence, latest.position)"', 'newer = "1 = 1"'),),
    ),
    Bug(
        "the last one of a transaction passes for the newest",
        44,
        APPLY,
        (("if before is None or block.sequence >= before[0]:", "if before is None or before:"),),
    ),
    Bug(
        "a late move overwrites an alarm",
        29,
        ALARMS,
        (("            return  # an older move", "            pass  # an older move"),),
    ),
    Bug(
        "a restored office forgets what it asked for",
        32,
        LACKING,
        (("            if left and now - before.at < before.delay:", "            if left:"),),
    ),
    Bug(
        "a range of receipts bridges a hole",
        44,
        WIRE,
        (("if found and sequence == found[-1][1] + 1:", "if found and sequence <= found[-1][1] + 2:"),),
    ),
    Bug(
        "dropped blocks stay in flight",
        4,
        UPLINK,
        (("        self._done(stream, sequence, sequence)", "        pass"),),
    ),
    Bug(
        "missing alarms are waited for without end",
        65,
        INGEST,
        (("setdefault(key, now) < self.limits.give_up:", "setdefault(key, now) <= now:"),),
    ),
    Bug(
        "a block in quarantine takes no place under its number",
        10181,
        INGEST,
        (("            self._settled.add(key, header.sequence, header.sequence)", "            pass"),),
    ),
    Bug(
        "a block without a number explains no gap",
        13319,
        INGEST,
        (("if self._unread.explain(key[0], missing):", "if key == first:"),),
    ),
    Bug(
        "alarms that found no room are not asked for",
        23465,
        PARKING,
        (("        if last < following or", "        if last >= 0 or"),),
    ),
    Bug("a number that no site reaches is taken", 3, INGEST, (("if far := self._far(block, now):", 'if far := "":'),)),
    Bug(
        "receipts of saved blocks are cumulative",
        485,
        SAVED,
        (("[(committed.stream, start, end) for", "[(committed.stream, 1, end) for"),),
    ),
    Bug(
        "whoever answers for an earlier file is probed all the same",
        3068,
        UPLINK,
        (("        self._hear(now)\n        if epoch != self.epoch:", "        if epoch != self.epoch:"),),
    ),
    Bug(
        "alarms of an earlier file wait for a word that cannot come",
        3364,
        INGEST,
        ((" and self._words.is_over(key, since):", " and not key:"),),
    ),
    Bug(
        "what was told stays true though its number is settled otherwise",
        3349,
        VOLATILE,
        ((" or _is_never_to_come(sql, status.site, row))", ")"),),
    ),
    Bug(
        "what a dead process told from memory stays true",
        72,
        VOLATILE,
        (("\n    _lose(sql, rows, at)\n", "\n    del rows\n"),),
    ),
    Bug("a durable block doubles what was told", 14, VOLATILE, (("    if told is None:", "    if told or not told:"),)),
    Bug(
        "a site that was served waits no more",
        0,
        DEALER,
        (("        if turn.messages:\n            self", "        if len(turn.messages) > 1:\n            self"),),
    ),
    Bug("what waits has no bound", 0, DEALER, (("while self._waiting > self.count or", "while self.count < 0 or"),)),
    Bug("a slow office shuts the window", 26, TEMPO, (("max(1, self.window // 2)", "0"),)),
    Bug("an order is carried out again and again", 12, ORDERS, (("if order.id in self._used:", "if not order.id:"),)),
    Bug(
        "an order has all the time in the world",
        10,
        ORDERS,
        (("if not -EARLY <= age <= VALID_FOR or", "if not -EARLY <= age or"),),
    ),
)  # fmt: skip


class _Loader(SourceFileLoader):
    """Loads a module with the mistake in it, without byte code that could be taken for the sound one."""

    changes: dict[str, str]

    def get_code(self, fullname: str) -> CodeType:
        text = replaced(self.get_data(self.path).decode(), self.changes)
        return compile(text, self.path, "exec", dont_inherit=True)


class _Finder:
    """Finds the one module that is to be broken."""

    def __init__(self, bug: Bug) -> None:
        self._bug = bug

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self._bug.module:
            return None
        spec = PathFinder.find_spec(name, path)
        assert spec is not None
        assert spec.origin is not None
        loader = _Loader(name, spec.origin)
        loader.changes = dict(self._bug.changes)
        spec.loader = loader
        return spec


def _is_renewed(name: str) -> bool:
    return any(name == root or name.startswith(f"{root}.") for root in RENEWED)


@contextmanager
def broken(bug: Bug) -> Iterator[Callable[..., Any]]:
    """Give `world.run` of a simulation in which the mistake was made.

    Raises:
        ValueError: what is to be changed does not stand there exactly once.
    """
    sound = {name: module for name, module in sys.modules.items() if _is_renewed(name)}
    for name in sound:
        del sys.modules[name]
    finder = _Finder(bug)
    sys.meta_path.insert(0, finder)
    try:
        yield importlib.import_module("tests.simulation.world").run
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if _is_renewed(name)]:
            del sys.modules[name]
        sys.modules.update(sound)
        for name, module in sound.items():
            parent, _, attribute = name.rpartition(".")
            if parent in sys.modules:
                setattr(sys.modules[parent], attribute, module)
