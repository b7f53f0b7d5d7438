"""``batchtrans train`` and ``merge`` as a user calls them: what they accept, refuse, and leave."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import tiny_model
from batchtrans.textio import sha256_file
from batchtrans_llama.card import read_adapter
from batchtrans_llama.prompt import PROMPT, prompt_hash
from batchtrans_llama.training.recipe import SEED
from conftest import DATA
from tiny_training import PAIRS, Done, files_no_larger_than, here, options, train, write_csv

pytest.importorskip("accelerate")


@pytest.fixture(autouse=True)
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a directory with pairs that the tiny model can learn, and with a text."""
    monkeypatch.chdir(tmp_path)
    write_csv(Path("pairs.csv"))
    Path("text.txt").write_text("".join(f"{source}\n" for source, _ in PAIRS[:5]), encoding="utf-8")


def card(directory: str | Path) -> dict[str, Any]:
    """batchtrans.json, which must be JSON to the letter: without NaN and Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found: dict[str, Any] = json.loads(Path(directory, "batchtrans.json").read_text("utf-8"), parse_constant=refuse)
    return found


def run(*arguments: str | Path) -> Done:
    return here("run", "text.txt", "--to", "es", "--device", "cpu", "-O", "engine=hf", *arguments)


# An adapter that is better


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """An adapter that was trained on pairs like those that it was judged by, and what was said meanwhile."""
    directory = tmp_path_factory.mktemp("learned")
    pairs = write_csv(directory / "pairs.csv")
    done = train(
        pairs,
        "-o",
        directory / "adapter",
        *options(steps=60, evaluations=0.5, patience=0),
        "--adapter",
        "none",
    )
    return directory / "adapter", done


def test_what_translates_better_is_accepted(learned: tuple[Path, Done]) -> None:
    adapter, done = learned
    assert done.code == 0 and done.out.splitlines()[-1] == "ACCEPT"
    assert "pairs: 150 read, 100 to train, 20 dev, 30 test" in done.said
    assert "100 pairs to train on: fewer than about 5,000 mostly tune format and style" in done.said
    assert "base weights: rounded to 4 bits (NF4), held in float32; training on cpu in float32" in done.said
    assert "a new adapter: rank 16, alpha 32, dropout 0.05" in done.said
    assert re.search(r"step 60 of 60: chrF\+\+ [\d.]+, EOS % 100\n", done.said)
    assert re.search(r"trained 60 steps in [\d.]+ s, all steps done; the adapter is that of step \d+\n", done.said)
    assert done.said.endswith("adapter: adapter, scores and report.html\n") and "Warning" not in done.said
    assert re.findall(r"^(?:new|base|base-5shot)  ", done.out, re.M) and "passed  100.0% of the answers" in done.out
    assert sorted(path.name for path in adapter.parent.iterdir()) == ["adapter", "pairs.csv"]
    assert sorted(path.name for path in adapter.iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors", "batchtrans.json", "metrics.jsonl", "report.html",
        "test.jsonl",
    ]  # fmt: skip
    assert {path.stat().st_mode & 0o777 for path in adapter.iterdir()} == {0o644}


def test_the_adapter_knows_all_about_itself(learned: tuple[Path, Done]) -> None:
    import hashlib

    from batchtrans_llama.fingerprint import fingerprint

    adapter, _ = learned
    found = card(adapter)
    assert found["schema"] == 1 and found["verdict"] == "ACCEPT"
    assert found["base_fingerprint"] == fingerprint(tiny_model.nf4_base()) and found["quantisation"] == "nf4"
    assert (found["prompt"], found["prompt_sha256"]) == (PROMPT, prompt_hash())
    assert (found["source_lang"], found["target_lang"], found["masks"], found["seed"]) == ("en", "es", 32, 1)
    assert found["recipe"]["name"] == "default" and found["recipe"]["steps"] == 60
    assert found["went_on_from"] is None and found["device"] == "cpu"
    pairs = adapter.parent / "pairs.csv"
    assert found["data"]["files"] == {str(pairs): hashlib.sha256(pairs.read_bytes()).hexdigest()}
    assert found["data"]["pairs"] == {"read": 150, "train": 100, "dev": 20, "test": 30}
    assert found["data"]["left_out"] == {} and len(found["data"]["sha256"]) == 64
    assert set(found["training"]) == {
        "steps", "best_step", "ended", "seconds", "tokens", "peak_bytes", "dtype", "memory",
    }  # fmt: skip
    assert {"torch", "transformers", "peft", "batchtrans-llama", "sacrebleu"} <= set(found["versions"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["created"])
    assert [system["name"] for system in found["scores"]["systems"]] == ["new", "base", "base-5shot"]
    assert all(reason["passed"] for reason in found["reasons"])
    for difference in found["scores"]["differences"]:
        if difference["metric"] == "chrF++":
            assert difference["delta"] < 0 and difference["p"] < 0.05
    assert len((adapter / "test.jsonl").read_text("utf-8").splitlines()) == 30
    records = [json.loads(line) for line in (adapter / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [record["step"] for record in records if "loss" in record] == [10, 20, 26, 30, 40, 50, 52, 60]
    looks = {record["step"]: record["dev"] for record in records if "dev" in record}
    assert list(looks) == [0, 26, 52, 60] and all(set(look) == {"chrF++", "EOS %"} for look in looks.values())
    assert looks[found["training"]["best_step"]]["chrF++"] == max(look["chrF++"] for look in looks.values())


class Page(HTMLParser):
    """An HTML page: whether its elements are closed in order, its headings, how often each element is there."""

    EMPTY = frozenset({"meta", "line", "circle", "polyline", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: Counter[str] = Counter()
        self.headings: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.count[" ".join([tag, *(value for name, value in attrs if name == "class" and tag == "dl")])] += 1
        if tag not in self.EMPTY:
            self.open.append(tag)
        if tag == "h2":
            self.headings.append("")

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.count[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] == "h2":
            self.headings[-1] += data


SECTIONS = ["Scores", "Curves", "Side by side", "Pairs", "Recipe", "Training", "Versions", "Systems", "Versions"]


def test_the_report_shows_it_all(learned: tuple[Path, Done]) -> None:
    adapter, done = learned
    page = Page((adapter / "report.html").read_text("utf-8"))
    assert page.headings == SECTIONS and "ACCEPT" in page.text
    assert page.count["svg"] == 3 and page.count["dl example"] == 20
    assert all(f"passed: {reason['reason']}" in page.text for reason in card(adapter)["reasons"])
    assert "Adapter adapter: en to es" in page.text and "http" not in page.text.replace("https://", "")


def test_run_uses_an_accepted_adapter(learned: tuple[Path, Done]) -> None:
    adapter, _ = learned
    done = run("--adapter", adapter)  # which says where its base is
    assert done.code in (0, 1), done.said
    header, *records = map(json.loads, Path("text.es.txt.align.jsonl").read_text("utf-8").splitlines())
    assert header["backend"]["adapter"] == read_adapter(adapter).sha256()
    assert header["backend"]["prompt"] == prompt_hash() and header["backend"]["model"] == str(tiny_model.nf4_base())
    assert [record["stop"] for record in records if record["type"] == "record"] == ["eos"] * 5


def test_a_rejected_adapter_is_written_and_used_only_by_force(learned: tuple[Path, Done]) -> None:
    """The same adapter trained on with wrong translations: it is compared with the one that it would replace."""
    adapter, _ = learned
    targets = [target for _, target in PAIRS]
    random.Random(1).shuffle(targets)
    write_csv(Path("wrong.csv"), [(source, target) for (source, _), target in zip(PAIRS[:100], targets, strict=False)])
    write_csv(Path("right.csv"), PAIRS[100:])
    done = train("wrong.csv", "--test", "right.csv", "--dev", "0", "--adapter", adapter, "-o", "worse",
                 *options(steps=25))  # fmt: skip
    assert done.code == 1 and done.out.splitlines()[-1] == "REJECT"
    assert f"going on from the adapter {adapter} as it is: rank 16, alpha 32, dropout 0.05" in done.said
    found = card("worse")
    assert found["verdict"] == "REJECT" and found["went_on_from"] is not None
    assert [system["name"] for system in found["scores"]["systems"]] == ["new", "adapter", "base", "base-5shot"]
    (lost,) = (reason for reason in found["reasons"] if " of adapter: " in reason["reason"])
    assert not lost["passed"]
    page = Page(Path("worse/report.html").read_text("utf-8"))
    assert "REJECT" in page.text and f"FAILED: {lost['reason']}" in page.text

    refused = run("--adapter", "worse")
    assert refused.code == 3 and not Path("text.es.txt").exists()
    assert "error: the adapter worse was rejected: its training did not show that it is better" in refused.said
    assert "worse/report.html has the reasons; --force uses it all the same." in refused.said
    forced = run("--adapter", "worse", "--force")
    assert forced.code in (0, 1) and "was rejected" in forced.said and "used all the same (--force)" in forced.said
    assert Path("text.es.txt").exists()


# What goes in


def po(language: str, *entries: tuple[str, str]) -> str:
    head = f'msgid ""\nmsgstr "Language: {language}\\nContent-Type: text/plain; charset=UTF-8\\n"\n'
    return head + "".join(f'\nmsgid "{source}"\nmsgstr "{target}"\n' for source, target in entries)


BAD_INPUT = [
    ("empty.csv", "", "no translations in empty.csv"),
    ("header.csv", "en,es\n", "no translations in header.csv"),
    ("one.csv", "en\nOpen it\nClose it\n", "one.csv"),
    ("untranslated.po", po("es", ("Open it", "")), "no translations in untranslated.po\n  It has 1 untranslated."),
    ("french.po", po("fr", *PAIRS), "french.po"),
    ("swapped.csv", "en,es\n" + "".join(f"{target},{source}\n" for source, target in PAIRS),
     "the translations are in the language 'en', not 'es'\n  Swap --from and --to, or give --force to go on."),
    ("mojibake.csv", "en,es\n" + "".join(f"Where is the house {n},DÃ³nde estÃ¡ la casa {n}\n" for n in "abcdefgh"),
     "no pair in mojibake.csv can be used; left out: 8 mojibake"),
    ("latin.csv", "en,es\nWhere is it,D\xf3nde est\xe1\n", "latin.csv"),
    ("few.csv", "en,es\n" + "".join(f"{source},{target}\n" for source, target in PAIRS[:30]), "too few pairs to split"),
    ("long.csv", "en,es\n" + "".join(f'"{f"{n} ç¥ñ" * 90}","{f"{n} ñ¥ç" * 90}"\n' for n in map(chr, range(97, 123)))
     + "".join(f'"{f"{n} ç¥ñ" * 90}","{f"{n} ñ¥ç" * 90}"\n' for n in map(chr, range(65, 91))),
     "no pair fits into the model's context of 256 tokens\n  Shorter texts, or another --base."),
    ("text.pdf", "%PDF", "text.pdf is no file of translations that batchtrans reads"),
    ("missing.csv", None, "there is no file missing.csv"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "words"), BAD_INPUT, ids=lambda value: str(value)[:16])
def test_input_that_cannot_be_learned_from_is_refused(name: str, content: str | None, words: str) -> None:
    if content is not None:
        Path(name).write_text(content, encoding="latin-1" if name.startswith("latin") else "utf-8")
    done = train(name, "-o", "out", *options(), "--test", "20", "--dev", "0")
    assert done.code in (1, 2) and done.out == "" and "batchtrans: error: " in done.said
    assert words in done.said.partition("batchtrans: error: ")[2]
    assert not Path("out").exists() and not Path("out.training").exists()


BAD_OPTIONS = [
    (["--columns", "en"], 2, "--columns takes the column of the sources and that of the targets, not 'en'"),
    (["--columns", "en,fr"], 2, "pairs.csv has no columns en and fr\n  Its first line has 'en', 'es'."),
    (["-O", "beams=4"], 2, "there is no option 'beams'\n  Known options: adapter, alpha, "),
    (["-O", "name=mine"], 2, "there is no option 'name'"),
    (["-O", "r=0"], 2, "the option r cannot be 0\n  It takes a number from 1 to 1e+30."),
    (["-O", "rate"], 2, "-O rate: not of the form KEY=VALUE"),
    (["-O", "quant=8bit"], 2, "the option quant cannot be '8bit'"),
    (["--recipe", "best"], 2, "'best' is not one of 'default', 'seed'"),
    (["--test", "0"], 2, "0 test pairs show nothing about an adapter\n  At least 20 are needed"),
    (["--test", "5"], 2, "5 test pairs show nothing about an adapter"),
    (["--test", "140"], 2, "too few pairs to split"),
    (["--test", "nowhere.csv"], 2, "there is no file nowhere.csv"),
    (["--dev", "text.txt"], 2, "text.txt is no file of translations"),
    (["--prompt", "nowhere"], 2, "the prompt file nowhere cannot be read"),
    (["--prompt", "text.txt"], 2, "the prompt file text.txt does not hold {source} exactly once"),
    (["--prompt", "chat"], 2, "has no chat template\n  Give a file with --prompt FILE."),
    (["--resume"], 2, "there is no training to go on with: out.training holds no checkpoint\n  Leave out --resume."),
    (["-o", "no/such/out"], 2, "there is no directory"),
    (["-o", ".", "--overwrite"], 2, "-o . is no name of a new directory"),
    (["-o", "x/..", "--overwrite"], 2, "-o x/.. is no name of a new directory"),
    (["-o", "pairs.csv"], 2, "pairs.csv is there already"),
    (["--base", "nowhere/at/all"], 3, "there is no directory nowhere/at/all"),
    (["--base", "."], 3, ". is not a model directory"),
    (["--adapter", "."], 3, ". is not a PEFT adapter"),
    (["--from", "xx"], 2, "the prompt has no name for the language 'xx'"),
    (["--device", "tpu"], 2, "the option device cannot be 'tpu'"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "code", "words"), BAD_OPTIONS, ids=lambda value: str(value)[:24])
def test_what_cannot_be_done_is_said_before_any_work(arguments: list[str], code: int, words: str) -> None:
    before = sorted(os.listdir("."))
    output = [] if "-o" in arguments else ["-o", "out"]
    done = train("pairs.csv", *output, *arguments)
    assert (done.code, done.out) == (code, "") and words in done.said, done.said
    assert sorted(os.listdir(".")) == before


def test_what_is_no_pair_to_learn_from_is_counted_and_the_rest_is_learned() -> None:
    odd = [
        ("Nothing yet", ""), ("Where is the house and the file", "DÃ³nde estÃ¡ la casa y el archivo"),
        ("Close the file at 17:45 now", "Cierre el archivo a las 23:12 ahora"), ("I see {name} now", "Veo ahora"),
        ("Open the file or the house", "Open the file or the house"), PAIRS[0],
        ("No", "No abra el archivo de la casa blanca y cierre la estación ahora, aquí y con el archivo " * 2),
        ("I see the house where the station is", "I lost the file and the house is white and open now"),
        ("ç¥ñ" * 100, "ñ¥ç" * 100), ("a" * 1001, "b" * 1001),
    ]  # fmt: skip
    write_csv(Path("odd.csv"), [*PAIRS[:100], *odd])
    write_csv(Path("held.csv"), [*PAIRS[99:], ("", "x"), ("Open the file or", "Open the file or")])
    done = train("odd.csv", "--test", "held.csv", "--dev", "0", "-o", "out", *options(steps=1))
    assert done.code == 1 and "--test held.csv: 51 pairs; left out: 1 untranslated, 1 untranslated" not in done.said
    counted = {
        "untranslated": 2, "mojibake": 1, "numbers differ": 1, "placeholders differ": 1, "duplicate": 1,
        "length ratio": 1, "wrong language": 1, "too long": 1, "in the test split": 1,
        "longer than the model's context": 1,
    }  # fmt: skip
    assert card("out")["data"]["left_out"] == counted
    assert card("out")["data"]["pairs"] == {"read": 110, "train": 100, "dev": 0, "test": 51}
    assert "--test held.csv: 51 pairs; left out: 2 untranslated\n" in done.said
    assert "left out: 1 longer than the model's context\n" in done.said
    for reason, count in counted.items():
        assert f"{count} {reason}" in done.said


def test_held_out_files_know_nothing_of_one_another_or_of_what_is_trained_on() -> None:
    write_csv(Path("dev.csv"), PAIRS[85:110])
    write_csv(Path("test.csv"), [(f"{PAIRS[100][0]}!", PAIRS[100][1]), *PAIRS[101:130]])
    done = train("pairs.csv", "--test", "test.csv", "--dev", "dev.csv", "-o", "out", *options(steps=1))
    assert (
        "pairs: 150 read, 105 to train, 15 dev, 30 test; left out: 30 in the test split, 25 in the dev split"
        in done.said
    )
    assert card("out")["data"]["left_out"] == {"in the test split": 30, "in the dev split": 25}
    assert set(card("out")["data"]["files"]) == {"pairs.csv", "test.csv", "dev.csv"}
    assert "dev.csv: 25 pairs\n" in done.said and "test.csv: 30 pairs\n" in done.said


def test_a_data_set_in_the_form_of_opus_books_is_read() -> None:
    import datasets

    rows = [{"id": str(n), "translation": {"en": en, "es": es}} for n, (en, es) in enumerate(PAIRS)]
    datasets.Dataset.from_list(rows).save_to_disk("books")
    done = train("books", "-o", "out", *options(steps=1))
    assert "pairs: 150 read, 100 to train, 20 dev, 30 test" in done.said and card("out")["data"]["files"] == {
        "books": ""
    }


def test_examples_that_cannot_be_shown_are_no_reason_to_fail_after_the_training() -> None:
    write_csv(Path("names.csv"), [(f"{{x}}: {source}", f"{{x}}: {target}") for source, target in PAIRS])
    done = train("names.csv", "-o", "out", *options(steps=1))
    assert done.code == 1 and "passed  the base is not asked with examples: 5 examples are wanted, and 0 of" in done.out
    assert [system["name"] for system in card("out")["scores"]["systems"]] == ["new", "base"]


# Which adapter, which base, which prompt, which recipe


def plain_adapter(name: str, base: str) -> str:
    """The tiny model's adapter as peft alone would have left it."""
    shutil.copytree(tiny_model.adapter(), name)
    Path(name, "batchtrans.json").unlink()
    config = json.loads(Path(name, "adapter_config.json").read_text())
    Path(name, "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": base}))
    return name


