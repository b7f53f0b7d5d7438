"""The embedded English-Spanish model as it is shipped, and the parts of its recipe that decide what it learns."""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import random
import re
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from batchtrans import BackendError, plugins, protect
from batchtrans.calibration import load_calibration
from batchtrans_en_es import model_directory
from batchtrans_llama.fingerprint import fingerprint
from batchtrans_llama.prompt import MASKS, PROMPT, encode_prompts, prompt_hash
from conftest import ROOT, SAMPLES

PLUGIN = ROOT / "plugins" / "batchtrans-en-es"
RECIPE = PLUGIN / "recipe"
MODEL = model_directory()
sys.path.insert(0, str(RECIPE))

import formats  # noqa: E402
import gather  # noqa: E402
import rows  # noqa: E402
import sources  # noqa: E402

import data  # noqa: E402

CARD = json.loads((MODEL / "adapter" / "batchtrans.json").read_text(encoding="utf-8"))
SENTENCES = [
    "I lost my last tray. What should I do?",
    "Please enter your password.",
    "The file could not be opened.",
    "Do you want to save the changes?",
    "My sister lives in a small house near the sea.",
    "It is raining, so we will stay at home.",
    "Add a new user",
    "Search results",
    "The connection was closed by the server.",
    "We have been waiting for you for two hours.",
]


# The files


def test_the_manifest_names_every_file_with_its_size_and_hash() -> None:
    manifest = json.loads((MODEL / "manifest.json").read_text(encoding="utf-8"))
    found = {path.relative_to(MODEL).as_posix(): path.read_bytes() for path in MODEL.glob("*/*")}
    assert manifest["files"] == {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in found.items()
    }
    assert manifest["bytes"] == sum(map(len, found.values()))


def test_the_model_is_small_enough_to_ship() -> None:
    sizes = [path.stat().st_size for path in MODEL.rglob("*") if path.is_file()]
    assert max(sizes) <= 16 * 2**20
    assert sum(sizes) <= 44 * 2**20


def test_the_language_pair_is_declared_through_the_hook() -> None:
    declared = plugins.registry().models["en-es"]
    assert plugins.resolve(declared)() == MODEL


def test_the_adapter_knows_the_base_and_the_prompt_it_was_made_for() -> None:
    assert CARD["base_fingerprint"] == fingerprint(MODEL / "base")
    assert CARD["prompt"] == PROMPT
    assert CARD["prompt_sha256"] == prompt_hash()
    assert (CARD["source_lang"], CARD["target_lang"], CARD["masks"]) == ("en", "es", len(MASKS))


def test_base_and_adapter_have_the_documented_shape() -> None:
    config = json.loads((MODEL / "base" / "config.json").read_text())
    assert (config["architectures"], config["max_position_embeddings"]) == (["LlamaForCausalLM"], 1024)
    quantisation = config["quantization_config"]
    assert quantisation["bnb_4bit_quant_type"] == "nf4"
    assert quantisation["load_in_4bit"] and quantisation["bnb_4bit_use_double_quant"]
    lora = json.loads((MODEL / "adapter" / "adapter_config.json").read_text())
    assert (lora["r"], lora["lora_alpha"], lora["lora_dropout"]) == (16, 32, 0.05)
    assert len(lora["target_modules"]) == 7


def test_the_card_records_what_must_hold_of_stopping() -> None:
    stop = CARD["scores"]["stop"]
    assert stop["tuned"]["segments"] == stop["untuned"]["segments"] == 500
    assert stop["tuned"]["stops_by_eos"] >= 0.99
    assert stop["untuned"]["stops_by_eos"] < 0.01


def test_the_model_says_how_sure_it_is_as_well_as_it_must() -> None:
    calibration = load_calibration(MODEL / "adapter" / "calibration.json")
    assert calibration is not None and calibration.threshold(0.3) is not None and calibration.threshold(0.02) is None
    report = json.loads((MODEL / "adapter" / "calibration.json").read_text(encoding="utf-8"))["report"]
    assert report["test"]["ece"] < 0.05 and report["test"]["auroc"] >= 0.70 and report["test"]["segments"] > 2000
    bounds = {each["bound"]: each for each in report["test"]["bounds"]}
    assert bounds[0.3]["errors"] <= 0.3 and bounds[0.3]["coverage"] >= 0.1


