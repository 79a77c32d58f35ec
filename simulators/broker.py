"""The embedded MQTT broker (iotcore, MQTT 3.1.1) as a process of its own, for the demo and for tests without mosquitto.

`python -m simulators.broker --port N` prints `ready 127.0.0.1:N` once it accepts connections, and runs until killed:
the library has no way to stop, so SIGTERM ends the process as it would any other. Nothing is kept on disk.
"""

import argparse
import logging
import socket
import sys
import threading
import time
from typing import Final

from iotcore import IotCoreBroker

LISTEN: Final = "127.0.0.1"
"""The library's own default is every interface."""
PAYLOAD: Final = 1024 * 1024
"""Largest packet in bytes. The library's own default, 20 480, is less than one block."""
PATIENCE: Final = 10.0
"""Seconds to wait for the listener before giving up."""


def serve(port: int, max_payload: int = PAYLOAD) -> None:
    """Run the broker on this thread; never returns while it is well.

    Raises:
        OSError: the port is taken.
    """
    broker = IotCoreBroker(listen=LISTEN, port=port, max_payload_size=max_payload)
    broker.check_ports()
    # rumqttd reports every packet as an error span; only its real end is worth hearing
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
    threading.Thread(target=_announce, args=(port,), daemon=True).start()
    broker.run_forever()


def _announce(port: int) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            socket.create_connection((LISTEN, port), timeout=0.2).close()
        except OSError:
            time.sleep(0.02)
        else:
            sys.stdout.write(f"ready {LISTEN}:{port}\n")
            sys.stdout.flush()
            return
    sys.stderr.write(f"nothing listens on {LISTEN}:{port} after {PATIENCE:g} s\n")


def free_port() -> int:
    """Return a TCP port that is free at this moment."""
    with socket.socket() as sock:
        sock.bind((LISTEN, 0))
        port: int = sock.getsockname()[1]
        return port


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m simulators.broker", description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=1883, help="0 for a free one")
    parser.add_argument("--max-payload", type=int, default=PAYLOAD, help="bytes")
    given = parser.parse_args()
    try:
        serve(given.port or free_port(), given.max_payload)
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