def test_an_adapter_of_plain_peft_is_used_and_gone_on_from_with_a_warning() -> None:
    plain_adapter("plain", str(tiny_model.nf4_base()))
    Path("text.txt").write_text("Open the file.\nThe house is white.\n")
    done = run("--adapter", "plain")
    warning = (
        f"plain: a plain adapter without batchtrans.json; made for {tiny_model.nf4_base()}, asked with the standard"
    )
    assert done.code == 0 and warning in done.said
    assert Path("text.es.txt").read_text("utf-8") == "Abra el archivo.\nLa casa es blanca.\n"
    Path("ask.txt").write_text("{source_language} > {target_language}\n{source}\n=")
    for prompt, asked in (("", "standard prompt"), ("ask.txt", "prompt of the given file")):
        done = train("pairs.csv", "--adapter", "plain", "-o", f"out{prompt}", *options(steps=1),
                     *(["--prompt", prompt] if prompt else []))  # fmt: skip
        assert (
            f"asked with the {asked}" in done.said and "going on from the adapter plain as it is: rank 8" in done.said
        )
        found = card(f"out{prompt}")
        assert found["prompt"] == (Path(prompt).read_text() if prompt else PROMPT)
        assert (found["recipe"]["r"], found["recipe"]["dropout"]) == (8, 0.0)
        new, old = found["scores"]["systems"][:2]
        assert (new["name"], old["name"]) == ("new", "adapter")
        assert new["described"]["prompt"] == old["described"]["prompt"] == prompt_hash(found["prompt"])