def test_every_source_of_the_training_data_is_attributed() -> None:
    sources = json.loads((RECIPE / "pairs.json").read_text(encoding="utf-8"))["sources"]
    notice = (PLUGIN / "NOTICE").read_text(encoding="utf-8")
    assert len(sources) > 50
    assert [name for name in sources if f"| {name} |" not in notice] == []


# What it does


@pytest.fixture(scope="module")
def loaded() -> Any:
    from batchtrans_llama.card import read_adapter
    from batchtrans_llama.load import load

    return load(MODEL / "base", read_adapter(MODEL / "adapter"), device="cpu", dtype="float32", quant="none")


def decode(loaded: Any, sources: list[str]) -> list[Any]:
    from batchtrans_llama.generate import HfEngine

    prompts = encode_prompts(loaded.tokenizer, sources, "en", "es")
    caps = [16 + int(2.2 * len(prompt)) for prompt in prompts]
    return HfEngine(loaded, guards=False).decode(prompts, caps)


@pytest.mark.model
def test_everyday_and_interface_sentences_become_spanish_and_stop_by_themselves(loaded: Any) -> None:
    spanish = {"el", "la", "los", "las", "un", "una", "de", "en", "se", "su", "mi", "que", "qué", "nos", "por", "y"}
    outputs = decode(loaded, SENTENCES)
    texts = [loaded.tokenizer.decode(output.ids).strip() for output in outputs]
    assert [output.stop for output in outputs] == ["eos"] * len(SENTENCES)
    assert all(text and text != source for text, source in zip(texts, SENTENCES, strict=True)), texts
    words = [set(text.lower().replace("¿", "").split()) for text in texts]
    assert sum(bool(word & spanish) for word in words) >= 8, texts
    assert not any(word & {"the", "and", "you", "my", "is", "to"} for word in words), texts


@pytest.mark.model
def test_masks_come_through(loaded: Any) -> None:
    sources = ["Delete \ue000 files?", "Hello \ue000, you have \ue001 new messages.", "Open \ue000link\ue001."]
    texts = [loaded.tokenizer.decode(output.ids) for output in decode(loaded, sources)]
    assert [sorted(protect.masks_in(text)) for text in texts] == [[0], [0, 1], [0, 1]], texts


@pytest.mark.model
def test_outputs_in_float32_are_those_that_were_shipped(loaded: Any) -> None:
    reference = json.loads((RECIPE / "outputs-fp32.json").read_text(encoding="utf-8"))
    assert reference["base_fingerprint"] == fingerprint(MODEL / "base")
    expected = reference["rows"]
    assert len(expected) == 50
    outputs = decode(loaded, [row["source"] for row in expected])
    assert [output.ids for output in outputs] == [row["ids"] for row in expected]


# The recipe


def pair(english: str, spanish: str) -> Any:
    return rows.Pair(english, spanish, 1.0)


def test_the_samples_are_kept_out_of_the_training_data(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "SOURCES.tsv").write_text("source\tlicence\nmine\tMIT\n")
    pairs = ["I  LOST my last tray. what should I do?\tPerdí mi bandeja.\tmine", "A good day\tUn buen día\tmine"]
    (corpus / "a.tsv.xz").write_bytes(lzma.compress("\n".join([*pairs, "No licence\tSin\tother", ""]).encode()))
    (tmp_path / "unseen.txt").write_text("Well. I lost my last tray. What should I do?\n")
    unseen = data.excluded_keys([tmp_path / "unseen.txt", *SAMPLES.glob("input.*")])
    kept, dropped = data.clean([corpus], unseen | {data.key("I lost my last tray. What should I do?")})
    assert list(kept) == [("A good day", "Un buen día")]
    assert dropped == Counter({"dev set or sample": 1, "no licence recorded": 1})


