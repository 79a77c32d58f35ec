"""The envelope of every binary format of ours: one byte of version, then one zstd frame with its size and checksum.

The frame must state its content's size, so that a few hostile bytes cannot ask for memory: the size is checked before
anything is unpacked. The checksum (xxHash64, RFC 8878 section 3.1.1) makes a damaged byte an error, not another value.
"""

from typing import Final

import zstandard

from sitekeeper.model.errors import FormatError, FormatTooNew

VERSION: Final = 1
_LEVEL: Final = 3


def seal(body: bytes) -> bytes:
    """Return `body` in an envelope. Equal bodies give equal bytes for one version of zstd."""
    # One compressor for each call: an object of the library may not be used from two threads at a time.
    return bytes([VERSION]) + zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(body)


def unseal(data: bytes, *, max_encoded: int, max_body: int) -> bytes:
    """Return the body of an envelope.

    Raises:
        FormatTooNew: made by a newer version of this software.
        FormatError: empty, damaged, cut short, longer than it should be, or beyond a limit.
    """
    if not data:
        msg = "no bytes"
        raise FormatError(msg)
    if len(data) > max_encoded:
        msg = f"{len(data)} bytes, more than the {max_encoded} allowed"
        raise FormatError(msg)
    if data[0] > VERSION:
        msg = f"format version {data[0]}, this software reads up to {VERSION}"
        raise FormatTooNew(msg)
    if data[0] != VERSION:
        msg = f"format version {data[0]} was never used"
        raise FormatError(msg)
    return _unpack(data[1:], max_body)


def _unpack(frame: bytes, max_body: int) -> bytes:
    try:
        head = zstandard.get_frame_parameters(frame)
        if not head.has_checksum:
            msg = "compressed without a checksum"
            raise FormatError(msg)
        # An unknown size is reported as 2**64 - 1 and so fails here too.
        if head.content_size > max_body:
            msg = f"would unpack to more than {max_body} bytes"
            raise FormatError(msg)
        body = zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        msg = f"cannot be unpacked: {error}"
        raise FormatError(msg) from None
    if len(body) != head.content_size:
        msg = f"unpacked to {len(body)} bytes instead of {head.content_size}"
        raise FormatError(msg)
    return body