@pytest.mark.parametrize("command", ["run", "train"])
def test_an_adapter_for_another_base_is_refused_unless_forced(command: str) -> None:
    plain_adapter("plain", "someone/another-model")
    base = tiny_model.full_base()

    def call(adapter: str | Path, *more: str) -> Done:
        if command == "run":
            return run("--model", base, "--adapter", adapter, *more)
        return train("pairs.csv", "--base", base, "--adapter", adapter, "-o", "out", *options(steps=1), *more)

    for adapter, why in (
        ("plain", f"the adapter plain was made for someone/another-model, not for {base}"),
        (tiny_model.adapter(), "was made for a base with other weights or another tokenizer"),
    ):
        done = call(adapter)
        assert done.code == 3 and why in done.said and "--force goes on all the same" in done.said
        assert not Path("out").exists() and not Path("text.es.txt").exists()
    forced = call("plain", "--force")
    assert forced.code in (0, 1) and "used all the same (--force)" in forced.said
    assert Path("out" if command == "train" else "text.es.txt").exists()


def test_a_prompt_is_stored_with_the_adapter_and_asked_at_translation_time() -> None:
    Path("ask.txt").write_text("Say in {target_language}: {source}\n->\n")
    refused = train("pairs.csv", "--base", tiny_model.model(), "--prompt", "ask.txt", "-o", "out", *options())
    assert refused.code == 2 and "the adapter to go on from, " in refused.said
    assert "has a prompt of its own\n  Leave out --prompt, or begin a new adapter with --from-scratch." in refused.said
    done = train("pairs.csv", "--base", tiny_model.model(), "--prompt", "ask.txt", "--from-scratch", "-o", "out",
                 *options(steps=2))  # fmt: skip
    prompt = "Say in {target_language}: {source}\n->"
    assert done.code == 1 and card("out")["prompt"] == prompt and "a new adapter: rank 16" in done.said
    systems = {system["name"]: system["described"]["prompt"] for system in card("out")["scores"]["systems"]}
    assert systems["new"] == prompt_hash(prompt) != systems["adapter"] == systems["base"] == prompt_hash()
    assert run("--adapter", "out", "--force").code in (0, 1)
    header = json.loads(Path("text.es.txt.align.jsonl").read_text("utf-8").splitlines()[0])
    assert header["backend"]["prompt"] == prompt_hash(prompt)