@pytest.mark.parametrize("name", ["input.po", "input.csv", "input.txt", "input.srt"])
def test_every_sample_format_is_read_for_exclusion(name: str) -> None:
    keys = data.excluded_keys([SAMPLES / name])
    assert len(keys) > 10
    assert "" not in keys


@pytest.mark.parametrize(
    ("english", "spanish", "reason"),
    [
        ("A house", "Una casa", ""),
        ("A house", "", "empty side"),
        ("A cafe", "Un cafÃ©", "mojibake"),
        ("A house", "Una casa muy grande con un jardín y con árboles delante", "length ratio"),
        ("This text was never put into Spanish", "This text was never put into Spanish", "untranslated"),
        ("Call `open()` now", "Llame a `abrir()` ahora", "code differs"),
        ("Python 3.12", "Python 3.12", ""),
        ("Where are you?", "Dónde estás?", "opening mark missing"),
    ],
)
def test_noise_is_named(english: str, spanish: str, reason: str) -> None:
    assert data.fault(english, spanish) == reason


def test_a_corpus_may_stand_in_several_directories(tmp_path: Path) -> None:
    for name, line in (("one", "A dog\tUn perro\tfirst\n"), ("two", "A cat\tUn gato\tsecond\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "SOURCES.tsv").write_text(f"source\tlicence\n{line.split()[-1]}\tMIT\n")
        (tmp_path / name / "a.tsv.xz").write_bytes(lzma.compress(line.encode()))
    kept, dropped = data.clean([tmp_path / "one", tmp_path / "two"], set())
    assert kept == {("A dog", "Un perro"): "first", ("A cat", "Un gato"): "second"} and not dropped


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        (("~Master", "~Patrón"), ("Master", "Patrón")),
        (("Fo~rm", "Formu~lario"), ("Form", "Formulario")),
        (("Save _As", "_Guardar como"), ("Save As", "Guardar como")),
        (("my_name", "nombre"), ("my_name", "nombre")),
        (("a_b_c", "a_b_c"), ("a_b_c", "a_b_c")),
        (("Set %(max_value)s", "Fije %(max_value)s"), ("Set %(max_value)s", "Fije %(max_value)s")),
        (("One&nbsp;two", "Uno&nbsp;dos"), ("One&nbsp;two", "Uno&nbsp;dos")),
    ],
)
def test_access_keys_are_taken_out_where_both_sides_have_one(pair: tuple[str, str], expected: tuple[str, str]) -> None:
    assert gather.without_key(*pair) == expected


@pytest.mark.parametrize(
    ("english", "spanish", "usable"),
    [
        ("Delete %1", "Borrar %1", True),
        ("Open {name}", "Abrir {name}", True),
        ("Open {name}", "Abrir {nombre}", False),
        ("Calc", "calc", False),
        ("{n, plural, one {file} other {files}}", "{n, plural, one {archivo} other {archivos}}", False),
        ("x" * 400, "y" * 400, False),
        (" ", "a", False),
    ],
)
def test_what_is_gathered_is_translated_short_and_has_its_placeholders(
    english: str, spanish: str, usable: bool
) -> None:
    assert gather.usable(english, spanish) is usable


