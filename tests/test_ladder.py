"""The rungs below the first: what a backend is asked for on each, and which answer is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchtrans import MASK_BASE, Backend, Constraint, Request, Result
from batchtrans.alignment import is_doubtful
from batchtrans.memory import Memory
from batchtrans.parts import cut
from batchtrans.translator import Decision, Translator
from conftest import Cli
from test_translator import Catalogue, segment

M0, M1, M2 = (chr(MASK_BASE + number) for number in range(3))
Answer = Callable[[Request], str | Result]


class Able(Backend):
    """Can do everything, and answers with a function of the request."""

    masks = 32
    constrains = True
    hypotheses = 6

    def __init__(self, answer: Answer) -> None:
        super().__init__({})
        self.answer = answer
        self.asked: list[Request] = []

    def start(self, source_lang: str, target_lang: str) -> Mapping[str, Any]:
        return {}

    def translate(self, requests: Iterable[Request]) -> Iterator[Result]:
        for request in requests:
            self.asked.append(request)
            answer = self.answer(request)
            yield answer if isinstance(answer, Result) else Result(request.id, answer, stop="eos")


def decide(*source: str, answer: Answer, flags: str = "", **options: Any) -> tuple[Decision, Able]:
    backend = Able(answer)
    translator = Translator(Catalogue(), backend, Memory(), **options)
    (decision,) = [d for decisions in translator.decide([segment(*source, flags=flags)]) for d in decisions]
    return decision, backend


def by_rung(first: Any = "", constrained: Any = "", others: Any = "", pieces: Any = "") -> Answer:
    """An answer for each rung, recognised by what is asked for; a function of the request where it is one."""

    def answer(request: Request) -> str | Result:
        masked = any(ord(character) >= MASK_BASE for character in request.source)
        given = others if request.hypotheses > 1 else constrained if request.constraint else first if masked else pieces
        return given(request) if callable(given) else given  # type: ignore[no-any-return]

    return answer


def test_the_second_rung_holds_the_backend_to_a_constraint() -> None:
    decision, backend = decide("Hi {name}!", answer=by_rung("Hola", f"¡Hola {M0}!"))
    assert [request.source for request in backend.asked] == [f"Hi {M0}!"] * 2
    assert backend.asked[0].constraint is None and backend.asked[1].constraint is not None
    assert decision.target == ("¡Hola {name}!",)
    (record,) = decision.records
    assert (record.rung, record.tries, record.status, record.origin) == ("constrained", 2, "fuzzy", "mt")
    assert is_doubtful(decision.records)


def test_only_texts_with_masks_are_constrained() -> None:
    decision, backend = decide("Open it", answer=by_rung(pieces=""))
    assert [request.constraint for request in backend.asked] == [None, None]
    assert [request.hypotheses for request in backend.asked] == [1, 4]
    assert not decision.written and decision.records[0].rung == "n-best"


def test_of_several_hypotheses_the_first_that_will_do_is_written() -> None:
    def hypotheses(request: Request) -> Result:
        return Result(request.id, M1, others=("", f"Hola {M1}", f"Hola {M0}", f"Adiós {M0}"), logprob_mean=-1.0)

    decision, backend = decide("Hi {name}", answer=by_rung(others=hypotheses))
    assert decision.target == ("Hola {name}",)
    assert backend.asked[-1].hypotheses == 4 and backend.asked[-1].constraint is not None
    (record,) = decision.records
    assert (record.rung, record.tries, record.raw, record.logprob) == ("n-best", 3, f"Hola {M0}", None)


def test_hypotheses_that_came_with_the_first_answer_are_judged_before_more_are_asked_for() -> None:
    decision, backend = decide(
        "Hi {name}", answer=by_rung(lambda request: Result(request.id, "Hola", others=("Hi", f"Hola {M0}")))
    )
    assert decision.target == ("Hola {name}",)
    assert len(backend.asked) == 2  # the second is the constrained one, which failed too
    assert (decision.records[0].rung, decision.records[0].tries) == ("n-best", 2)
    assert is_doubtful(decision.records)


def test_a_constrained_answer_without_an_end_is_the_last_of_the_hypotheses() -> None:
    def endless(request: Request) -> Result:
        return Result(request.id, f"Hola hola hola {M0}", stop="max_tokens")

    decision, backend = decide("Hi {name}", answer=by_rung("Hola", endless, endless, "Hola"))
    assert decision.target == ("Hola hola hola {name}",)
    (record,) = decision.records
    assert (record.rung, record.status, record.stop) == ("constrained", "fuzzy", "max_tokens")
    assert "truncated" in record.checks
    assert [request.hypotheses for request in backend.asked] == [1, 1, 4]

    decision, _ = decide("Hi {name}", answer=by_rung("Hola", endless, f"Hola {M0}"))
    assert decision.target == ("Hola {name}",)

    decision, _ = decide(
        "Hi {name}", answer=by_rung("Hola", lambda r: Result(r.id, "y", stop="max_tokens"), "", "Hola")
    )
    assert decision.target == ("Hola {name}",) and decision.records[0].rung == "pieces"


def test_the_pieces_come_after_the_decode() -> None:
    decision, backend = decide("Hi {name}", answer=by_rung("a", "b", "c", "Hola"))
    assert decision.target == ("Hola {name}",)
    (record,) = decision.records
    assert (record.rung, record.origin, record.tries) == ("pieces", "pieces", 4)


def test_without_masks_other_hypotheses_have_no_constraint() -> None:
    class Plain(Able):
        masks = 0
        constrains = False

    backend = Plain(lambda request: Result(request.id, "Hola", others=("Hola {name}",) * (request.hypotheses > 1)))
    (decision,) = next(Translator(Catalogue(), backend, Memory()).decide([segment("Hi {name}")]))
    assert [(request.source, request.constraint) for request in backend.asked] == [("Hi {name}", None)] * 2
    assert decision.target == ("Hola {name}",) and decision.records[0].rung == "n-best"


@given(
    st.lists(st.sampled_from(["Hi {name}", "Open", "42", "Open {a} and {b}", "\n"]), max_size=12), st.integers(0, 99)
)
def test_every_segment_is_decided_once_whatever_is_answered(texts: list[str], seed: int) -> None:
    def answer(request: Request) -> Result:
        choice = (len(request.source) * 7 + request.hypotheses * 3 + bool(request.constraint) + seed) % 5
        text = ["", request.source, "Hola", f"{M0} {M1}", f"Hola {M0}"][choice]
        return Result(request.id, text, stop="max_tokens" if choice == 4 else "eos", others=(text, request.source))

    window = [segment(text)._replace(id=str(number)) for number, text in enumerate(texts)]
    decisions = [d for found in Translator(Catalogue(), Able(answer), Memory()).decide(window) for d in found]
    assert sorted(decision.segment.id for decision in decisions) == sorted(segment.id for segment in window)


# What a constraint holds


def constraint_of(text: str, *flags: str) -> Constraint:
    (part,) = cut(text, frozenset(flags), "en")
    return part.constraint(frozenset(flags), True)


@pytest.mark.parametrize(
    ("text", "flag", "order"),
    [
        ("%s of %d", "c-format", ()),  # numbers are put in
        ("%s of %d", "python-format", ((0, 1),)),
        ("%s of %s", "python-format", ((0, 1),)),  # gettext would not notice
        ("{} of {}", "python-brace-format", ((0, 1),)),
        ("{1} of {0}", "python-brace-format", ()),
        ("%(a)s of %(b)d", "python-format", ()),
        ("{a} of {b}", "", ()),
        ("<b>%d files</b> open", "c-format", ((0, 2),)),
        ("<b>all <i>files</i></b>", "", ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))),
        ("%d to %<d and %s", "java-printf-format", ((0, 1),)),
        ("%1% to %2%", "boost-format", ()),
    ],
)
def test_masks_may_change_places_where_the_judges_let_them(text: str, flag: str, order: tuple[Any, ...]) -> None:
    assert constraint_of(text, *filter(None, [flag])).order == order


@pytest.mark.parametrize(
    ("text", "flag", "apart"),
    [
        ("see %s now", "c-format", ()),
        ("see <b>it</b> now", "", ()),
        ("write to me@example.org or me", "", ((1, 1),)),
        ("use --force now", "", ((1, 1),)),
        ("take %1 now", "qt-format", ((0, 1),)),  # %15 is another argument
        ("take {} now", "cobol-format", ((2, 2),)),  # nobody here knows where its directives end
    ],
)
def test_masks_stand_apart_from_words_where_they_would_become_part_of_them(
    text: str, flag: str, apart: tuple[Any, ...]
) -> None:
    assert constraint_of(text, *filter(None, [flag])).apart == apart


def test_characters_of_placeholders_are_ruled_out_unless_the_text_has_them_itself() -> None:
    assert set("%{<$\\\t") <= set(constraint_of("see %s now").without)
    assert not set("/&'") & set(constraint_of("read and/or & write %s").without)
    assert "'" in constraint_of("it is {0}", "java-format").without


def test_of_many_placeholders_the_order_stays_if_any_counts() -> None:
    text = "see " + " and ".join(["%s"] * 13 + ["%d"])
    assert constraint_of(text, "python-format").order == tuple((number, number + 1) for number in range(13))


# Counted in the log and in the summary

ABLE = r"""
    from batchtrans import Backend, Declared, MASK_BASE, Result, hookimpl

    class Able(Backend):
        masks = 8
        constrains = True
        hypotheses = 2

        def start(self, source_lang, target_lang):
            return {"backend": "able"}

        def translate(self, requests):
            for request in requests:
                words = request.source.split(" ")
                wanted = "third" if request.hypotheses > 1 else "second" if request.constraint else "first"
                masked = request.source if any(ord(c) >= MASK_BASE for c in request.source) else ""
                yield Result(request.id, "" if masked and wanted not in words else request.source.upper())

    @hookimpl
    def batchtrans_backends():
        return [Declared("able", "ability:Able", "does what the text says")]
