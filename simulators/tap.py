"""A third party on the broker: journals every message that a site sends; repeats are counted by nobody's own word.

`python -m simulators.tap --port N --journal FILE` writes one JSON line per message: wall time in microseconds, topic,
digest of the payload, size. It comes back by itself when the broker does.
"""

import argparse
import hashlib
import json
import signal
import threading
import time
from pathlib import Path
from typing import Any, TextIO

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

TOPIC = "sitekeeper/1/+/up/#"


class Tap:
    """Subscribes to everything that goes up and writes it down."""

    def __init__(self, host: str, port: int, journal: TextIO) -> None:
        self._address = (host, port)
        self._journal = journal
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=f"tap-{port}", protocol=mqtt.MQTTv311, clean_session=True
        )
        self._client.reconnect_delay_set(min_delay=1, max_delay=1)
        self._client.on_connect = self._connected
        self._client.on_message = self._arrived

    def start(self) -> None:
        """Connect in a thread of the library's own, again and again."""
        self._client.connect_async(*self._address, keepalive=10)
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect and end the thread."""
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe(TOPIC, qos=1)

    def _arrived(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        line = {
            "t": time.time_ns() // 1_000,
            "topic": message.topic,
            "digest": hashlib.blake2b(message.payload, digest_size=16).hexdigest(),
            "size": len(message.payload),
            "retained": message.retain,
        }
        self._journal.write(json.dumps(line) + "\n")
        self._journal.flush()


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m simulators.tap", description=__doc__.partition("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--journal", type=Path, required=True)
    given = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with given.journal.open("a", encoding="utf-8") as journal:
        tap = Tap(given.host, given.port, journal)
        tap.start()
        stopped.wait()
        tap.stop()


if __name__ == "__main__":
    main()