def test_a_model_is_trained_with_the_terms_of_a_glossary() -> None:
    Path("ask.txt").write_text(PROMPT.replace("\n", "\nTerms: {terms}\n", 1))
    Path("terms.csv").write_text("file,archivo\nstation,estación\n")
    asked = ["pairs.csv", "--base", tiny_model.nf4_base(), "--from-scratch", "--glossary", "terms.csv", "-o", "out"]
    refused = train(*asked, *options())
    assert refused.code == 2 and "the prompt has no line with {terms}" in refused.said
    done = train(*asked, "--prompt", "ask.txt", *options(steps=2))
    assert done.code in (0, 1), done.said
    told = re.search(r"terms of the glossary in (\d+) of (\d+) rows", done.said)
    assert told is not None and 0 < int(told[1]) < int(told[2])  # all targets have archivo, not all sources file
    assert card("out")["data"]["glossary"] == {"terms.csv": sha256_file(Path("terms.csv"))}
    assert "{terms}" in card("out")["prompt"]
    assert run("--adapter", "out", "--force", "--model", tiny_model.nf4_base(), "--glossary", "terms.csv").code in (
        0,
        1,
    )
    lines = [json.loads(line) for line in Path("text.es.txt.align.jsonl").read_text("utf-8").splitlines()]
    assert lines[0]["backend"]["prompt"] == prompt_hash(card("out")["prompt"])


