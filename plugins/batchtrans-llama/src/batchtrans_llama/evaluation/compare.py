"""Is one system better than another: scores side by side, and how likely the difference is chance.

Paired bootstrap resampling (Koehn 2004) in the form that sacrebleu gives it, with its seed: every system is compared
with the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from .metrics import Scores
from .systems import Output

if TYPE_CHECKING:
    from ..data.read import Pair


class Difference(NamedTuple):
    """How much more ``system`` scores than the first system in ``metric`` (``BLEU``, ``chrF++``, ``TER``), and the
    probability of a difference that large if there were none."""

    system: str
    metric: str
    delta: float
    p: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Systems over one test set, the first of them being what the others are compared with.

    ``overlap`` counts what the test set shares with training data (``None``: not known); ``signatures`` are
    sacrebleu's, ``versions`` those of the packages.
    """

    systems: tuple[Scores, ...]
    differences: tuple[Difference, ...]
    source_lang: str
    target_lang: str
    segments: int
    sha256: str
    overlap: Mapping[str, int] | None
    signatures: Mapping[str, str]
    versions: Mapping[str, str]

    def of(self, name: str) -> Scores:
        """The numbers of one system."""
        return next(scores for scores in self.systems if scores.name == name)

    def difference(self, name: str, metric: str) -> Difference:
        """How a system other than the first differs from it."""
        return next(item for item in self.differences if (item.system, item.metric) == (name, metric))

    def to_json(self) -> dict[str, Any]: ...  # type: ignore[empty-body]


def compare(
    pairs: Sequence[Pair],
    outputs: Sequence[Output],
    source_lang: str,
    target_lang: str,
    *,
    overlap: Mapping[str, int] | None = None,
) -> Comparison:
    raise NotImplementedError


def table(comparison: Comparison) -> str:
    raise NotImplementedError
