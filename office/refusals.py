"""How many refused calls of one account are kept in the audit one by one. Pure; the clock comes in.

Whoever may look may also call, and each refusal is a row that stays for ever. So an account has twenty at once and then
one every ten seconds, with the number of those left out in it; refused they are all.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from sitekeeper.model.clock import SECOND, Micros

AT_ONCE: Final = 20
EVERY: Final[Micros] = 10 * SECOND
MOST_ACCOUNTS: Final = 1_000
"""Accounts remembered; beyond it the one that was refused longest ago is forgotten."""


@dataclass(slots=True)
class _Allowance:
    since: Micros
    rows: int = AT_ONCE
    left_out: int = 0


class Refusals:
    """The allowances of all accounts."""

    def __init__(self) -> None:
        self._accounts: OrderedDict[str, _Allowance] = OrderedDict()

    def keep(self, account: str, now: Micros) -> int | None:
        """Return how many refusals were left out since the last one that was kept; None: leave this one out too.

        Args:
            now: monotonic.
        """
        known = self._accounts.setdefault(account, _Allowance(now))
        self._accounts.move_to_end(account)
        while len(self._accounts) > MOST_ACCOUNTS:
            self._accounts.popitem(last=False)
        more = (now - known.since) // EVERY
        known.since += more * EVERY
        known.rows = min(AT_ONCE, known.rows + more)
        if not known.rows:
            known.left_out += 1
            return None
        known.rows -= 1
        left_out, known.left_out = known.left_out, 0
        return left_out