CHAT = "{{ bos_token }}{% for turn in messages %}<{{ turn['role'] }}>{{ turn['content'] }}\n{% endfor %}<assistant> "


def test_the_prompt_can_be_the_tokenizers_chat_template() -> None:
    shutil.copytree(tiny_model.nf4_base(), "chat")
    Path("chat/chat_template.jinja").write_text(CHAT)
    done = train("pairs.csv", "--base", "chat", "--prompt", "chat", "-o", "out", *options(steps=1))
    assert done.code == 1
    assert card("out")["prompt"] == (
        "<|begin_of_text|><user>Translate the following text from {source_language} to {target_language}:\n{source}\n"
        "<assistant>"
    )
    assert json.loads(Path("out/adapter_config.json").read_text())["base_model_name_or_path"] == str(
        Path("chat").resolve()
    )


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ raise_exception('system first') }}", "cannot be used: system first\n  Give a file with --prompt FILE."),
        ("{% for %}", "cannot be used: Expected an expression"),
        ("{{ messages[0]['content'] * 2 }}", "does not hold the text exactly once"),
        ("{{ messages[0]['content'] | upper }}", "does not hold the text exactly once"),
    ],
)
def test_a_chat_template_that_takes_no_text_is_refused(template: str, words: str) -> None:
    shutil.copytree(tiny_model.nf4_base(), "chat")
    Path("chat/chat_template.jinja").write_text(template)
    done = train("pairs.csv", "--base", "chat", "--prompt", "chat", "-o", "out", *options(steps=1))
    assert done.code == 2 and "the chat template of chat " in done.said and words in done.said


