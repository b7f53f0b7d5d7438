from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchtrans import BatchtransError, UsageError
from batchtrans.alignment import (
    AlignmentLog,
    AlignmentRecord,
    forms_of,
    read_groups,
    read_history,
    read_values,
    values_of,
)
from batchtrans.types import Location, Segment

HEADER = {"type": "run", "schema": 1, "time": "2026-01-01T00:00:00Z", "input": {"path": "a", "sha256": "0"}}

RECORDS = st.builds(
    lambda **fields: AlignmentRecord(**fields),
    segment=st.text(max_size=5),
    source=st.text(max_size=9),
    target=st.text(max_size=9),
    status=st.sampled_from(["ok", "failed"]),
    origin=st.sampled_from(["mt", "kept"]),
    why=st.text(max_size=3),
    form=st.none() | st.integers(0, 5),
    forms=st.integers(0, 3),
    part=st.integers(0, 3),
    parts=st.integers(0, 3),
    line=st.integers(0, 3),
    span=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    key=st.text(max_size=2),
    row=st.none() | st.integers(0, 3),
    column=st.text(max_size=2),
    context=st.text(max_size=2),
    flags=st.lists(st.text(max_size=3), max_size=2).map(tuple),
    state=st.sampled_from(["", "done"]),
    tries=st.integers(0, 2),
    masks=st.lists(st.text(max_size=3), max_size=3).map(tuple),
    logprob=st.none() | st.tuples(st.floats(-9, 0), st.floats(-9, 0)),
)


@given(RECORDS)
def test_a_record_comes_back_from_its_line(record: AlignmentRecord) -> None:
    values = orjson.loads(orjson.dumps(record.values()))
    assert AlignmentRecord.from_values(values) == record
    assert values.pop("type") == "record"
    assert list(values) == [
        name
        for name, value in record._asdict().items()
        if name in ("segment", "source") or value != AlignmentRecord._field_defaults[name]
    ]


SEGMENTS = st.builds(
    lambda **fields: Segment(**fields),
    id=st.text(min_size=1, max_size=5),
    raw=st.just(b""),
    source=st.just(("a",)),
    target=st.just(("a",)),
    location=st.builds(
        Location,
        *(st.integers(0, 3) for _ in range(3)),
        key=st.text(max_size=3),
        row=st.none() | st.integers(0, 3),
        column=st.text(max_size=3),
    ),
    slots=st.just(()),
    context=st.text(max_size=3),
    flags=st.frozensets(st.text(max_size=3), max_size=3),
)


@given(SEGMENTS, *(st.text(max_size=3) for _ in range(6)), st.none() | st.integers(0, 3), st.integers(1, 3))
def test_what_is_logged_of_a_whole_segment_is_what_its_record_has(
    segment: Segment,
    source: str,
    target: str,
    status: str,
    origin: str,
    why: str,
    state: str,
    form: int | None,
    forms: int,
) -> None:
    values = values_of(segment, source, target, status or "ok", origin or "mt", why, state, form, forms)
    line, start, end, key, row, column = segment.location
    record = AlignmentRecord(
        segment.id, source, target, status or "ok", origin or "mt", why, form, forms, line=line, span=(start, end),
        key=key, row=row, column=column, context=segment.context, flags=tuple(sorted(segment.flags)), state=state,
    )  # fmt: skip
    assert list(values.items()) == list(record.values().items())


def test_texts_may_look_like_the_end_of_a_line(tmp_path: Path) -> None:
    text = '},{"type":"record"},{'
    write(tmp_path / "log", [AlignmentRecord(text, text, text)], group("b"))
    (run,) = read_history(tmp_path / "log").runs
    assert list(read_groups(tmp_path / "log", run)) == [[AlignmentRecord(text, text, text)], group("b")]


def test_defaults_are_left_out() -> None:
    values = AlignmentRecord("a1", "Open", "Abrir").values()
    assert values == {"type": "record", "segment": "a1", "source": "Open", "target": "Abrir"}


def group(segment: str, forms: int = 1, parts: int = 1) -> list[AlignmentRecord]:
    return [
        AlignmentRecord(segment, f"s{form}.{part} ", f"t{form}.{part} ", form=form if forms > 1 else None, forms=forms,
                        part=part, parts=parts)
        for form in range(forms)
        for part in range(parts)
    ]  # fmt: skip


def write(path: Path, *groups: list[AlignmentRecord]) -> None:
    log = AlignmentLog(path)
    log.append(HEADER)
    log.write_groups([[record.values() for record in records] for records in groups])
    log.sync()
    log.close()


def test_groups_come_back_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    groups = [group("a"), group("b", forms=2, parts=3), group("c", parts=2)]
    write(path, *groups)
    (run,) = read_history(path).runs
    assert list(read_groups(path, run)) == groups
    assert forms_of(groups[1]) == ("t0.0 t0.1 t0.2 ", "t1.0 t1.1 t1.2 ")


def test_any_torn_tail_loses_only_its_own_segment(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, group("a"), group("b", forms=2, parts=2))
    whole = path.read_bytes()
    after_a = whole.index(b'"segment":"b"')
    for length in range(after_a, len(whole)):
        path.write_bytes(whole[:length])
        log = AlignmentLog(path)
        assert log.history.torn == length - log.history.length > 0
        log.write_groups([[record.values() for record in group("c")]])
        log.sync()
        log.close()
        (run,) = read_history(path).runs
        assert [records[0].segment for records in read_groups(path, run)] == ["a", "c"]


@pytest.mark.parametrize("text", ["not json\n", '{"type": "other"}\n', '{"type":"record","segment":"a","source":""}\n'])
def test_another_file_is_not_taken_for_a_log(tmp_path: Path, text: str) -> None:
    path = tmp_path / "log"
    path.write_text(text)
    with pytest.raises(BatchtransError, match=r"log|run line"):
        read_history(path)
    assert path.read_text() == text


@pytest.mark.parametrize("foreign", [b"{}\n", b'{"segment":"a"}\n', b"[1]\n", b"not json\n"])
def test_a_foreign_line_among_records_is_an_error(tmp_path: Path, foreign: bytes) -> None:
    path = tmp_path / "log"
    write(path, group("a"), group("b"))
    (run,) = read_history(path).runs
    whole = path.read_bytes()
    middle = whole.index(b'{"type":"record","segment":"b"')
    path.write_bytes(whole[:middle] + foreign + whole[middle:])
    for reader in (read_groups, read_values):
        with pytest.raises(BatchtransError, match="log is not an alignment log"):
            list(reader(path, run))
    path.write_bytes(whole[:middle])  # what the run promises is not there any more
    with pytest.raises(BatchtransError, match="log is not an alignment log"):
        list(read_values(path, run))


def test_a_later_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(orjson.dumps({**HEADER, "schema": 99}) + b"\n")
    with pytest.raises(BatchtransError, match="later version"):
        read_history(path)


def test_two_writers_cannot_share_a_log(tmp_path: Path) -> None:
    log = AlignmentLog(tmp_path / "log")
    with pytest.raises(UsageError, match="another run"):
        AlignmentLog(tmp_path / "log")
    log.close()
    AlignmentLog(tmp_path / "log").close()
