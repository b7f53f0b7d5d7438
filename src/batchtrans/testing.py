"""The test kit for plugin authors: the laws of formats and backends as plain functions that raise AssertionError.

The kit reads and writes documents by code of its own, so that it is a second pair of eyes on a format and not the
engine once more. A message names the law, the file and the segment.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from .errors import CannotRender
from .types import (
    MASK_BASE,
    Backend,
    Constraint,
    Document,
    Edit,
    Format,
    Meter,
    OpenOptions,
    Piece,
    Request,
    Result,
    Segment,
    State,
)

_STARTED_AT = datetime(2024, 2, 29, 12, 0, tzinfo=timezone.utc)
_SWAP = str.maketrans(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)
#: The masks of one request lie in the private use area of the basic plane.
_MOST_MASKS = 0xF8FF - MASK_BASE + 1


def disguise(text: str) -> str:
    """A text that differs from ``text`` and fits wherever it fits: ASCII letters change case, an X goes in front.

    White space at the edges stays, and no character comes in that an ASCII-compatible charset could not hold.
    """
    core = text.strip()
    head = text[: len(text) - len(text.lstrip())] if core else text
    tail = text[len(text.rstrip()) :] if core else ""
    return f"{head}X{core.translate(_SWAP)}{tail}"


def splice(document: Document, replacements: Mapping[str, tuple[tuple[str, ...], State]]) -> bytes:
    """The document's bytes with new targets, written as the engine writes a changed document.

    ``replacements`` maps a segment's id to its new target and state. Every other segment keeps its text and is
    rendered as ``State.SKIP``; the declared edits of :meth:`Document.finish` are applied.
    """
    written, starts = [], []
    pieces = list(document.pieces())
    for piece, start, _ in _spans(pieces):
        if isinstance(piece, Segment):
            target, state = replacements.get(piece.id, (piece.target, State.SKIP))
            written.append(document.render(piece, target, state))
        else:
            written.append(piece)
        starts.append(start)
    for edit in sorted(document.finish(_STARTED_AT), key=lambda edit: (edit.start, edit.end), reverse=True):
        index = _literal_of(edit, pieces, starts)
        at, until = edit.start - starts[index], edit.end - starts[index]
        written[index] = written[index][:at] + edit.data + written[index][until:]
    return b"".join(written)


def check_format(
    format: Format,
    paths: Iterable[Path],
    *,
    source_lang: str = "en",
    target_lang: str = "es",
    values: Mapping[str, Sequence[str]] | None = None,
    translate: Callable[[str], str] = disguise,
) -> None:
    """Hold a format to its laws on each of ``paths``.

    1. The joined ``raw`` bytes are the file, every time it is read. 2. Rendering the present target and state gives
    ``raw`` back. 3. After new targets (``translate`` of the source) have been written, reading again gives the same
    ids, the same sources and those targets; what the document ``detected`` is told to the reader. 4. Outside the slots
    and the declared edits nothing has changed. Laws 3 and 4 are tried with all segments translated, with every other
    one, and with all of them fuzzy. ``values`` are the format's own options. A target that :meth:`Document.problem`
    objects to is left out.

    :raises AssertionError: naming the law that is broken, the file and the segment.
    :raises BatchtransError: where the format refuses a file or the options.
    """
    options = OpenOptions(source_lang, target_lang, {name: tuple(given) for name, given in (values or {}).items()})
    for path in paths:
        content = path.read_bytes()
        document = format.open(path, options)
        segments = _check_reading(document, content)
        _check_present_rendering(document, segments)
        wanted = _new_targets(document, segments, translate)
        for state, step in ((State.DONE, 1), (State.DONE, 2), (State.FUZZY, 1)):
            chosen = {identity: (target, state) for identity, target in list(wanted.items())[::step]}
            if chosen:
                _check_rewriting(format, document, options, segments, chosen)
        assert path.read_bytes() == content, f"{path}: the format has written to the file it reads"


def _spans(pieces: Iterable[Piece]) -> Iterable[tuple[Piece, int, int]]:
    """Each piece with its byte span in the file."""
    offset = 0
    for piece in pieces:
        size = len(piece.raw if isinstance(piece, Segment) else piece)
        yield piece, offset, offset + size
        offset += size


def _literal_of(edit: Edit, pieces: Sequence[Piece], starts: Sequence[int]) -> int:
    """The index of the literal piece that holds an edit."""
    for index, (piece, start) in enumerate(zip(pieces, starts, strict=True)):
        if isinstance(piece, bytes) and start <= edit.start <= edit.end <= start + len(piece):
            return index
    raise AssertionError(f"law 4, declared edits: {edit} does not lie inside literal bytes")


def _check_reading(document: Document, content: bytes) -> list[Segment]:
    path, pieces = document.path, list(document.pieces())
    joined = b"".join(piece.raw if isinstance(piece, Segment) else piece for piece in pieces)
    assert joined == content, (
        f"law 1, the joined pieces are the file: {path} differs from byte {_first_difference(joined, content)}"
    )
    assert list(document.pieces()) == pieces, f"law 1, a document can be read again: {path} reads differently then"
    states = [piece.state for piece in pieces if isinstance(piece, Segment)]
    assert list(document.states()) == states, f"states() and the segments of pieces() disagree on {path}"
    segments = []
    for piece, start, end in _spans(pieces):
        if isinstance(piece, Segment):
            _check_segment(document, piece, start, end)
            segments.append(piece)
    identity, count = max(
        Counter(segment.id for segment in segments).items(), key=lambda item: item[1], default=("", 0)
    )
    assert count <= 1, f"law 3, an id is unique: {path} has {count} segments {identity!r}"
    return segments


def _first_difference(left: bytes, right: bytes) -> int:
    return next((at for at, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


def _check_segment(document: Document, segment: Segment, start: int, end: int) -> None:
    where = f"{document.path}, segment {segment.id!r}"
    assert segment.id, f"law 3, a segment has an id: {where} has none"
    location = segment.location
    assert (location.start, location.end) == (start, end), (
        f"location: {where} stands at bytes {start}:{end}, not {location.start}:{location.end}"
    )
    bounds = [0, *(bound for slot in segment.slots for bound in slot), len(segment.raw)]
    assert bounds == sorted(bounds), f"slots: those of {where} are not sorted, disjoint spans of its raw bytes"
    assert 1 <= len(segment.source) <= 2, f"source: {where} has {len(segment.source)} items, not one or two"
    assert segment.target, f"target: {where} has none, not even an empty text"
    if not document.bilingual:
        assert segment.target == segment.source, f"one-language format: target and source of {where} differ"


def _check_present_rendering(document: Document, segments: Iterable[Segment]) -> None:
    for segment in segments:
        if segment.state is State.SKIP:
            continue  # rendering it may complete the structure around it
        rendered = document.render(segment, segment.target, segment.state)
        assert rendered == segment.raw, (
            f"law 2, the present target renders to the present bytes: {document.path}, segment {segment.id!r} "
            f"gives {rendered!r} for {segment.raw!r}"
        )


def _new_targets(
    document: Document, segments: Iterable[Segment], translate: Callable[[str], str]
) -> dict[str, tuple[str, ...]]:
    wanted = {}
    objections: list[str] = []
    for segment in segments:
        if segment.state is State.SKIP:
            continue
        forms = len(segment.target)
        if len(segment.source) > 1:
            forms = len(document.plural_samples) or forms
        target = tuple(translate(segment.source[min(form, len(segment.source) - 1)]) for form in range(forms))
        # Forms must differ, or a format that mixes them up would not be noticed.
        target = tuple(text + "X" * form for form, text in enumerate(target))
        problem = document.problem(segment, target)
        if problem is None:
            wanted[segment.id] = target
        else:
            objections.append(problem)
    assert wanted or not objections, f"{document.path}: no segment takes a new target: {objections[0]}"
    return wanted


def _check_rewriting(
    format: Format,
    document: Document,
    options: OpenOptions,
    segments: Sequence[Segment],
    chosen: Mapping[str, tuple[tuple[str, ...], State]],
) -> None:
    path = document.path
    try:
        content = splice(document, chosen)
    except CannotRender as error:
        raise AssertionError(f"law 3, what problem() lets pass can be rendered: {path}: {error}") from error
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / path.name
        copy.write_bytes(content)
        again = format.open(copy, replace(options, detected=document.detected))
        segments_again = _check_reading(again, content)
        _check_present_rendering(again, segments_again)
        edited = _with_edits(document)
        assert _outside(edited) == _outside(list(again.pieces())), (
            f"law 4, bytes outside slots and declared edits stay: {path} has changed{_where(edited, again)}"
        )
    ids, ids_again = [segment.id for segment in segments], [segment.id for segment in segments_again]
    assert ids == ids_again, f"law 3, the ids stay: {path} had {_difference(ids, ids_again)}"
    for before, after in zip(segments, segments_again, strict=True):
        _check_reread(document, before, after, chosen.get(before.id))


def _check_reread(
    document: Document, before: Segment, after: Segment, chosen: tuple[tuple[str, ...], State] | None
) -> None:
    where = f"{document.path}, segment {before.id!r}"
    target, state = chosen or (before.target, before.state)
    assert after.target == target, f"law 3, new targets are read again: {where} has {after.target!r}, not {target!r}"
    if not document.bilingual:
        return
    assert after.source == before.source, f"law 3, sources stay: {where} has {after.source!r}, not {before.source!r}"
    if chosen:
        # Not every format can store that a translation is doubtful.
        allowed = {state, State.DONE}
        assert after.state in allowed, f"law 3, states are read again: {where} is {after.state.name}, not {state.name}"


def _difference(left: Sequence[str], right: Sequence[str]) -> str:
    for a, b in zip(left, right, strict=False):
        if a != b:
            return f"segment {a!r} where there is {b!r} now"
    return f"{len(left)} segments, not {len(right)}"


def _with_edits(document: Document) -> list[Piece]:
    """The pieces of the document with the declared edits applied to the literal ones."""
    pieces = list(document.pieces())
    starts = [start for _, start, _ in _spans(pieces)]
    for edit in sorted(document.finish(_STARTED_AT), key=lambda edit: (edit.start, edit.end), reverse=True):
        index = _literal_of(edit, pieces, starts)
        literal = pieces[index]
        assert isinstance(literal, bytes)
        pieces[index] = literal[: edit.start - starts[index]] + edit.data + literal[edit.end - starts[index] :]
    return pieces


def _outside(pieces: Sequence[Piece]) -> list[bytes]:
    """What stands outside the slots: the literal bytes before, between and after the segments, and their skeletons."""
    outside = [b""]
    for piece in pieces:
        if isinstance(piece, Segment):
            outside += [piece.skeleton(), b""]
        else:
            outside[-1] += piece
    return outside


def _where(edited: Sequence[Piece], again: Document) -> str:
    ids = [piece.id for piece in edited if isinstance(piece, Segment)]
    left, right = _outside(edited), _outside(list(again.pieces()))
    for index, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            at = f"in segment {ids[index // 2]!r}" if index % 2 else f"before segment {[*ids, 'end'][index // 2]!r}"
            return f" {at}: {a!r} became {b!r}"
    return ": the number of segments differs"


@dataclass(frozen=True)
class _Probe:
    """One call of a backend: the requests in their order, and what came back by id."""

    requests: tuple[Request, ...]
    results: Mapping[int, Result]


def check_backend(
    backend: Backend,
    source_lang: str = "en",
    target_lang: str = "es",
    *,
    texts: Sequence[str] = ("Open the file.", "Good morning", "Save", "The file cannot be read because it is empty."),
    exact: bool = True,
) -> None:
    """Hold a backend to its laws; it is started and stopped here.

    One result per request; nothing comes of nothing; the same request gives the same text whatever stands beside or
    came before it, or is expected, in whatever order and batch size; a fingerprint of JSON values that holds what the
    preview said; an answer holds only masks of its request; under a constraint, if the backend ``constrains``, each of
    them once and in order; no more hypotheses than are asked for; a meter, if there is one, that measures every text
    once, and says before the start what holds after it. ``texts`` are what it is asked to translate. With
    ``exact=False`` the texts of differently composed batches are not compared, which 16-bit kernels of a GPU need.

    :raises AssertionError: naming the law that is broken and the request.
    """
    name = type(backend).__name__
    preview = backend.preview(source_lang, target_lang)
    bounds = _check_meter(backend, backend.meter(source_lang, target_lang), texts)
    fingerprint = backend.start(source_lang, target_lang)
    try:
        assert bounds in (None, _bounds(backend)), f"{name}: a meter sets what start() sets: {bounds} became another"
        _check_fingerprint(name, fingerprint)
        promised = {key: fingerprint.get(key) for key in preview}
        assert promised == preview, f"{name}: the preview is part of the fingerprint: {preview} became {promised}"
        requests = _requests(backend, texts)
        size = max(1, min(backend.batch_size, len(requests)))
        assert list(backend.translate(iter(()))) == [], f"{name}: empty in, empty out: results came for no request"
        first = _ask(backend, requests, size)
        _check_masks(backend, first)
        _check_twins(name, first)
        _check_constraint(backend)
        if backend.background:
            for expected in (requests[:size], requests[:1], requests[::-1][:size]):  # the second one never comes
                backend.expect(expected)
        trials = {
            "asked again": (requests, size),
            "in reversed order": (requests[::-1], size),
            "one by one": (requests, 1),
            "two at a time": (requests, min(2, size)),
        }
        for manner, (order, batch) in trials.items():
            again = _ask(backend, order, batch)
            for identity, result in first.results.items() if exact or manner == "asked again" else ():
                other = again.results[identity]
                assert other.target == result.target, (
                    f"{name}: no state, batching does not matter: {manner}, request {identity} gives "
                    f"{other.target!r}, not {result.target!r}"
                )
    finally:
        backend.stop()


def _bounds(backend: Backend) -> tuple[int, int, int]:
    return backend.masks, backend.batch_size, backend.batch_chars


def _check_meter(backend: Backend, meter: Meter | None, texts: Sequence[str]) -> tuple[int, int, int] | None:
    """What the backend says of itself before it starts, if it has a meter."""
    if meter is None:
        return None
    name = type(backend).__name__
    _check_fingerprint(f"{name}'s meter", meter.identity)
    batches = meter.batches(texts)
    count = sum(map(len, batches))
    assert count == len(texts), f"{name}: a meter measures every text once: {len(texts)} texts, {count} numbers"
    assert all(tokens >= 0 for batch in batches for tokens in batch), f"{name}: a meter counts tokens: {batches}"
    assert meter.batches([]) in ([], [[]]), f"{name}: a meter has nothing to say of no text"
    return _bounds(backend)


def _check_fingerprint(name: str, fingerprint: Mapping[str, object]) -> None:
    try:
        restored = json.loads(json.dumps(dict(fingerprint)))
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{name}: the fingerprint has JSON values: {error}") from error
    assert restored == fingerprint, f"{name}: the fingerprint has JSON values: {fingerprint} becomes {restored}"


def _requests(backend: Backend, texts: Sequence[str]) -> tuple[Request, ...]:
    """The texts, a duplicate of the first, an empty one, and one with placeholders as this backend gets them."""
    assert 0 <= backend.masks <= _MOST_MASKS, f"{type(backend).__name__}: masks is {backend.masks}"
    holes = [chr(MASK_BASE + mask) for mask in range(min(2, backend.masks))] or ["%s"]
    masked = " ".join(["Copy", holes[0], "to", *holes[1:]]) + "."
    sources = [*texts, texts[0], "", masked]
    return tuple(Request(10 * index + 3, source, target=source) for index, source in enumerate(sources))


def _ask(backend: Backend, requests: tuple[Request, ...], size: int) -> _Probe:
    """Send requests, ``size`` to a call, and demand one result for each."""
    name = type(backend).__name__
    results: dict[int, Result] = {}
    for start in range(0, len(requests), size):
        batch = requests[start : start + size]
        answers = list(backend.translate(iter(batch)))
        given = Counter(answer.id for answer in answers)
        for request in batch:
            count = given.pop(request.id, 0)
            assert count == 1, f"{name}: one result per request: request {request.id} got {count}"
        assert not given, f"{name}: one result per request: nobody asked for {sorted(given)}"
        results.update((answer.id, answer) for answer in answers)
    for request in requests:
        if not request.source:
            text = results[request.id].target
            assert text == "", f"{name}: empty in, empty out: the empty text of request {request.id} became {text!r}"
    return _Probe(requests, results)


def _check_masks(backend: Backend, probe: _Probe) -> None:
    if not backend.masks:
        return
    for request in probe.requests:
        allowed = {character for character in request.source if _is_mask(character)}
        foreign = {hex(ord(c)) for c in probe.results[request.id].target if _is_mask(c) and c not in allowed}
        assert not foreign, (
            f"{type(backend).__name__}: only masks of the request: request {request.id} got {sorted(foreign)}"
        )


def _check_constraint(backend: Backend) -> None:
    """The last masked text again, with everything that may be asked of its answer."""
    name = type(backend).__name__
    masks = [chr(MASK_BASE + number) for number in range(min(2, backend.masks))]
    source = " ".join(["Copy", *masks, "now"])
    constraint = Constraint(order=((1, 0),), without="%<") if backend.constrains and len(masks) == 2 else None
    request = Request(1, source, constraint=constraint, hypotheses=min(2, backend.hypotheses))
    (result,) = _ask(backend, (request,), 1).results.values()
    texts = [result.target, *result.others]
    assert len(texts) <= request.hypotheses, (
        f"{name}: {len(texts)} hypotheses where {request.hypotheses} were asked for"
    )
    for text in texts if constraint and not result.error else ():
        found = [character for character in text if _is_mask(character)]
        assert sorted(found) == masks, f"{name}: a constraint, each mask exactly once: {text!r}"
        assert found[1] == masks[0], f"{name}: a constraint, masks in their order: {text!r}"
        assert not set("%<") & set(text), f"{name}: a constraint, no characters that are ruled out: {text!r}"


def _is_mask(character: str) -> bool:
    return MASK_BASE <= ord(character) < MASK_BASE + _MOST_MASKS


def _check_twins(name: str, probe: _Probe) -> None:
    texts: dict[str, tuple[int, str]] = {}
    for request in probe.requests:
        text = probe.results[request.id].target
        other, expected = texts.setdefault(request.source, (request.id, text))
        assert text == expected, (
            f"{name}: identical requests give identical results: {request.id} and {other} got {text!r} and {expected!r}"
        )
