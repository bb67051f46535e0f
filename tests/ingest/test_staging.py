"""The staging area: a quota, and nothing left behind."""

from __future__ import annotations

import os

import pyarrow as pa
import pytest

from lakehold.errors import InvalidRequest, InvalidValue, StorageFailed
from lakehold.ingest import ArrowInput, StagingArea


def staged_bytes(area, data):
    staged = area.create()
    staged.write(data)
    staged.finish()
    return staged


def arrow_bytes(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def test_a_full_quota_is_a_clear_error_and_deleting_gives_room_back(tmp_path):
    area = StagingArea(tmp_path / "staging", quota_bytes=10)
    first = staged_bytes(area, b"12345678")
    second = area.create()
    with pytest.raises(StorageFailed, match="quota is 10 bytes"):
        second.write(b"123")
    second.delete()
    first.delete()
    first.delete()
    assert area.used_bytes == 0
    assert os.listdir(area.folder) == []
    staged_bytes(area, b"1234567890").delete()


def test_what_an_earlier_process_left_is_deleted_at_the_start(tmp_path):
    area = StagingArea(tmp_path / "staging")
    staged_bytes(area, b"x")
    assert StagingArea(tmp_path / "staging").used_bytes == 0
    assert os.listdir(area.folder) == []


def test_staged_files_are_for_the_owner_alone(tmp_path):
    area = StagingArea(tmp_path / "staging")
    staged = staged_bytes(area, b"x")
    assert area.folder.stat().st_mode & 0o777 == 0o700
    assert staged.path.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFailed):
        StagingArea(tmp_path / "file" / "staging")


def test_arrow_streams_and_files_are_read(tmp_path):
    area = StagingArea(tmp_path)
    table = pa.table({"a": [1, 2]})
    assert ArrowInput(staged_bytes(area, arrow_bytes(table))).reader.read_all() == table
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    staged = staged_bytes(area, sink.getvalue().to_pybytes())
    assert ArrowInput(staged).reader.read_all() == table


@pytest.mark.parametrize("data", [b"", b"nope", b"\xff" * 100])
def test_what_is_not_arrow_is_refused(tmp_path, data):
    with pytest.raises(InvalidRequest, match="not an Arrow"):
        ArrowInput(staged_bytes(StagingArea(tmp_path), data))


def test_offsets_that_point_outside_of_their_buffer_are_refused(tmp_path):
    good = arrow_bytes(pa.table({"a": ["first", "second"]}))
    offsets = (0).to_bytes(4, "little") + (5).to_bytes(4, "little") + (11).to_bytes(4, "little")
    assert good.count(offsets) == 1
    bad = good.replace(offsets, offsets[:8] + (2**30).to_bytes(4, "little"))
    arrow = ArrowInput(staged_bytes(StagingArea(tmp_path), bad))
    with pytest.raises(Exception):
        arrow.reader.read_all()
    assert isinstance(arrow.failure, InvalidValue)
