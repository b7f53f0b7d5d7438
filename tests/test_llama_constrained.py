"""Decoding under a constraint: the automaton by itself, models that have learned nothing, and one that has."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llama_cases
import tiny_model
from batchtrans import Constraint, Request, Result
from batchtrans.alignment import read_groups, read_history
from batchtrans.testing import check_backend
from batchtrans_llama.automaton import Alphabet, Automaton, room
from batchtrans_llama.backend import LlamaBackend
from batchtrans_llama.constrained import ConstrainedEngine, ConstrainedRow
from batchtrans_llama.rules import Decoded, Rules
from conftest import Cli
from made_catalogues import catalogue, complaints

MASKS = [chr(0xE000 + number) for number in range(32)]
SIGNS = "@<>`%{}$&\\/~[]|"


@cache
def alphabet() -> Alphabet:
    loaded = llama_cases.random_model()
    return Alphabet(loaded, Rules(loaded))


def spelled(ids: Sequence[int]) -> str:
    return str(llama_cases.tokenizer().decode(ids))


@st.composite
def constraints(draw: st.DrawFn) -> tuple[list[int], Constraint]:
    """Masks in any numbers, an order without cycles, distances for some."""
    held = draw(st.lists(st.integers(0, 31), max_size=6, unique=True))
    order = draw(st.lists(st.tuples(st.sampled_from(held), st.sampled_from(held)), max_size=5)) if held else []
    place = {number: index for index, number in enumerate(held)}
    pairs = tuple((a, b) for a, b in order if place[a] < place[b])
    level = st.integers(0, 2)
    apart = draw(st.just(()) | st.tuples(*[st.tuples(level, level)] * 32))
    return sorted(held), Constraint(pairs, SIGNS, apart)


def assert_obeyed(text: str, held: Sequence[int], constraint: Constraint) -> None:
    """The constraint, seen from the text alone."""
    found = [ord(character) - 0xE000 for character in text if character in MASKS]
    assert sorted(found) == list(held)
    for one, other in constraint.order:
        assert found.index(one) < found.index(other)
    assert not set(text) & set(constraint.without)
    assert not any((ord(character) < 32 and character != "\t") or character == "\ufffd" for character in text)
    for number in held if constraint.apart else ():
        before, _, behind = text.partition(MASKS[number])
        left, right = constraint.apart[number]
        assert not left or before.rstrip('(«“"¿¡' if left == 1 else "")[-1:].strip() == ""
        assert not right or behind.lstrip('.,;!?…)»”"' if right == 1 else "")[:1].strip() == ""


@settings(max_examples=60, deadline=None)
@given(constraints(), st.integers(0, 20), st.randoms(use_true_random=False))
def test_whatever_tokens_are_chosen_the_text_obeys(
    case: tuple[list[int], Constraint], more: int, chance: random.Random
) -> None:
    held, constraint = case
    cap = max(1, room(constraint, held) + more)
    automaton = Automaton(alphabet(), constraint, held, cap)
    ids: list[int] = []
    while len(ids) < cap:
        allowed = automaton.allowed(tuple(ids)).nonzero().flatten().tolist()
        assert allowed, "there is always a way on"
        # Fragments of characters are what a random choice would hardly ever complete.
        fragments = [token for token in allowed if token in alphabet().fragments]
        token = chance.choice(fragments if fragments and chance.random() < 0.3 else allowed)
        if token in alphabet().eos:
            break
        ids.append(token)
    assert_obeyed(spelled(ids), held, constraint)
    if more:
        assert ids


def test_characters_of_several_tokens_are_completed() -> None:
    tokenizer = llama_cases.tokenizer()
    fragments = alphabet().fragments
    for character in "ñ€𝄞":
        ids = tokenizer(character, add_special_tokens=False)["input_ids"]
        automaton = Automaton(alphabet(), Constraint(), [], 9)
        for place, token in enumerate(ids):
            assert automaton.allowed(tuple(ids[:place]))[token]
            inside = automaton.allowed(tuple(ids[: place + 1]))
            if place + 1 < len(ids):
                assert set(inside.nonzero().flatten().tolist()) <= set(fragments), "nothing comes between"
    (private,) = {token for token, text in fragments.items() if text == b"\xee"}
    assert not Automaton(alphabet(), Constraint(), [], 9).allowed(())[private], "it begins private characters alone"


def test_a_text_cannot_end_before_it_has_begun() -> None:
    automaton = Automaton(alphabet(), Constraint(), [], 9)
    (blank,) = alphabet().blanks
    (eos,) = alphabet().eos
    assert not automaton.allowed(())[eos] and not automaton.allowed((blank,))[eos]
    (letter,) = llama_cases.tokenizer()("a", add_special_tokens=False)["input_ids"]
    assert automaton.allowed((letter,))[eos]
    assert automaton.allowed((letter, eos)) is None


def rows(count: int, seed: int = 0) -> list[ConstrainedRow]:
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        held = sorted(chance.sample(range(32), chance.randrange(1, 6)))
        constraint = Constraint(tuple(pairwise(held)) if chance.random() < 0.5 else (), SIGNS)
        text = " ".join(f"open {MASKS[number]}" for number in held)
        prompt = llama_cases.tokenizer()(text, add_special_tokens=False)["input_ids"]
        made.append(ConstrainedRow(prompt, chance.randint(len(held), 24), constraint, held))
    return made


@pytest.mark.parametrize("shape", ["plain", "head_dim 128, untied"])
@pytest.mark.parametrize("hypotheses", [1, 3])
def test_random_weights_obey(shape: str, hypotheses: int) -> None:
    made = rows(24)
    engine = ConstrainedEngine(llama_cases.random_model(shape))
    answered = dict(engine.stream(made, hypotheses, 10))
    assert sorted(answered) == list(range(24))
    for index, answers in answered.items():
        assert len(answers) == hypotheses
        assert len({tuple(answer.ids) for answer in answers}) == hypotheses
        for answer in answers:
            assert len(answer.ids) <= made[index].cap
            assert_obeyed(spelled(answer.ids), made[index].masks, made[index].constraint)
            assert len(answer.logprobs) == (len(answer.ids) + (answer.stop == "eos") if hypotheses == 1 else 0)


@pytest.mark.parametrize("hypotheses", [1, 2])
def test_neighbours_change_nothing(hypotheses: int) -> None:
    made = rows(8)
    engine = ConstrainedEngine(llama_cases.random_model())
    together = engine.decode(made, hypotheses)
    for row, answers in zip(made, together, strict=True):
        (alone,) = engine.decode([row], hypotheses)
        assert [answer.ids for answer in alone] == [answer.ids for answer in answers]
        for one, other in zip(alone, answers, strict=True):
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-3)


def test_a_batch_that_does_not_fit_is_halved_and_a_row_by_itself_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    loaded = llama_cases.random_model()
    engine, made = ConstrainedEngine(loaded), rows(7)
    expected = {index: answers[0].ids for index, answers in engine.stream(made, 1, 8)}
    forward = loaded.model.forward
    room_for = [2]

    def limited(*args: Any, **values: Any) -> Any:
        if len(values["input_ids"]) > room_for[0]:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return forward(*args, **values)

    monkeypatch.setattr(loaded.model, "forward", limited)
    assert {index: answers[0].ids for index, answers in engine.stream(made, 1, 8)} == expected
    room_for[0] = 0
    assert [answers for _, answers in engine.stream(made, 1, 8)] == [[Decoded([], [], "memory")]] * 7


# Through the backend


@cache
def tuned(engine: str = "hf") -> LlamaBackend:
    backend = LlamaBackend({"model": str(tiny_model.model()), "device": "cpu", "engine": engine})
    backend.start("en", "es")
    return backend


def ask(backend: LlamaBackend, *requests: Request) -> list[Result]:
    results = {result.id: result for result in backend.translate(requests)}
    return [results[request.id] for request in requests]


@pytest.mark.parametrize("engine", ["hf", "graph"])
def test_a_model_that_is_right_anyway_says_the_same_under_its_constraint(engine: str) -> None:
    free, bound, several = ask(
        tuned(engine),
        Request(1, "Delete \ue000 now"),
        Request(2, "Delete \ue000 now", constraint=Constraint(without=SIGNS)),
        Request(3, "Delete \ue000 now", constraint=Constraint(without=SIGNS), hypotheses=3),
    )
    assert free.target == bound.target == several.target == "Borrar \ue000 ahora"
    assert bound.stop == "eos" and bound.logprob_mean is not None
    assert several.logprob_mean is None and free.others == bound.others == ()
    assert several.others and all(text.count("\ue000") == 1 for text in several.others)


def test_a_mask_that_the_model_would_leave_out_is_written() -> None:
    source = "Open the file. \ue000 \ue001"
    free, bound = ask(tuned(), Request(1, source), Request(2, source, constraint=Constraint(((1, 0),))))
    assert sorted(set(free.target) & set(MASKS)) != ["\ue000", "\ue001"]
    assert [character for character in bound.target if character in MASKS] == ["\ue001", "\ue000"]


def test_a_model_that_ends_with_a_line_break_ends_under_a_constraint_too() -> None:
    backend = LlamaBackend({"model": str(tiny_model.nf4_base()), "device": "cpu"})
    backend.start("en", "es")
    (result,) = ask(backend, Request(1, "Delete \ue000 now", constraint=Constraint()))
    assert (result.target, result.stop) == ("Borrar \ue000 ahora", "eos")


def test_beside_ctranslate2_the_model_is_loaded_when_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ctranslate2")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    backend = tuned("ct2")
    assert backend.constrains
    source = "Open the file. \ue000 \ue001"
    (bound,) = ask(backend, Request(1, source, constraint=Constraint(((1, 0),))))
    assert [character for character in bound.target if character in MASKS] == ["\ue001", "\ue000"]


def test_a_source_without_room_for_its_masks_is_an_error_of_its_own() -> None:
    long = "word " * 233 + "".join(MASKS[:20])
    results = ask(tuned(), Request(1, long, constraint=Constraint()), Request(2, "5 files", constraint=Constraint()))
    assert "too many for a model that takes 256" in results[0].error
    assert results[1].target == "5 archivos"


def test_a_length_cap_below_the_number_of_masks_is_raised() -> None:
    backend = LlamaBackend({"model": str(tiny_model.model()), "device": "cpu", "length-cap": "2+0*n"})
    backend.start("en", "es")
    apart = ((1, 1),) * 4
    (result,) = ask(backend, Request(1, " and ".join(MASKS[:4]), constraint=Constraint(apart=apart)))
    assert sorted(set(result.target) & set(MASKS)) == MASKS[:4] and result.stop == "max_tokens"


def test_without_masks_or_without_eos_there_are_no_constraints(tmp_path: Path) -> None:
    from transformers import LlamaForCausalLM

    tokenizer = tiny_model.build_tokenizer(masks=0)
    LlamaForCausalLM(tiny_model.tiny_config(tokenizer)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    stranger = LlamaBackend({"model": str(tmp_path), "device": "cpu"})
    stranger.start("en", "es")
    assert not stranger.constrains and stranger.hypotheses > 1
    (result,) = ask(stranger, Request(1, "Open %s", hypotheses=3))
    assert not result.error
    measured = LlamaBackend({"model": str(tiny_model.model()), "device": "cpu", "eos": "off"})
    measured.start("en", "es")
    assert not measured.constrains and measured.hypotheses == 1


def test_the_backend_holds_its_laws_under_constraints() -> None:
    for engine in ("hf", "graph"):
        options = {"model": str(tiny_model.model()), "device": "cpu", "engine": engine}
        check_backend(LlamaBackend(options), texts=[source for source, _ in tiny_model.PAIRS[:2]])


def test_a_model_that_has_learned_nothing_translates_a_thousand_texts_with_placeholders(
    cli: Cli, tmp_path: Path
) -> None:
    """None is left untranslated, none comes in pieces, and every placeholder stands where a mask was decoded, once."""
    import torch
    from transformers import LlamaForCausalLM

    tokenizer = tiny_model.build_tokenizer()
    torch.manual_seed(0)
    model = tmp_path / "untrained"
    LlamaForCausalLM(tiny_model.tiny_config(tokenizer)).save_pretrained(model)
    tokenizer.save_pretrained(model)
    (tmp_path / "in.po").write_text(catalogue("es", 5, 1000, plurals=0.1, least=1), encoding="utf-8")
    done = cli(
        "run", "in.po", "--to", "es", "-o", "out.po", "--model", model, "--device", "cpu",
        "-O", "engine=hf", "-O", "max-batch=256", "-O", "length-cap=6+0.5*n", OMP_NUM_THREADS="1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert not complaints(tmp_path / "out.po")
    log = tmp_path / "out.po.align.jsonl"
    groups = list(read_groups(log, read_history(log).runs[-1]))
    assert len(groups) == 1000
    records = [record for group in groups for record in group if record.masks]
    assert len(records) >= 1000 and {record.rung for record in records} <= {"", "constrained", "n-best"}
    assert sum(record.rung == "constrained" for record in records) > 900
    for record in records:
        raw = record.raw or ""
        assert sorted(character for character in raw if character in MASKS) == MASKS[: len(record.masks)]
