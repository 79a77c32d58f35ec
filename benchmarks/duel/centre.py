"""The peer's centre: subscribes to what its gateway publishes, and writes down each value that arrives.

A session that outlives its connection, QoS 1; the acknowledgement goes out after the line was written. As its own
server does, it answers the question for limits (`getSessionLimits`): there are none. Without an answer the gateway
holds back.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt

ASKED, ANSWERED = "v1/devices/me/rpc/request/", "v1/devices/me/rpc/response/"
NO_LIMITS = {"maxPayloadSize": 65_536, "maxInflightMessages": 1_000, "rateLimits": {}, "gatewayRateLimits": {}}


def main() -> None:
    """Write down what arrives, until killed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--file", type=Path, required=True)
    asked = options.parse_args()
    out = asked.file.open("w", encoding="utf-8", buffering=1)

    def connected(client: mqtt.Client, *_: Any) -> None:
        client.subscribe([("v1/gateway/telemetry", 1), (f"{ASKED}+", 1)])

    def arrived(client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        if message.topic.startswith(ASKED):
            client.publish(ANSWERED + message.topic.removeprefix(ASKED), json.dumps(NO_LIMITS), qos=1)
            return
        at = time.time_ns() // 1_000
        for device, rows in json.loads(message.payload).items():
            for row in rows:
                for tag, value in row["values"].items():
                    out.write(json.dumps({"t": at, "d": device, "tag": tag, "value": value}) + "\n")

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="centre", clean_session=False)
    client.on_connect, client.on_message = connected, arrived
    client.connect("127.0.0.1", asked.port)
    client.loop_forever()


if __name__ == "__main__":
    main()
