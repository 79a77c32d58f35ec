"""Beyond our own network: the way to networks behind routers, and staying registered at a BBMD.

The library renews a registration and gives up for ever in two cases: when the BBMD was away for 30 s beyond a lifetime,
and when it refused once, as one does whose table is full or that has just started.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

LOOK: Final = 5.0
"""Seconds between two looks, and so the longest for which a registration stays lost once the BBMD would take it."""

_UNREGISTERED, _UNDER_WAY, _REGISTERED = -2, -1, 0
"""What the library calls them; whatever is above is a refusal, by its result code (135-2020, J.2.1)."""


def fixed(cache: Any, routes: Mapping[int, Any]) -> Any:
    """Return the library's table of routes with those in it that a site's addresses say: nobody on the wire moves them.

    Args:
        routes: network -> address of its router, looked up at each request.
    """
    found, learn = cache.get_path_info, cache.update_path_info

    async def path(network: int | None, wanted: int) -> Any:
        router = routes.get(wanted)
        return await found(network, wanted) if router is None else (router, 0)

    async def update(network: int | None, router: Any, reached: set[int]) -> None:
        await learn(network, router, reached - routes.keys())

    cache.get_path_info, cache.update_path_info = path, update
    return cache


class Registration:
    """Watches over a foreign device's link layer until it is stopped.

    Args:
        link: the library's link layer. bbmd: its address, and `seconds` the lifetime of a registration.
    """

    def __init__(self, link: Any, bbmd: Any, seconds: int) -> None:
        self._link, self._bbmd, self._seconds = link, bbmd, seconds
        self._next = asyncio.get_running_loop().call_later(LOOK, self._look)

    def stop(self) -> None:
        """Let it go: neither we nor the library will register again. The BBMD forgets us by itself."""
        self._next.cancel()
        self._silence()

    @property
    def state(self) -> str:
        """`registered`, `waiting` for an answer, or `refused`."""
        status = self._link.bbmdRegistrationStatus
        return {_REGISTERED: "registered"}.get(status, "refused" if status > 0 else "waiting")

    def _look(self) -> None:
        link = self._link
        self._next = asyncio.get_running_loop().call_later(LOOK, self._look)
        if link.bbmdRegistrationStatus not in {_UNDER_WAY, _REGISTERED}:
            self._silence()
            link.bbmdRegistrationStatus = _UNREGISTERED
            link.register(self._bbmd, self._seconds)

    def _silence(self) -> None:
        """Cancel every timer of the library's, so that none outlives the link or gets in the way of a new attempt."""
        self._link._stop_tracking_registration()  # noqa: SLF001 - it offers no way that sends nothing
