"""What DuckDB does not tell of a file: that its end is missing.

A gzip or Zstandard file that is cut off is read by DuckDB to where it stops, and so is a JSON array
that stops behind a comma.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa

from lakehold.errors import InvalidValue

PIECE_BYTES = 1024 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def first_and_last(path: Path, compression: str) -> tuple[bytes, bytes]:
    """The first and the last character of a file's text that are not blank; empty if none is.

    Raises:
        InvalidValue: the file is packed, and damaged or cut off.
    """
    first = last = b""
    for number, piece in enumerate(pieces(path, compression)):
        text = piece.removeprefix(_BYTE_ORDER_MARK) if number == 0 else piece
        first = first or text.lstrip()[:1]
        last = text.rstrip()[-1:] or last
    return first, last


def pieces(path: Path, compression: str) -> Iterator[bytes]:
    """A file's bytes, unpacked, a piece at a time: a bomb unfolds no further than one piece.

    Raises:
        InvalidValue: it is damaged or cut off.
    """
    if compression == "none":
        with path.open("rb") as file:
            yield from iter(partial(file.read, PIECE_BYTES), b"")
        return
    try:
        with pa.OSFile(str(path)) as packed, pa.CompressedInputStream(packed, compression) as file:
            yield from iter(partial(file.read, PIECE_BYTES), b"")
    except (OSError, pa.ArrowException) as error:
        raise InvalidValue(f"the {compression} file is damaged or cut off: {error}") from None
