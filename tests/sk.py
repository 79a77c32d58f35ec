"""`sk` as a process of its own, and the form of its answers."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jsonschema

SK = [sys.executable, "-c", "from sitekeeper.commands import main; main()"]
ENVELOPE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["schema", "ok", "at", "data", "problems"],
    "properties": {
        "schema": {"type": "string", "pattern": r"^sitekeeper\.[a-z]+([.-][a-z]+)*/1$"},
        "ok": {"type": "boolean"},
        "at": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|\+00:00)$"},
        "data": {},
        "problems": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["code", "message", "hint"],
                "properties": {
                    "code": {"type": "string", "pattern": "^[a-z][a-z-]*$"},
                    "message": {"type": "string", "minLength": 1},
                    "hint": {"type": "string"},
                },
            },
        },
    },
}


@dataclass
class Said:
    """What one run of `sk` came to."""

    code: int
    out: str
    err: str

    def table(self) -> list[dict[str, str]]:
        """Return the rows of a TSV answer."""
        header, *rows = [line.split("\t") for line in self.out.splitlines()]
        return [dict(zip(header, row, strict=True)) for row in rows]

    def envelope(self) -> dict[str, Any]:
        """Return a JSON answer, which has to have the form that scripts rely on."""
        answer: dict[str, Any] = json.loads(self.out)
        jsonschema.validate(answer, ENVELOPE)
        assert answer["ok"] == (not answer["problems"])
        return answer


def sk(*arguments: str, **environment: str) -> Said:
    """Run `sk` with its output on pipes and nothing on stdin."""
    env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environment}
    done = subprocess.run(
        [*SK, *arguments], capture_output=True, text=True, timeout=60, env=env, stdin=subprocess.DEVNULL
    )
    return Said(done.returncode, done.stdout, done.stderr)


def wait_for(condition: Callable[[], object], within: float = 30) -> None:
    until = time.monotonic() + within
    while not condition():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.05)