def test_the_lexicon_gives_rare_words_in_their_first_sense(tmp_path: Path) -> None:
    (tmp_path / "wn-data-spa.tab").write_text(
        "# head\n00000001-n\tlemma\tvórtice\n00000001-n\tlemma\tremolino\n00000002-n\tlemma\tverbena\n"
        "00000003-n\tlemma\tcelda\n00000004-n\tlemma\tcanis lupus\n00000001-v\tlemma\tgirar\n"
        "00000005-n\tlemma\tMadrid\n",
        encoding="utf-8",
    )
    folder = tmp_path / "usr" / "share" / "wordnet"
    folder.mkdir(parents=True)
    for part in ("noun", "verb", "adj", "adv"):
        (folder / f"index.{part}").write_text("  1 licence\n")
        (folder / f"data.{part}").write_text("  1 licence\n")
    with (folder / "index.noun").open("a") as file:
        for word, tagged, senses in (
            ("vortex", 3, ("00000001", "00000002")),  # the first sense, and of its words the one that is alike
            ("cell", 5, ("00000003",)),  # common in the corpus
            ("wolf", 1, ("00000004",)),  # Latin that the corpus does not know
            ("madrid", 0, ("00000005",)),  # a name
            ("ibm", 0, ("00000002",)),  # in capitals where it is written
        ):
            file.write(f"{word} n {len(senses)} 1 @ {len(senses)} {tagged} {' '.join(senses)}  \n")
    with (folder / "data.noun").open("a") as file:
        for offset, word in enumerate(("vortex", "cell", "wolf", "Madrid", "IBM"), 1):
            file.write(f"{offset:08} 03 n 01 {word} 0 000 | gloss\n")
    with (folder / "index.verb").open("a") as file:
        file.write("vortex v 1 1 @ 1 0 00000001  \n")
    with (folder / "data.verb").open("a") as file:
        file.write("00000001 29 v 01 vortex 0 000 | gloss\n")
    assert list(gather.lexicon(tmp_path, Counter({"cell": 900}), Counter())) == [("vortex", "vórtice")]


def test_fluent_messages_give_their_plain_texts_with_the_brand() -> None:
    pytest.importorskip("fluent.syntax")
    text = (
        "title = Welcome to { -brand-short-name }\ncount = { $n } tabs\nbutton =\n"
        "    .label = Save\n    .accesskey = S\n-term = no message\n"
    )
    assert sources._fluent(text) == {"title.": "Welcome to Firefox", "button.label": "Save"}


@pytest.mark.parametrize(
    ("read", "text", "expected"),
    [
        (formats.json_strings, '{"a": {"b": "Save"}, "n": 3, "l": ["One"]}', {"a.b": "Save", "l.0": "One"}),
        (
            formats.java_properties,
            "# note\nsave = Guardar\\u0020todo\nlong: one \\\n   two\nit=don''t\n! old=x\n",
            {"save": "Guardar todo", "long": "one two", "it": "don't"},
        ),
        (
            formats.android_strings,
            '<resources><string name="a">Don\\\'t\\nstop</string><string name="b">An <b>x</b></string></resources>',
            {"a": "Don't\nstop"},
        ),
        (formats.resx_strings, '<root><data name="a"><value>Acres</value></data></root>', {"a": "Acres"}),
        (
            formats.php_strings,
            "<?php\nreturn [\n 'a' => [\n  'b' => 'It\\'s',\n ],\n 'c' => 'Save',\n];\n",
            {"a.b": "It's", "c": "Save"},
        ),
        (formats.ini_strings, "; note\n[repo]\nname = `Name`\n", {"[repo]name": "Name"}),
    ],
)
def test_resource_files_are_read_by_key(read: Any, text: str, expected: dict[str, str]) -> None:
    assert read(text) == expected


def test_files_of_two_languages_are_joined_by_key(tmp_path: Path) -> None:
    for language, text in (("en", '{"a": "Save", "b": "Only here"}'), ("es", '{"a": "Guardar", "c": "Otra"}')):
        (tmp_path / "app" / language).mkdir(parents=True)
        (tmp_path / "app" / language / "ui.json").write_text(text)
    assert list(formats.twins(tmp_path, "app/**/*.json", "/es/", "/en/", formats.json_strings)) == [("Save", "Guardar")]


def test_properties_may_have_lines_in_latin_1(tmp_path: Path) -> None:
    (tmp_path / "m.properties").write_text("a=Year\nb=Village\n")
    (tmp_path / "m_es.properties").write_bytes("a=Año\n".encode("latin-1") + "b=Población\n".encode())
    pairs = formats.twins(tmp_path, "*_es.properties", "_es.properties", ".properties", formats.java_properties)
    assert list(pairs) == [("Year", "Año"), ("Village", "Población")]


