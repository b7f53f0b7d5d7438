"""Whether pairs are in the languages that they are said to be in. How a language is told is the core's affair."""

from __future__ import annotations

from collections.abc import Sequence

from batchtrans import UsageError
from batchtrans.languages import SAMPLE, LanguageJudge, are_alike, label

from .data.read import Pair

__all__ = ["LanguageJudge", "check_language"]


def check_language(pairs: Sequence[Pair], source_lang: str, target_lang: str) -> None:
    """Make sure that the targets of a sample of pairs are in the target language, as far as that can be told.

    :raises UsageError: where they are clearly in another one.
    """
    wanted = label(target_lang)
    step = max(1, len(pairs) // SAMPLE)
    found = LanguageJudge.language_of(pair.target for pair in pairs[::step])
    if not wanted or not found or are_alike(found, wanted):
        return
    is_source = are_alike(found, label(source_lang) or "?")
    raise UsageError(
        f"the translations are in the language {found!r}, not {target_lang!r}",
        "Swap --from and --to, or give --force to go on."
        if is_source
        else "Give the files of the right language, or --force to go on.",
    )
