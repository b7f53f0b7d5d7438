"""The types that pass between formats, backends and the engine, and the two base classes that plugins implement.

A file is a stream of *pieces* in file order: literal ``bytes`` that nothing may change, and :class:`Segment`
objects, each with the byte spans (*slots*) that a translation may replace. A backend sees :class:`Request`
objects and never a file; a format never sees a model.

What exists once for each text is a named tuple: as immutable as a frozen dataclass and made in a quarter of its time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    from .calibration import Calibration

#: Placeholders travel to a backend as private-use characters from here on: mask ``i`` is ``chr(MASK_BASE + i)``.
MASK_BASE = 0xE000


class State(Enum):
    """How far a segment is translated. ``SKIP`` means: leave the slot's text alone, now and in the output."""

    NEW = "new"
    DONE = "done"
    FUZZY = "fuzzy"
    SKIP = "skip"

    __hash__ = object.__hash__  # members are single objects; what Enum has instead is slow, and every segment asks


class Location(NamedTuple):
    """Where a segment stands: ``line`` from 1, byte span ``start:end`` of its raw bytes, and the format's own
    coordinates (``key`` of a catalogue entry, ``row`` from 1 and ``column`` name of a table cell)."""

    line: int
    start: int
    end: int
    key: str = ""
    row: int | None = None
    column: str = ""


class Segment(NamedTuple):
    """One translatable unit of a document.

    ``id`` is unique in its document and does not depend on the target. ``raw`` are the bytes of the unit in the
    file; ``slots`` are the sorted, disjoint spans of ``raw`` (possibly empty ones) that :meth:`Document.render` may
    replace. ``source`` has one item, or singular and plural; ``target`` has one item, or one per plural form of
    the target language. In a one-language format ``target`` is the source itself. ``note`` is the author's remark for
    translators, and of a ``SKIP`` segment the reason. ``private`` is for the format.
    """

    id: str
    raw: bytes
    source: tuple[str, ...]
    target: tuple[str, ...]
    location: Location
    slots: tuple[tuple[int, int], ...]
    state: State = State.NEW
    context: str = ""
    note: str = ""
    flags: frozenset[str] = frozenset()
    private: Any = None

    def skeleton(self) -> bytes:
        """The bytes of ``raw`` outside the slots, which no translation may change; NUL stands for a slot."""
        if len(self.slots) == 1:
            ((start, end),) = self.slots
            return self.raw[:start] + b"\0" + self.raw[end:]
        kept, position = [], 0
        for start, end in self.slots:
            kept.append(self.raw[position:start])
            position = end
        kept.append(self.raw[position:])
        return b"\0".join(kept)


#: The same of all fields in order, in half the time: for formats of files with very many segments.
new_location: Callable[[tuple[object, ...]], Location] = partial(tuple.__new__, Location)
new_segment: Callable[[tuple[object, ...]], Segment] = partial(tuple.__new__, Segment)

Piece = bytes | Segment


@dataclass(frozen=True, slots=True)
class Edit:
    """A declared change outside the slots: bytes ``start:end`` of the file become ``data``; ``why`` goes to the log."""

    start: int
    end: int
    data: bytes
    why: str


@dataclass(frozen=True, slots=True)
class OpenOptions:
    """What a format is told about the run. ``values`` are its own declared options, each with all given values.

    ``detected`` is what an earlier reading found out (:attr:`Document.detected`), of this file or of the one that it is
    the output of: a format takes it as it is, so that all readings of a run go by one decision.
    """

    source_lang: str
    target_lang: str
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    force: bool = False
    detected: Mapping[str, str] = field(default_factory=dict)

    def one(self, name: str, default: str = "") -> str:
        """The last value given for the option ``name``."""
        values = self.values.get(name)
        return values[-1] if values else default


