"""HTTP as uvicorn speaks it, with an end to its patience: it waits for the rest of a request for ever.

So a thousand connections on which nothing comes, or a byte now and then, would keep everybody else from the console.
"""

import asyncio
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE_S: Final = 10.0
"""A request that is not there in full after this time, or at most twice it, loses its connection."""


class HurriedProtocol(H11Protocol):
    """One connection. Between requests uvicorn's own limit of 5 s holds."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to look at the clock."""
        super().connection_made(transport)
        self._waited_for: object = None  # the request before, while the next one has not come in full
        self._look = self.loop.call_later(PATIENCE_S, self._check)

    def connection_lost(self, exc: Exception | None) -> None:
        """Look no more."""
        self._look.cancel()
        super().connection_lost(exc)

    def _check(self) -> None:
        incomplete = self.conn.their_state in {h11.IDLE, h11.SEND_BODY}
        if incomplete and self._waited_for is self.cycle:
            self.transport.abort()
            return
        self._waited_for = self.cycle if incomplete else self
        self._look = self.loop.call_later(PATIENCE_S, self._check)
