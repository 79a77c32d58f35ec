"""`sk probe`: ask a device one thing, with the very driver of the gateway and without any site file."""

import click

from edge.cli.probe_bacnet import bacnet
from edge.cli.probe_modbus import modbus
from edge.cli.probe_mqtt import mqtt


@click.group()
def probe() -> None:
    """Ask a device directly, without any site file: modbus, bacnet; or a broker: mqtt."""


for command in (bacnet, modbus, mqtt):
    probe.add_command(command)
