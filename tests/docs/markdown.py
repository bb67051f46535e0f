"""Markdown as the tests of the documentation read it: fenced blocks, links, headings."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
GUIDES = sorted((DOCS / "guide").glob("*.md"))
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])

_FENCE = re.compile(r"^```(.*)$")
_SKIP = re.compile(r"^<!-- not run: (.+) -->$")
_LINK = re.compile(r"(?<!`)\[[^\]\[]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass
class Block:
    """A fenced block.

    Attributes:
        language: ``sql``, ``console``, ``python`` …
        user: ``ana`` of a fence ``sql as ana``.
        skipped: the reason of a ``<!-- not run: … -->`` before it.
        shown: the text of a ``text`` block that follows: what it prints.
        line: where it begins.
    """

    language: str
    text: str
    line: int
    user: str = ""
    skipped: str = ""
    shown: str | None = None
    words: list[str] = field(default_factory=list)


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a page, each with the output that is shown for it."""
    found: list[Block] = []
    current: Block | None = None
    lines: list[str] = []
    reason = ""
    between = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if current is not None:
            if not fence:
                lines.append(line)
                continue
            current.text = "\n".join(lines)
            if current.language == "text" and found and not between:
                found[-1].shown = current.text
            else:
                found.append(current)
            current, between = None, False
        elif fence:
            words = fence[1].split()
            user = words[2] if words[1:2] == ["as"] else ""
            current = Block(words[0] if words else "", "", number, user, reason, words=words)
            lines, reason = [], ""
        elif skip := _SKIP.match(line):
            reason = skip[1]
        elif line.strip():
            between = True
            reason = ""
    assert current is None, f"{path}: a block is not closed"
    return found


def matches(shown: str, printed: str) -> bool:
    """Whether what is shown is what was printed; ``…`` stands for anything."""
    parts = []
    for line in shown.rstrip().splitlines():
        if line.strip() == "…":
            parts.append(r"(?:.*\n)*?")
            continue
        words = [re.escape(part) for part in line.rstrip().split("…")]
        parts.append(".*".join(words) + r"[ ]*\n")
    return re.fullmatch("".join(parts), printed.rstrip() + "\n") is not None


def links(path: Path) -> list[str]:
    """The targets of a page's links, without those in code."""
    text = re.sub(
        r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    return _LINK.findall(re.sub(r"`[^`\n]*`", "", text))


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as Git hosts make them."""
    found = set()
    for heading in _HEADING.findall(path.read_text(encoding="utf-8")):
        kept = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(kept.replace(" ", "-"))
    return found
