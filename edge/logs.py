"""Log lines of the gateway: one JSON object a line on stderr, collected by the journal."""

import logging
import sys

import structlog

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(level: str = "info") -> None:
    """Set up structlog and the standard library's logging for this process. Raises KeyError for an unknown level."""
    line = '{"level": "%(levelname)s", "event": "%(message)s"}'
    logging.basicConfig(stream=sys.stderr, level=logging.ERROR, format=line)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