class Document(ABC):
    """One opened file. :meth:`pieces` can be called again and again, and each time reads the file anew.

    ``bilingual`` says whether source and target stand side by side (a catalogue) or the target replaces the source
    (a text). ``plural_samples`` has, for each plural form of the target, a number that selects it, 1 if that does, and
    ``plural_several`` one that is not 1 if there is one (both empty where the
    format has no plurals); ``plural_relaxed`` says of each form whether so few numbers select it that it may leave
    the number out (gettext: fewer than 5 of 0 to 1000), unless :meth:`relaxed` knows more of a segment. ``newline`` is
    the document's usual line end, for the log only.

    ``detected`` is what the format found out about the file where the user's options left it open, by names of its own
    (a table's delimiter), and would perhaps not find in the output. It goes to the log and to every later opening.
    """

    bilingual: bool = False
    plural_samples: tuple[int, ...] = ()
    plural_several: tuple[int, ...] = ()
    plural_relaxed: tuple[bool, ...] = ()
    encoding: str = "utf-8"
    newline: str = "\n"
    detected: Mapping[str, str] = MappingProxyType({})
    notes: Sequence[str] = ()  #: remarks for the user, such as "no charset, read as UTF-8"
    declared_lang: str = ""  #: the target language that the file itself names

    def __init__(self, path: Path, format: str, options: OpenOptions) -> None:
        self.path = path
        self.format = format
        self.source_lang = options.source_lang
        self.target_lang = options.target_lang

    @abstractmethod
    def pieces(self) -> Iterator[Piece]:
        """The file, in order; the joined bytes (``raw`` of segments) are the file exactly.

        :raises FormatError: where the file is not what it claims to be.
        """

    def states(self) -> Iterator[State]:
        """The state of each segment, in order: all that a first reading wants to know. A format that finds them out
        without making the segments saves a quarter of what a run costs without a model; it refuses what
        :meth:`pieces` refuses.

        :raises FormatError: as :meth:`pieces` does.
        """
        return (piece.state for piece in self.pieces() if isinstance(piece, Segment))

    @abstractmethod
    def render(self, segment: Segment, target: tuple[str, ...], state: State) -> bytes:
        """The new ``raw`` of ``segment`` with this target and state. The present target and state give ``raw`` back.

        ``State.SKIP`` keeps the present text and only completes the structure around it where the format needs
        that (an appended CSV column gets its empty cell).

        :raises CannotRender: where the text does not fit the slot.
        """

    def relaxed(self, segment: Segment) -> tuple[bool, ...]:
        """For each plural form of a segment whether it may leave the number out."""
        return self.plural_relaxed

    def problem(self, segment: Segment, target: tuple[str, ...]) -> str | None:
        """Why this target cannot be stored here (a character outside the charset, say), or ``None``."""
        return None

    def target_lines(self, segment: Segment) -> tuple[int, ...]:
        """For each form of the target the line where it stands, from 1; where the format knows no better, the line of
        the segment."""
        return (segment.location.line,) * len(segment.target)

    def faults(self) -> Iterator[tuple[int, Problem]]:
        """What is wrong with the file beside the texts that its segments hold, each with its line; a format that has
        nothing to say about that says nothing."""
        return iter(())

    def finish(self, started_at: datetime) -> Sequence[Edit]:
        """The edits outside slots that go with a changed document; asked for only if some rendered bytes changed.

        ``started_at`` is an aware UTC time from the log, the only clock a format may use.
        """
        return ()


class Format(ABC):
    """Opens files of one kind. Declared through the ``batchtrans_formats`` hook; instantiated without arguments."""

    @abstractmethod
    def open(self, path: Path, options: OpenOptions) -> Document:
        """Open ``path`` for translation.

        :raises FormatError: where the file cannot be read.
        :raises UsageError: where the options do not fit the file.
        """


class Constraint(NamedTuple):
    """What an answer has to obey: every mask of the request exactly once and no other, mask ``a`` before mask ``b`` for
    each pair of ``order`` (numbers as in the request), and none of the characters of ``without``.

    ``apart`` says for each mask (for none of them, if empty) what may stand right before and right behind it: with 0
    anything, with 1 blanks, the edges of the text, or between those and the mask what opens or closes a quotation or
    sentence, with 2 only blanks and edges.
    """

    order: tuple[tuple[int, int], ...] = ()
    without: str = ""
    apart: tuple[tuple[int, int], ...] = ()


class Request(NamedTuple):
    """One text for a backend: a part of one form of one segment, its placeholders masked.

    ``source`` has no blanks at its edges and no line break. ``masks`` is how many mask characters it holds.
    ``target`` is the segment's present text of that form. ``form`` is the plural form and ``sample`` a number that
    selects it (both ``None`` outside plurals). ``constraint`` comes only to a backend that ``constrains``, and
    ``hypotheses``, how many different answers are wanted, is never more than the backend's own. ``terms`` are those of
    the glossary that the source has, in order of appearance, each with its translation, for a backend that
    ``takes_terms``.
    """

    id: int
    source: str
    target: str = ""
    context: str = ""
    note: str = ""
    flags: frozenset[str] = frozenset()
    form: int | None = None
    sample: int | None = None
    constraint: Constraint | None = None
    hypotheses: int = 1
    terms: tuple[tuple[str, str], ...] = ()


class Result(NamedTuple):
    """A backend's answer to the request ``id``.

    ``target`` is trimmed at the stop boundary, ``raw`` is what the model wrote. ``stop`` is ``eos``, ``boundary``
    (a guard cut the text), ``max_tokens`` or empty where the notion does not apply. ``logprob_mean`` and
    ``logprob_min`` are natural logarithms over the ``tokens_out`` generated tokens. ``error`` says why there is no
    target. ``alignment`` holds pairs of word indices (source, target). ``others`` are further hypotheses that came to
    an end, the likeliest first.
    """

    id: int
    target: str
    raw: str | None = None
    stop: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    logprob_mean: float | None = None
    logprob_min: float | None = None
    confidence: float | None = None
    alignment: tuple[tuple[int, int], ...] = ()
    error: str = ""
    others: tuple[str, ...] = ()


class Usage(NamedTuple):
    """What a backend has taken so far beside this process: seconds of ``processor`` time and the most ``resident``
    bytes of a process of its own, and the most bytes of a ``device``, ``None`` where there is none."""

    processor: float = 0.0
    resident: int = 0
    device: int | None = None


