"""A serial adapter that can be unplugged: a pseudo terminal under a name of its own, a server of frames behind it.

The server is a `frame_server.FrameServer` with `framing="rtu"`; what is written to the terminal goes to one connection
of it, and back. Nothing here knows the protocol.
"""

import asyncio
import contextlib
import os
import tty
from pathlib import Path
from typing import Final

CHUNK: Final = 4096


class SerialLine:
    """`name` is the path at which the adapter is found while it is plugged in, as a name below /dev/serial/by-id."""

    def __init__(self, name: Path, port: int = 0) -> None:
        self.name = name
        self._port = port
        self._ours = self._theirs = -1
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None

    async def plug(self, port: int = 0) -> None:
        """Make the terminal, and its name; `port` is the server's, if it was not said before."""
        self._port = port or self._port
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._ours)
        os.set_blocking(self._ours, False)
        reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        asyncio.get_running_loop().add_reader(self._ours, self._heard)
        self._task = asyncio.create_task(self._answer(reader), name=f"serial line {self.name.name}")
        self.name.unlink(missing_ok=True)
        self.name.symlink_to(os.ttyname(self._theirs))
        os.close(self._theirs)
        self._theirs = -1

    async def unplug(self) -> None:
        """Take name and terminal away, as when the adapter is pulled out."""
        self.name.unlink(missing_ok=True)
        if self._task is not None and self._writer is not None:
            asyncio.get_running_loop().remove_reader(self._ours)
            self._task.cancel()
            await asyncio.wait({self._task})
            self._writer.close()
            with contextlib.suppress(ConnectionError):
                await self._writer.wait_closed()
            os.close(self._ours)
            self._task = self._writer = None

    def _heard(self) -> None:
        with contextlib.suppress(OSError):  # nobody has the terminal open, or nothing is there after all
            data = os.read(self._ours, CHUNK)
            if data and self._writer is not None:
                self._writer.write(data)

    async def _answer(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(CHUNK):
            with contextlib.suppress(OSError):
                os.write(self._ours, data)