def test_packed_strings_are_joined_by_number(tmp_path: Path) -> None:
    for name, texts in (("en-US.pak", {1: b"Save", 7: b"Red"}), ("es.pak", {7: b"Rojo", 9: b"\x1f\x8bpage"})):
        start, body, index = 12 + 6 * (len(texts) + 1), b"", b""
        for number, text in texts.items():
            index += struct.pack("<HI", number, start + len(body))
            body += text
        head = struct.pack("<IBxxxHH", 5, 1, len(texts), 0)
        (tmp_path / name).write_bytes(head + index + struct.pack("<HI", 0, start + len(body)) + body)
    assert list(formats.data_packs(tmp_path, ".")) == [("Red", "Rojo")]
    (tmp_path / "es.pak").write_bytes(struct.pack("<IBxxxHH", 4, 1, 0, 0))
    with pytest.raises(ValueError, match="version 4"):
        list(formats.data_packs(tmp_path, "."))


def test_every_source_has_a_licence_that_permits_and_is_credited() -> None:
    notice = (PLUGIN / "NOTICE").read_text(encoding="utf-8")
    used = json.loads((RECIPE / "adapter-pairs.json").read_text(encoding="utf-8"))["sources"]
    script = (RECIPE / "packages.sh").read_text(encoding="utf-8")
    for name, source in sources.SOURCES.items():
        assert all(version in script for version in source.version.split(", ")), name
        assert not re.search("GPL|SA", source.licence), name
        assert f"| {name} | {used[name]:,} | {source.package} | {source.licence} |" in notice


@pytest.mark.model
def test_packed_rows_see_nothing_but_themselves_and_the_adapter_is_peft_s(tmp_path: Path) -> None:
    """The loss of packed rows is that of each row alone under PEFT, and what is saved is what was trained."""
    import adapter
    import torch

    from batchtrans_llama.card import read_adapter
    from batchtrans_llama.load import load

    pairs = [pair("Open %s", "Abrir %s"), pair("Save the file.", "Guarde el archivo."), pair("Red", "Rojo")] * 3
    packed = adapter.Encoder(MODEL / "base").packed(pairs, seed=1)
    assert packed.shape[0] == 1 and packed[0, 2].max() == len(pairs)
    loaded = load(MODEL / "base", device="cpu", dtype="float32", quant="none")
    changes = adapter.build(loaded, 16, MODEL / "adapter")
    adapter.save(changes, argparse.Namespace(output=tmp_path, rank=16))
    (tmp_path / "batchtrans.json").write_bytes((MODEL / "adapter" / "batchtrans.json").read_bytes())
    alone = load(MODEL / "base", read_adapter(tmp_path), device="cpu", dtype="float32", quant="none").model
    losses = []
    with torch.no_grad():
        together = adapter.packed_loss(loaded.model, torch.from_numpy(packed.astype("int32")), 0.0)
        for number in range(1, len(pairs) + 1):
            ids, learnt, _ = torch.from_numpy(packed[0][:, packed[0, 2] == number].astype("int64"))
            scores = alone(ids[None]).logits[0].log_softmax(-1)[:-1].gather(1, ids[1:, None])[:, 0]
            losses += (-scores[learnt[1:] > 0]).tolist()
    assert together.item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


@pytest.mark.model
def test_labels_get_the_share_that_was_asked_for() -> None:
    import adapter

    known = [rows.Pair("Save", "Guardar", 2.0), rows.Pair("Red", "Rojo", 4.0), rows.Pair("a b c d e", "a", 18.0)]
    weighed = adapter.with_labels(known, 0.6)
    assert sum(each.weight for each in weighed[:2]) / sum(each.weight for each in weighed) == pytest.approx(0.6)
    assert weighed[1].weight == 2 * weighed[0].weight and weighed[2] == known[2]


def test_masks_stand_for_the_same_placeholder_on_both_sides() -> None:
    original = pair("%(user)s sent %(count)d files to %(user)s.", "%(user)s recibió de %(user)s %(count)d archivos.")
    for seed in range(50):
        english, spanish = rows.masked(original, random.Random(seed))
        numbers = protect.masks_in(english)
        assert len(set(numbers)) == 3
        spans = protect.find(original.english)
        placeholders = {MASKS[n]: original.english[s.start : s.end] for n, s in zip(numbers, spans, strict=True)}
        assert english.translate(str.maketrans(placeholders)) == original.english
        assert spanish.translate(str.maketrans(placeholders)) == original.spanish
        assert [n for n in protect.masks_in(spanish) if n in (numbers[0], numbers[2])] == [numbers[0], numbers[2]]