class Meter(ABC):
    """Says how much work requests are, before a backend has loaded anything.

    ``identity`` has, as JSON values, everything that decides how long the backend takes and how much memory: model,
    device, processors, options, versions. What was measured once is taken for as long as it stays the same. ``timed``
    is how many texts of like length make a fair measurement, and ``pads`` says that each text of a batch costs as much
    as its longest.
    """

    identity: Mapping[str, Any]
    timed: int = 32
    pads: bool = False

    @abstractmethod
    def batches(self, sources: Sequence[str]) -> list[list[int]]:
        """How many tokens each of these texts of one :meth:`Backend.translate` has, without what a prompt adds: a list
        for each batch in which they are decoded together."""

    def usage(self) -> Usage:
        """What the started backend has taken so far that cannot be seen from this process."""
        return Usage()


class Backend(ABC):
    """Translates requests. Declared through ``batchtrans_backends``; instantiated with its option values.

    ``masks`` is how many different mask characters it carries through a translation (0: placeholders are sent as
    they are). ``verbatim`` backends get whole segments, unmasked, and their text is written without any check.
    ``batch_size`` bounds the requests of one :meth:`translate` call and ``batch_chars`` their padded size, longest
    source times number of requests. A backend that forms batches itself sets both so high that it gets whole windows,
    and gives results as they are ready; ``portion`` is how many of them are then judged and logged at a time. With
    ``background`` :meth:`translate` is called on a thread of its own, one call at a time: a window is asked for while
    the one before is judged and logged, and the next is read.
    ``takes_terms`` says that its model is told the terms of a glossary. ``calibration``, after
    :meth:`start`, turns the log-probabilities of results into a confidence, and comes from ``calibration_file`` where
    there is such a file; what decides it belongs to the fingerprint, as ``calibration``.

    ``constrains`` says that it obeys :class:`Constraint`, and ``hypotheses`` how many different answers to a request it
    can give: what it cannot do, the ladder goes without. All of these are read after :meth:`start`, or :meth:`meter`.
    """

    masks: int = 0
    constrains: bool = False
    hypotheses: int = 1
    verbatim: ClassVar[bool] = False
    batch_size: int = 64
    batch_chars: int = 32_768
    portion: int | None = None
    background: bool = False
    takes_terms: bool = False
    calibration: Calibration | None = None
    calibration_file: Path | None = None

    def __init__(self, options: Mapping[str, str]) -> None:
        self.options = options

    def preview(self, source_lang: str, target_lang: str) -> Mapping[str, Any]:
        """What of the fingerprint is known without loading anything; nothing, for a backend that starts quickly.

        A run whose log is complete and agrees with it is up to date without a start.

        :raises UnsupportedPair: as :meth:`start` does.
        :raises BackendError: as :meth:`start` does, for what can be seen already.
        """
        return {}

    def meter(self, source_lang: str, target_lang: str) -> Meter | None:
        """What measures requests for ``run --dry-run``, without loading a model; ``None``, and no time is given.

        From then on ``masks``, ``takes_terms``, ``batch_size`` and ``batch_chars`` are what they are after
        :meth:`start`, as far as that can be known.

        :raises UnsupportedPair: as :meth:`start` does.
        :raises BackendError: as :meth:`start` does, for what can be seen already.
        """
        return None

    @abstractmethod
    def start(self, source_lang: str, target_lang: str) -> Mapping[str, Any]:
        """Load what is needed and return the fingerprint: everything that decides the text, as JSON values.

        :raises UnsupportedPair: before any work, for languages it cannot translate.
        :raises BackendError: where the model cannot be loaded.
        """

    @abstractmethod
    def translate(self, requests: Iterable[Request]) -> Iterator[Result]:
        """Exactly one result per request, in any order; no state is kept between requests.

        :raises Overload: where the batch does not fit; results already yielded stay valid.
        """

    def expect(self, requests: Sequence[Request]) -> None:  # noqa: B027 - most have nothing to prepare
        """Hear what a later call of :meth:`translate` will ask for, to prepare it while an earlier one is under way.

        Only backends in the ``background`` are told, of the first call that a window will take, on another thread than
        theirs: the one that judges, which should not be held up. Other calls may come before that one, and it may not
        come at all. An exception is ignored.
        """

    def stop(self) -> None:  # noqa: B027 - a backend without resources has nothing to give back
        """Give back what :meth:`start` took. Called once, also after an error."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What a check found: a short ``code``, a sentence, and whether the text must not be written (``hard``)."""

    code: str
    message: str
    hard: bool = False


@dataclass(frozen=True, slots=True)
class Declared:
    """A plugin's declaration: nothing behind it is imported before it is used.

    ``target`` is an import string ``package.module:attribute``. ``options`` maps an option's name to one line of
    help. ``extensions`` (formats) are file name endings with their dot, lower case.
    """

    name: str
    target: str
    summary: str
    options: Mapping[str, str] = field(default_factory=dict)
    extensions: tuple[str, ...] = ()
