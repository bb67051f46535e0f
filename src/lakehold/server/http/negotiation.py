"""Which form an answer takes: content negotiation (RFC 9110 §12.5)."""

from __future__ import annotations

from collections.abc import Sequence

from lakehold.errors import NotAcceptable

HEADER_LENGTH_MAX = 2000


def negotiate(accept: str, offered: Sequence[str]) -> str:
    """Return the offered media type that ``accept`` likes best; the first wins a tie.

    Raises:
        NotAcceptable: none is acceptable.
    """
    ranges = _ranges(accept[:HEADER_LENGTH_MAX])
    if not ranges:
        return offered[0]
    best, best_quality = "", 0.0
    for media in offered:
        quality = _quality(media, ranges)
        if quality > best_quality:
            best, best_quality = media, quality
    if not best:
        raise NotAcceptable(
            "none of the media types that the Accept header names can be produced here",
            hint="There are " + ", ".join(offered) + ".",
        )
    return best


def accepts_encoding(header: str, offered: Sequence[str]) -> str | None:
    """Return the offered content coding that the client asks for by name, if any."""
    ranges = dict(_ranges(header[:HEADER_LENGTH_MAX]))
    best = max(offered, key=lambda coding: ranges.get(coding, 0.0))
    return best if ranges.get(best, 0.0) > 0 else None


def _ranges(header: str) -> list[tuple[str, float]]:
    ranges: list[tuple[str, float]] = []
    for part in header.split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if media:
            ranges.append((media, _weight(parameters)))
    return ranges


def _weight(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                return 0.0
            return weight if 0.0 <= weight <= 1.0 else 0.0
    return 1.0


def _quality(media: str, ranges: Sequence[tuple[str, float]]) -> float:
    """The weight of the most specific range that covers ``media``."""
    kind = media.partition("/")[0]
    for wanted in (media, f"{kind}/*", "*/*"):
        weights = [weight for name, weight in ranges if name == wanted]
        if weights:
            return max(weights)
    return 0.0