def test_masks_are_mostly_in_order_and_all_of_them_are_used() -> None:
    original = pair("Open %s", "Abrir %s")
    seen = [protect.masks_in(rows.masked(original, random.Random(seed))[0])[0] for seed in range(2000)]
    assert Counter(seen).most_common(1)[0][0] == 0
    assert set(seen) == set(range(len(MASKS)))


@pytest.mark.parametrize("original", [pair("Delete %s", "Borrar %d"), pair("Delete", "Borrar")], ids=str)
def test_pairs_whose_placeholders_differ_are_not_masked_and_nothing_is_drawn_for_them(original: Any) -> None:
    chance = random.Random(1)
    before = chance.getstate()
    assert rows.masked(original, chance) is None
    assert chance.getstate() == before


def test_made_up_words_stand_at_the_same_place_on_both_sides() -> None:
    original = pair("Yesterday Boston won 14 games.", "Ayer Boston ganó 14 partidos.")
    changed = {rows.augment(original, random.Random(seed)) for seed in range(500)} - {original[:2]}
    assert len(changed) > 10
    frame = re.compile(r"Yesterday (.+) won (.+) games\.")
    for english, spanish in changed:
        found = frame.fullmatch(english)
        assert found and spanish == f"Ayer {found[1]} ganó {found[2]} partidos."
        assert found.groups() != ("Boston", "14")
        assert found[2].isdigit() or protect.masks_in(found[2])
        assert found[1][0].isupper() or protect.masks_in(found[1])


def test_people_of_everyday_sentences_are_mostly_replaced() -> None:
    original = pair("Tom is a bright student.", "Tom es un estudiante brillante.")
    replaced = sum("Tom" not in rows.augment(original, random.Random(seed))[0] for seed in range(1000))
    assert 600 < replaced < 800


@pytest.mark.parametrize("seed", range(20))
def test_rows_are_the_pairs_in_order_some_joined_some_behind_an_option(seed: int) -> None:
    pairs = [pair(f"we saw the red house number {n} today.", f"hoy vimos la casa roja con el {n}.") for n in range(60)]
    made = rows.texts(pairs, random.Random(seed))
    assert 30 < len(made) <= 60
    for side, word in enumerate(("house", "casa")):
        assert sum(row[side].count(word) for row in made) == 60
    for english, spanish in made:
        assert max(len(english), len(spanish)) <= 350 + 1
        head, text, _ = english.partition("we saw")
        assert text and spanish.startswith(head)


def test_labels_are_met_in_capitals_in_title_case_and_with_a_mark() -> None:
    original = pair("Search related items", "buscar ítems relacionados")
    seen = Counter(rows.augment(original, random.Random(seed)) for seed in range(2000))
    assert set(seen) == {
        original[:2],
        ("SEARCH RELATED ITEMS", "BUSCAR ÍTEMS RELACIONADOS"),
        ("Search Related Items", "Buscar ítems relacionados"),
        *((f"Search related items{mark}", f"buscar ítems relacionados{mark}") for mark in (":", "...", "…")),
    }
    assert seen[original[:2]] > 1200


def test_labels_get_the_capitals_that_spanish_has() -> None:
    sentences = ["Aquí se ve el nodo de la capa que se ha creado en Madrid por el nuevo usuario."] * 6
    common = data.common_words([*sentences, "Nodo"])
    assert "capa" in common and "madrid" not in common
    for english, spanish, expected in (
        ("New Layer Node", "Nuevo Nodo de Capa", "Nuevo nodo de capa"),
        ("Layer of Madrid", "Capa de Madrid", "Capa de Madrid"),
        ("Layer (Node)", "Capa (Nodo)", "Capa (Nodo)"),
        ("Nodo Layer", "Capa Nodo", "Capa Nodo"),
        ("Open the layer", "Abrir la Capa", "Abrir la Capa"),
        ("This Is a Layer.", "Esto es una Capa.", "Esto es una Capa."),
        ("Show `Layer`", "Mostrar Capa", "Mostrar Capa"),
    ):
        assert data.sentence_case(english, spanish, common) == expected