"""


def test_each_rung_is_counted_in_the_log_and_in_the_summary(
    cli: Cli, plugin: Callable[[str, str], Path], tmp_path: Path
) -> None:
    lines = ["the first %s", "a second %s", "another second %s", "the third %s", "a fourth %s"]
    (tmp_path / "a.txt").write_text("".join(f"{line}\n" for line in lines))
    done = cli("run", "a.txt", "--to", "es", "--backend", "able", plugins=(plugin("ability", ABLE),))
    assert done.returncode == 0, done.stderr.decode()
    assert (tmp_path / "a.es.txt").read_text() == "".join(f"{line[:-2].upper()}%s\n" for line in lines)
    summary = "written: 5 (2 with placeholders constrained, 1 by another hypothesis, 1 in pieces"
    assert summary in done.stderr.decode()
    log = [json.loads(line) for line in (tmp_path / "a.es.txt.align.jsonl").read_text().splitlines()]
    counts = log[-1]["counts"]
    assert (counts["by constrained"], counts["by n-best"], counts["by pieces"]) == (2, 1, 1)
    rungs = {record["source"].split()[-2]: record.get("rung", "") for record in log if record["type"] == "record"}
    assert rungs == {"first": "", "second": "constrained", "third": "n-best", "fourth": "pieces"}


@pytest.mark.parametrize(
    ("source", "flags", "answer", "code", "why"),
    [
        ("Open it", "", "Abrir \\n esto", "placeholders", "the translation adds \\n (escape)"),
        ("Open it", "", "Abrir 50%", "placeholders", "the translation adds a character that begins placeholders: %"),
        ("Open it", "", "Abrir\testo", "control", "the translation adds line breaks or tabs: U+0009"),
        ("Open it", "", "Abrir\x07", "control", "control characters that the source does not have: U+0007"),
        ("Open it", "", "", "empty", "the translation is empty"),
        ("Hi {name} of {place}", "", f"Hola {M0}", "placeholders", "the translation lacks {place}"),
        ("Hi {name}", "", f"Hola {M0} {M0}", "placeholders", "the translation has {name} too often"),
        ("Hi {a} {b}", "", f"{M1} {M1}", "placeholders", "the translation lacks {a} and has {b} too often"),
        ("Hi {name}", "", f"Hola {M0} {M1}", "placeholders", "the translation adds placeholders that the source does"),
        ("%s of it", "c-format", f"{M0} %s", "placeholders", "the translation adds %s"),
        ("%s of it", "c-format", f"{M0} 50%", "placeholders", "the translation adds a character that begins pl"),
        ("Copy %<a>s", "ruby-format", f"Copia {M0} %<a>s", "placeholders", "the translation adds %<a>s"),
    ],
)
def test_a_reason_says_what_is_wrong(source: str, flags: str, answer: str, code: str, why: str) -> None:
    decision, _ = decide(
        source, flags=flags, answer=by_rung(answer, answer, answer, "" if "{" in source or "%" in source else answer)
    )
    (record,) = decision.records
    assert record.status == "failed" and record.checks[0] == code and record.why.startswith(why)


def test_placeholders_that_cannot_be_told_apart_any_more_are_named_as_such() -> None:
    decision, _ = decide("%d of %d", flags="lua-format", answer=by_rung(*[f"{M1} de {M0}"] * 3))
    assert decision.records[0].why.startswith("placeholders changed places")


def test_the_summary_says_what_can_be_tried(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"Window\n")
    done = cli("run", "a.txt", "--to", "es", "--backend", "pseudo", "-O", "encoding=latin-1")
    assert done.returncode == 1
    lines = done.stderr.decode().splitlines()
    assert "  line 1: left untranslated: the character 'Ŵ' is not in iso8859-1; a file in UTF-8 could hold it" in lines
    assert [line for line in lines if line.startswith("  to try (unfit): convert the input to UTF-8")]
    again = cli("run", "a.txt", "--to", "es", "--backend", "pseudo", "-O", "encoding=latin-1")
    assert "  to try (unfit): " in again.stderr.decode(), "also where the log of the run before has the reasons"
