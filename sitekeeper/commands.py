"""`sitekeeper`, alias `sk`: one lazy table of commands, so that starting up imports only the one asked for.

Each room owns its commands. The strings below are the one deliberate exception to the import contracts.
"""

import importlib
import io
import sys
from typing import Any, Final

import click

from sitekeeper import __version__

TABLE: Final[dict[str, tuple[str, str]]] = {
    # name: (module:command, one line of help)
    "demo": ("simulators.demo:demo", "A bad minute of a whole small estate, with every part real."),
    "run": ("edge.cli.run:run", "Run the gateway daemon for one site."),
    "join": ("edge.cli.join:join", "Make this box the gateway of a site, with a code of the office."),
    "office": ("office.cli:office", "The central office: run it."),
    "sim": ("simulators.cli:sim", "Run simulated devices from a scenario."),
    "status": ("edge.cli.status:status", "One look at this gateway."),
    "doctor": ("edge.cli.doctor:doctor", "What is wrong here, why, and what to do next."),
    "why": ("edge.cli.why:why", "Where the chain of one point breaks, from the wire to the office's record."),
    "discover": ("edge.cli.discover:discover", "Find devices: bacnet, modbus-tcp, modbus-rtu, mqtt."),
    "probe": ("edge.cli.probe:probe", "Ask a device directly, without any site file: modbus, bacnet, mqtt."),
    "device": ("edge.cli.device:device", "Devices: list, show."),
    "mqtt": ("edge.cli.mqtt:mqtt", "MQTT links: what came and could not be used."),
    "bus": ("edge.cli.bus:bus", "Links: watch their frames."),
    "point": ("edge.cli.point:point", "Points: list, read, watch, history, write."),
    "alarm": ("edge.cli.alarm:alarm", "Alarms: list, show, ack, unack, clear, shelve, out and back, stats."),
    "drill": ("edge.cli.drill:drill", "Drills: start, stop, show."),
    "lighting": ("edge.cli.lighting:lighting", "Tests of emergency lighting: status, test, log."),
    "muster": ("edge.cli.muster:muster", "Who was let in and was not read on the way out."),
    "rule": ("edge.cli.rule:rule", "Rules: list, test, backtest, explain, forget, watch-report, page."),
    "sync": ("edge.cli.sync:sync", "What waits for the office, and what it has: status, ledger."),
    "outbox": ("edge.cli.outbox:outbox", "The outbox: stats, check, backup, restore."),
    "audit": ("edge.cli.audit:audit", "Who asked for what, and whether that record stands: show, verify."),
    "config": ("edge.cli.config:config", "Site files: check, schema."),
    "version": ("edge.cli.version:version", "Versions of this program and what it stands on."),
}


class LazyGroup(click.Group):
    """A group that imports a command only when it is run or its own help is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(TABLE)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in TABLE:
            return None
        module, _, attribute = TABLE[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry[1]) for name, entry in TABLE.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in TABLE:
            near = _nearest(args[0])
            ctx.fail(
                f"no command {args[0]!r}" + (f"; did you mean {near}?" if near else f"; see {ctx.info_name} --help")
            )
        return super().resolve_command(ctx, args)


def _nearest(name: str) -> str:
    import difflib

    return next(iter(difflib.get_close_matches(name, TABLE, n=1)), "")


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 ok, 1 problem found or command failed, 2 usage, 3 daemon not running, 4 permission, "
    "5 device or office unreachable, 6 configuration invalid, 130 Ctrl-C.",
)
@click.version_option(__version__, "--version", prog_name="sitekeeper")
def cli() -> None:
    """Sitekeeper: gateway and office for lifts and the rest of a property site."""


def main() -> None:
    """Run the command line; Ctrl-C ends it with 130, and a reader that went away, as `head` does, quietly with 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal in Big5 or GBK shows `?` rather than a traceback
    try:
        result: Any = cli.main(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    sys.exit(result if isinstance(result, int) else 0)