def test_a_pair_with_other_markup_is_noise() -> None:
    assert data.fault("Click **New**.", "Haga clic en **nuevo**y.") == "markup differs"
    assert not data.fault("Click **New**.", "Haga clic en **Nuevo**.")


def test_an_epoch_draws_a_pair_as_often_as_its_weight_says() -> None:
    pairs = [rows.Pair(str(number), "x", weight) for number, weight in enumerate([0.5] * 1000 + [1.0, 2.0])]
    counts = Counter(pair.english for pair in rows.epoch(pairs, 1))
    assert (counts["1000"], counts["1001"]) == (1, 2)
    assert 400 < sum(counts[str(number)] for number in range(1000)) < 600
    assert rows.epoch(pairs, 1) == rows.epoch(pairs, 1) != rows.epoch(pairs, 2)


def test_a_word_of_a_lexicon_is_often_met_with_a_capital() -> None:
    seen = Counter(rows.augment(pair("ripple", "onda"), random.Random(seed)) for seed in range(2000))
    assert seen["Ripple", "Onda"] > 700 < seen["ripple", "onda"]


def _adapter(folder: Path, factors: dict[str, Any], rank: int, prompt: str = "p") -> Path:
    from safetensors.torch import save_file

    folder.mkdir()
    save_file(factors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"r": rank, "lora_alpha": 2 * rank}))
    card = {"base_fingerprint": "b", "prompt_sha256": prompt, "lora": {"r": rank}, "training": [folder.name]}
    (folder / "batchtrans.json").write_text(json.dumps(card))
    return folder


