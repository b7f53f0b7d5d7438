"""In which language a text is: whether a translation stayed in the source's, and what language a file is in.

py3langid decides, and only what it is sure of counts. Its model is loaded at the first question. The package is not one
of the core's requirements, since it needs NumPy, which is many times the size of all of them: it comes with
batchtrans-llama, whose models make the mistake, or by the extra ``language``. Without it nothing is judged.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable
from functools import cache, cached_property
from importlib.util import find_spec
from itertools import islice
from typing import Any

from .protect import find

#: A shorter text is not judged.
LEAST_WORDS = 5
#: So many words of it must be no names: as many as may be in capitals.
_LEAST_SMALL = 3
#: The probability from which py3langid is believed. Of 58,333 English-Spanish pairs by people (news, health, manuals,
#: interfaces) it takes 40 Spanish sides for English then, most of them the synopsis of a command, and of 184,000
#: interface texts in 18 other languages 47. Of 5,512 English sides (login.gov, Tatoeba) it knows 99.5 %.
_SURE = 0.9
#: So many texts, and at least so many words, make a sample of a file. Of 2,800 samples of 10 or 50 texts from 70
#: sources, labels and place names too, none was taken for another language with the probability above.
SAMPLE, _SAMPLE_WORDS = 50, 20
#: Languages too near to one another for a verdict.
_ALIKE = ({"hr", "bs", "sr"}, {"no", "nn"}, {"id", "ms"}, {"zh", "yue", "wuu"})
_LABELS = {"nb": "no", "iw": "he", "in": "id", "fil": "tl"}
#: A word, or a character of a script that is written without blanks between words.
_WORD = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]|[^\W\d_]+")


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def foreign_judge(source_lang: str, target_lang: str) -> Callable[[str], bool] | None:
    """What tells whether a translation stayed in the source's language; ``None`` where nothing can."""
    if find_spec("py3langid") is None:
        return None
    return LanguageJudge(source_lang, target_lang).looks_foreign


@cache
def base_language(code: str) -> str:
    """The language of a code, BCP 47 or gettext style, without its territory: es for es_MX, es-419 and es."""
    return re.split(r"[-_.@]", code)[0].lower()


@cache
def label(code: str) -> str:
    """What py3langid calls a language; empty for one that it does not know."""
    base = base_language(code)
    name = _LABELS.get(base, base)
    return name if name in _identifier().labels else ""


class LanguageJudge:
    """Tells source and target language apart. Threads may share one."""

    def __init__(self, source_lang: str, target_lang: str) -> None:
        self._source_lang = source_lang
        self._target_lang = target_lang

    @cached_property
    def _between(self) -> Any:
        """An identifier of the two languages alone; ``None`` if they cannot be told apart."""
        source, target = label(self._source_lang), label(self._target_lang)
        if not source or not target or are_alike(source, target):
            return None
        identifier = copy.copy(_identifier())
        identifier.set_languages([source, target])
        return identifier

    def looks_foreign(self, text: str) -> bool:
        """Whether a translation is recognisably in the source's language.

        Placeholders, tags and addresses are not looked at; a text of less than :data:`LEAST_WORDS` other words, or
        almost all in capitals as names are, is not judged.
        """
        plain = _plain(text)
        words = _WORD.findall(plain)
        small = islice((word for word in words if word == word.lower()), _LEAST_SMALL)
        if len(words) < LEAST_WORDS or len([*small]) < _LEAST_SMALL:
            return False
        if self._between is None:
            return False
        found, probability = self._between.classify(plain)
        return bool(found == label(self._source_lang) and probability > _SURE)

    @staticmethod
    def language_of(texts: Iterable[str]) -> str:
        """The language of up to 50 texts as ISO 639 code; empty where that is not clear."""
        sample = "\n".join(_plain(text) for text in islice(texts, SAMPLE))
        if len(_WORD.findall(sample)) < _SAMPLE_WORDS:
            return ""
        found, probability = _identifier().classify(sample)
        return str(found) if probability > _SURE else ""


def _plain(text: str) -> str:
    """The text with a blank for each placeholder, tag and address."""
    for span in reversed(find(text)):
        text = f"{text[: span.start]} {text[span.end :]}"
    return text


def are_alike(one: str, other: str) -> bool:
    """Whether two of py3langid's languages are the same, or too near to one another for a verdict."""
    return one == other or any({one, other} <= group for group in _ALIKE)
