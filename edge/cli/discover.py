"""`sk discover`: what devices there are, before anything is written about them."""

import click

from edge.cli.discover_bacnet import bacnet
from edge.cli.discover_modbus import rtu, tcp
from edge.cli.discover_mqtt import mqtt


@click.group()
def discover() -> None:
    """Find devices: bacnet, modbus-tcp, modbus-rtu; or what a broker carries: mqtt. It only ever reads."""


for _each in (bacnet, tcp, rtu, mqtt):
    discover.add_command(_each)