def test_a_base_in_a_directory_called_model_is_no_embedded_one() -> None:
    shutil.copytree(tiny_model.nf4_base(), "model/base")
    done = train("pairs.csv", "--base", "model", "--adapter", "none", "-o", "out", *options(steps=1))
    assert done.code == 1
    assert json.loads(Path("out/adapter_config.json").read_text())["base_model_name_or_path"] == str(
        Path("model").resolve()
    )
    assert run("--adapter", "out", "--force").code in (0, 1)


def test_the_seeds_recipe_is_the_documents() -> None:
    """Its numbers stand in batchtrans.json, and in what peft was told; it begins anew where there is an adapter."""
    write_csv(Path("many.csv"), [(f"{one} {word}", f"{other} {word}") for one, other in PAIRS for word in "abcdefgh"])
    done = train("many.csv", "--base", tiny_model.model(), "--recipe", "seed", "-o", "out", "-Osteps=2",
                 "-Oevaluations=0",
                 "--test", "20", "--dev", "0")  # fmt: skip
    assert done.code == 1 and "a new adapter: rank 16, alpha 32, dropout 0.05" in done.said
    found = card("out")
    assert found["recipe"] == {**SEED.to_json(), "steps": 2, "evaluations": 0.0}
    assert found["data"]["pairs"]["train"] == 1000 and found["data"]["left_out"]["beyond the recipe's 1,000"] == 180
    config = json.loads(Path("out/adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (16, 32, 0.05)
    assert sorted(config["target_modules"]) == sorted(SEED.lora()["target_modules"])
    assert found["quantisation"] == "nf4" and found["prompt"] == PROMPT and found["went_on_from"] is None


# Merging


@pytest.fixture(scope="module")
def merged(learned: tuple[Path, Done]) -> tuple[Path, Done]:
    """The adapter of ``learned`` merged into its base, evaluated by the pairs that it was judged by."""
    adapter, _ = learned
    return adapter.with_name("merged"), here("merge", adapter, "-o", adapter.with_name("merged"), "--device", "cpu")


def test_a_merged_checkpoint_translates_as_base_and_adapter(
    learned: tuple[Path, Done], merged: tuple[Path, Done]
) -> None:
    (adapter, _), (directory, done) = learned, merged
    assert done.code == 0, done.said
    assert re.search(r"^merged against adapter: chrF\+\+ ", done.out, re.M) and "test set: 30 segments" in done.out
    assert re.fullmatch(r"[^\n]+: merged in bfloat16, chrF\+\+ [+-][\d.]+\n", done.said)
    evaluated = here("eval", adapter / "test.jsonl", "--to", "es", "--device", "cpu", "--base", tiny_model.nf4_base(),
                     "--against", f"{adapter},{directory}", "--json", "out.json")  # fmt: skip
    assert evaluated.code == 0, evaluated.said
    values = json.loads(Path("out.json").read_text("utf-8"))
    one, other = (system["trimmed"]["chrF++"]["score"] for system in values["systems"])
    assert other > one - 0.5
    texts = [[system["text"] for system in row["systems"].values()] for row in values["translations"]]
    assert sum(one == other for one, other in texts) >= 0.9 * len(texts)


def test_a_merged_checkpoint_is_the_sum_rounded_once_and_needs_no_peft(
    learned: tuple[Path, Done], merged: tuple[Path, Done]
) -> None:
    """Base numbers as they were trained on, plus the adapter, in float32; never through 4 bits again."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from batchtrans_llama.load import load
    from batchtrans_llama.prompt import encode_prompt

    (adapter, _), (directory, _) = learned, merged
    model, report = AutoModelForCausalLM.from_pretrained(directory, output_loading_info=True, dtype="auto")
    assert not any(report.values()) and type(model).__name__ == "LlamaForCausalLM" and model.dtype == torch.bfloat16
    assert getattr(model.config, "quantization_config", None) is None
    assert model.lm_head.weight is model.model.embed_tokens.weight
    exact = load(tiny_model.nf4_base(), read_adapter(adapter), "cpu", "float32", "none").model.state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(value, exact[name].bfloat16()), name
    tokenizer = AutoTokenizer.from_pretrained(directory)
    prompt = torch.tensor([encode_prompt(tokenizer, PAIRS[0][0], "en", "es", card(directory)["prompt"])])
    ids = model.float().generate(prompt, max_new_tokens=60, do_sample=False)[0, prompt.shape[1] :]
    assert ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(ids[:-1]).startswith(" ")
    assert card(directory)["merged"] == {
        "base_fingerprint": card(adapter)["base_fingerprint"],
        "adapter": read_adapter(adapter).sha256(),
        "dtype": "bfloat16",
    }


def test_run_asks_a_merged_checkpoint_with_its_prompt() -> None:
    shutil.copytree(tiny_model.adapter(), "asked")
    prompt = "{source_language}: {source}\n{target_language}:"
    Path("asked/batchtrans.json").write_text(json.dumps(card(tiny_model.adapter()) | {"prompt": prompt}))
    write_csv(Path("test.csv"), PAIRS[:4])
    done = here(
        "merge", "asked", "-o", "m", "--test", "test.csv", "--base", tiny_model.nf4_base(), "--dtype", "float16"
    )
    assert done.code == 0 and "m: merged in float16" in done.said
    assert run("--model", "m").code in (0, 1)
    header = json.loads(Path("text.es.txt.align.jsonl").read_text("utf-8").splitlines()[0])
    assert header["backend"]["prompt"] == prompt_hash(prompt) and header["backend"]["adapter"] is None
    wrong = here("run", "text.txt", "--to", "fr", "--device", "cpu", "--model", "m")
    assert wrong.code == 2 and "m translates from en to es, not from en to fr" in wrong.said


def overflowing(name: str) -> Path:
    """A base that computes what :func:`tiny_model.full_base` computes, with weights that float16 does not hold, and an
    adapter beside it that changes nothing."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from batchtrans_llama.fingerprint import fingerprint

    model = AutoModelForCausalLM.from_pretrained(tiny_model.full_base())
    with torch.no_grad():
        for layer in model.model.layers:
            layer.mlp.up_proj.weight.mul_(2.0**30)
            layer.mlp.down_proj.weight.mul_(2.0**-30)
    base, adapter = Path(name, "base"), Path(name, "adapter")
    model.save_pretrained(base)
    AutoTokenizer.from_pretrained(tiny_model.full_base()).save_pretrained(base)
    get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")).save_pretrained(adapter)
    values = card(tiny_model.adapter()) | {"base_fingerprint": fingerprint(base), "quantisation": "none"}
    (adapter / "batchtrans.json").write_text(json.dumps(values))
    return adapter


def test_a_checkpoint_that_lost_too_much_is_not_written() -> None:
    adapter = overflowing("wide")
    write_csv(Path("test.csv"), [pair for pair in tiny_model.PAIRS if "\ue000" not in pair[0]])
    merge = ["merge", adapter, "--base", "wide/base", "--test", "test.csv"]
    lost = here(*merge, "-o", "narrow", "--dtype", "float16")
    assert lost.code == 1 and "batchtrans: the merged checkpoint loses " in lost.said
    assert "chrF++, more than 0.5: it is not written\n  Use the adapter as it is, or try another --dtype." in lost.said
    assert sorted(os.listdir(".")) == ["pairs.csv", "test.csv", "text.txt", "wide"]
    assert here(*merge, "-o", "kept").code == 0  # bfloat16 holds them


def test_what_cannot_be_merged_is_said(learned: tuple[Path, Done]) -> None:
    adapter, _ = learned
    plain_adapter("plain", str(tiny_model.nf4_base()))
    Path("empty.csv").write_text("")
    Path("there").mkdir()
    own = tiny_model.adapter()
    for arguments, code, words in (
        ([own, "-o", "m"], 2, "does not hold the pairs that it was judged by\n  Give pairs to evaluate by with --test"),
        ([adapter, "-o", "there"], 2, "there is there already\n  Name another directory with -o, or replace it"),
        ([adapter, "-o", "no/m"], 2, "there is no directory"),
        ([adapter, "-o", ".", "--overwrite"], 2, "-o . is no name of a new directory"),
        (["someone/adapter", "-o", "m"], 2, "there is no directory someone/adapter\n  An adapter to merge must be on"),
        ([".", "-o", "m"], 3, ". is not a PEFT adapter"),
        (["plain", "-o", "m"], 2, "plain has no batchtrans.json, which says on which weights and with which prompt"),
        ([adapter, "-o", "m", "--test", "empty.csv"], 2, "no translations in empty.csv"),
        ([adapter, "-o", "m", "--base", tiny_model.full_base()], 3, "was made for a base with other weights"),
    ):
        done = here("merge", *arguments)
        assert (done.code, done.out) == (code, "") and f"error: {words}" in done.said.replace(
            str(own) + " ", ""
        ).replace(f"the adapter {adapter} ", ""), done.said
    with files_no_larger_than(50_000):
        full = here("merge", adapter, "-o", "m")
    assert full.code == 1 and "the checkpoint cannot be written: " in full.said and "Make room." in full.said
    assert sorted(os.listdir(".")) == ["empty.csv", "pairs.csv", "plain", "text.txt", "there"]


def test_a_merge_replaces_what_is_there_when_asked(merged: tuple[Path, Done], learned: tuple[Path, Done]) -> None:
    Path("m").mkdir()
    Path("m/mine").touch()
    assert here("merge", learned[0], "-o", "m", "--overwrite").code == 0
    assert Path("m~/mine").exists() and Path("m/config.json").is_file()
    assert (Path("m") / "model.safetensors").read_bytes() == (merged[0] / "model.safetensors").read_bytes()


# The embedded model


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a real catalogue, of which whole files' texts are held out: what is left, the same with the
    targets shuffled, and the held-out pairs."""
    from batchtrans_llama.data.filters import keep
    from batchtrans_llama.data.read import read_pairs
    from batchtrans_llama.data.split import split

    directory = tmp_path_factory.mktemp("memory")
    found = read_pairs([str(DATA / "pairs" / "login-gov.po")], "en", "es", counts=Counter())
    parts = split(list(keep(found, "en", "es", Counter())), dev=0, test=60, seed=1)
    right = [(pair.source, pair.target) for pair in parts.train][:150]
    targets = [target for _, target in right]
    random.Random(0).shuffle(targets)
    wrong = [(source, target) for (source, _), target in zip(right, targets, strict=True)]
    for name, pairs in (("right", right), ("wrong", wrong), ("held", [(p.source, p.target) for p in parts.test][:60])):
        with (directory / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("en", "es"), *pairs])
    return directory


SIXTY_STEPS = ["--test", "held.csv", "--dev", "0", "--to", "es", "-Osteps=60", "-Obatch=2", "-Olength-cap=8+1.5*n"]


@pytest.mark.model
def test_wrong_pairs_are_rejected_and_the_same_pairs_put_right_are_accepted(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """150 pairs, 60 steps, 60 held out, on a CPU."""
    pytest.importorskip("batchtrans_en_es", reason="the embedded model is not installed")
    monkeypatch.chdir(memory)
    wrong = here("train", "wrong.csv", *SIXTY_STEPS, "-o", "worse")
    assert wrong.code == 1 and wrong.out.splitlines()[-1] == "REJECT", wrong.said
    right = subprocess.run(
        [sys.executable, "-m", "batchtrans", "train", "right.csv", *SIXTY_STEPS, "-o", "better", "--adapter", "none"],
        capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert right.returncode == 0 and right.stdout.splitlines()[-1] == "ACCEPT", right.stderr
    assert "Warning" not in wrong.said + right.stderr
    worse, better = card(memory / "worse"), card(memory / "better")
    assert (worse["verdict"], better["verdict"]) == ("REJECT", "ACCEPT")
    assert worse["data"]["pairs"]["test"] == better["data"]["pairs"]["test"] == 60
    assert better["data"]["pairs"]["train"] == 150 and better["training"]["steps"] == worse["training"]["steps"] == 60
    names = [system["name"] for system in worse["scores"]["systems"]]
    assert names == ["new", "adapter", "base", "base-5shot"] and worse["went_on_from"] is not None
    beaten = {d["system"]: d for d in better["scores"]["differences"] if d["metric"] == "chrF++"}
    assert set(beaten) == {"base", "base-5shot"} and all(d["delta"] < 0 and d["p"] < 0.05 for d in beaten.values())
    for name in ("worse", "better"):
        page = Page((memory / name / "report.html").read_text("utf-8"))
        assert page.headings == SECTIONS and page.count["dl example"] == 20 and page.count["svg"] == 1
        records = [json.loads(line) for line in (memory / name / "metrics.jsonl").read_text().splitlines()]
        assert [record["step"] for record in records] == [10, 20, 30, 40, 50, 60]

    Path("new.txt").write_text("Enter your password to send the letter.\n")
    refused = here("run", "new.txt", "--to", "es", "--adapter", "worse")
    assert refused.code == 3 and "the adapter worse was rejected" in refused.said and not Path("new.es.txt").exists()
    used = here("run", "new.txt", "--to", "es", "--adapter", "better")  # on the embedded base, which it does not name
    assert used.code == 0 and "contraseña" in Path("new.es.txt").read_text("utf-8")
    forced = here("run", "new.txt", "--to", "es", "--adapter", "worse", "--force", "--overwrite", "--fresh")
    assert forced.code in (0, 1) and "used all the same (--force)" in forced.said
