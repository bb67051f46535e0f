"""The guides are run: every block, on a real platform, and what they show is what it prints."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.guide_run import GuideRun
from docs.markdown import GUIDES, blocks, matches
from lakehold.app import Platform
from lakehold.cli.profiles import Profile, Profiles
from lakehold.settings import Settings

RUN = ("console", "sql", "python")
STARTS_ONE_ITSELF = {"quickstart.md", "operations.md"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the reader works."""
    made = tmp_path / "reader"
    made.mkdir()
    return made


@pytest.fixture
def bare(folder: Path) -> Iterator[GuideRun]:
    """A reader with nothing running."""
    run = GuideRun(folder, free_port())
    yield run
    run.close()
    run._command("for folder in *lake*; do lakehold down --dir $folder; done")


@pytest.fixture
def served(folder: Path, conninfo: str, tmp_path: Path) -> Iterator[GuideRun]:
    """A reader with a platform, logged in as its administrator."""
    settings = Settings(
        dir=tmp_path / "lake", postgres_dsn=conninfo, http_port=free_port(), memory="1GB"
    )
    with Platform(settings) as platform:
        access = platform.parts.access
        token = access.create_token(
            "admin", name="guide", expires_in=None, by=access.principal("admin")
        )
        Profiles(folder / "config").put("default", Profile(platform.url, token, "admin"))
        run = GuideRun(folder, settings.http_port, {"": token}, names={"token": token})
        yield run
        run.close()


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.stem)
def test_a_guide_does_what_it_says(path: Path, request: pytest.FixtureRequest) -> None:
    run = request.getfixturevalue("bare" if path.name in STARTS_ONE_ITSELF else "served")
    for block in blocks(path):
        if block.language in RUN and not block.skipped:
            run.run(block)


def test_an_ellipsis_stands_for_anything() -> None:
    assert matches("a … c\n…\nz", "a b c\nmore\nlines\nz")
    assert matches("a\n…", "a")
    assert not matches("a … c", "a b d")
    assert not matches("a", "a\nb")