@pytest.mark.model
def test_averaged_adapters_make_the_averaged_change(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    generator = torch.Generator().manual_seed(1)
    made = []
    for _ in range(2):  # rank 2 each, in a place for 4: their average fits
        inner, outer = (torch.randn(shape, generator=generator) for shape in ((4, 12), (8, 4)))
        inner[2:] = 0
        made.append({"layer.lora_A.weight": inner, "layer.lora_B.weight": outer})
    paths = [_adapter(tmp_path / str(number), factors, 4) for number, factors in enumerate(made)]
    command = [sys.executable, str(RECIPE / "average.py"), *map(str, paths), "--shares", "0.25", "0.75"]
    done = subprocess.run([*command, "-o", str(tmp_path / "out")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = load_file(tmp_path / "out" / "adapter_model.safetensors")
    expected = sum(
        share * factors["layer.lora_B.weight"] @ factors["layer.lora_A.weight"]
        for share, factors in zip((0.25, 0.75), made, strict=True)
    )
    change = found["layer.lora_B.weight"].float() @ found["layer.lora_A.weight"].float()
    assert (change - expected).abs().max() < 0.01 * expected.abs().max()
    card = json.loads((tmp_path / "out" / "batchtrans.json").read_text())
    assert [part["share"] for part in card["training"]["average_of"]] == [0.25, 0.75]
    assert card["training"]["squares_left_out"] == 0


@pytest.mark.model
@pytest.mark.parametrize(
    ("prompt", "shares", "message"), [("other", ["0.5", "0.5"], "different"), ("p", ["0.5", "0.6"], "together are 1")]
)
def test_adapters_that_do_not_belong_together_are_not_averaged(
    tmp_path: Path, prompt: str, shares: list[str], message: str
) -> None:
    import torch

    factors = {"layer.lora_A.weight": torch.ones(1, 2), "layer.lora_B.weight": torch.ones(2, 1)}
    paths = [_adapter(tmp_path / "one", factors, 1), _adapter(tmp_path / "two", factors, 1, prompt)]
    command = [sys.executable, str(RECIPE / "average.py"), *map(str, paths), "--shares", *shares]
    done = subprocess.run([*command, "-o", str(tmp_path / "out")], capture_output=True, text=True)
    assert done.returncode == 2 and message in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.model
def test_packed_rows_hold_whole_pairs_behind_one_bos_and_no_eos() -> None:
    import base

    encoder = base.Encoder(str(MODEL / "base" / "tokenizer.json"), 0.0, 0.0)
    texts = [(f"The file number {n} is ready.", f"El archivo número {n} está listo.") for n in range(300)]
    ids, kinds = encoder.rows(texts, random.Random(1))
    eos = encoder.plain.token_to_id("<|end_of_text|>")
    assert ids.shape == kinds.shape == (len(ids), base.CONTEXT + 1)
    assert (ids[:, 0] == encoder.bos).all() and (ids == encoder.bos).sum() == len(ids) and eos not in ids
    text = "".join(encoder.plain.decode([n for n in row if n not in (encoder.bos, encoder.pad)]) for row in ids)
    assert text == "".join(f"{english}\n{spanish}\n\n" for english, spanish in texts)
    spanish = encoder.plain.decode([int(n) for n in ids[0][kinds[0] == base.TARGET]])
    assert spanish.startswith("El archivo número 0 está listo.\n\nEl archivo número 1 está")


@pytest.mark.model
def test_the_row_of_eos_gets_the_length_of_an_average_one_and_no_other_row_changes() -> None:
    import torch
    from base import raise_eos

    after = torch.randn(6, 4)
    after[5] *= 0.01
    before = after.clone()
    raise_eos(after, 5)
    assert torch.equal(after[:5], before[:5])
    assert after[5].norm() == pytest.approx(before.norm(dim=1).mean())
    assert torch.cosine_similarity(after[5], before[5], dim=0) == pytest.approx(1.0)


# The fingerprint of a base


def checkpoint(directory: Path, shards: list[dict[str, Any]], config: str = '{"hidden_size": 4}') -> Path:
    from safetensors.numpy import save_file

    directory.mkdir()
    (directory / "config.json").write_text(config)
    (directory / "tokenizer.json").write_text("{}")
    names = [f"model-{number}.safetensors" for number in range(len(shards))]
    if len(shards) == 1:
        names = ["model.safetensors"]
    else:
        weight_map = {name: file for file, shard in zip(names, shards, strict=True) for name in shard}
        (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    for name, shard in zip(names, shards, strict=True):
        save_file(shard, directory / name)
    return directory


def test_the_fingerprint_depends_on_numbers_and_not_on_files_or_tool_versions(tmp_path: Path) -> None:
    import numpy as np

    one, two = np.arange(6, dtype=np.float32), np.ones((2, 3), dtype=np.float16)
    whole = checkpoint(tmp_path / "whole", [{"a": one, "b": two}])
    parts = checkpoint(tmp_path / "parts", [{"b": two}, {"a": one}], '{"transformers_version": "6", "hidden_size": 4}')
    assert fingerprint(whole) == fingerprint(parts)
    others = [
        checkpoint(tmp_path / "value", [{"a": one + 1, "b": two}]),
        checkpoint(tmp_path / "name", [{"c": one, "b": two}]),
        checkpoint(tmp_path / "shape", [{"a": one.reshape(2, 3), "b": two}]),
        checkpoint(tmp_path / "config", [{"a": one, "b": two}], '{"hidden_size": 5}'),
    ]
    tokenizer = checkpoint(tmp_path / "tokenizer", [{"a": one, "b": two}])
    (tokenizer / "tokenizer.json").write_text('{"other": 1}')
    prints = [fingerprint(path) for path in (whole, *others, tokenizer)]
    assert len(set(prints)) == len(prints)


@pytest.mark.parametrize("keep", [0, 5, 60, -2])
def test_a_damaged_checkpoint_is_named_and_gets_no_fingerprint(tmp_path: Path, keep: int) -> None:
    import numpy as np

    path = checkpoint(tmp_path / "model", [{"a": np.arange(64, dtype=np.float32)}]) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BackendError, match=r"model\.safetensors"):
        fingerprint(tmp_path / "model")
