"""Where to ask: what people type for a host and its port. Pure."""


def place(written: str, default_port: int) -> tuple[str, int]:
    """Return host and port of `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`.

    Raises:
        ValueError: the port is not a number.
    """
    host, colon, port = written.rpartition(":")
    if not colon or written.endswith("]") or (":" in host and not host.endswith("]")):
        host, port = written, str(default_port)
    if not port.isdecimal():
        raise ValueError(f"{port!r} is not a port")
    return host.strip("[]"), int(port)
