"""Words and formats that every room shares: a leaf with no socket, no database and no thread.

Words: `model`. Formats: `frame` (the envelope of all of them), `block`, `catalogue`, `order` (a signed command),
`chain` (records that show tampering), `control` (the local protocol), `enrolment` and `certificates` (how a box joins).
What people write: `located_yaml`, `faults`, `durations`, `profile`. What they read: `texts`, `story`, `alarm_quality`;
`audience` says what only some may. `export` is a stretch of a record as a file, `commands` the table of `sk`, `data`
finds what comes with this software, `files` writes small files whole.
"""

__version__ = "0.3.0"
