"""What is mended at the edges of a translation, in the target's own script."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchtrans.checks import judge
from batchtrans.edges import differing_ends, end_mark, mend
from batchtrans.parts import cut
from batchtrans.protect import find
from conftest import Cli


def mended(source: str, target: str, language: str) -> str:
    return mend(source, target, language, find(target))


@pytest.mark.parametrize(
    ("language", "source", "target", "expected"),
    [
        ("es", "Open the file.", "abra el archivo", "Abra el archivo."),
        ("es", "Loading...", "Cargando", "Cargando..."),
        ("es", "Loading…", "Cargando", "Cargando…"),
        ("es", "Open", "Abrir.", "Abrir"),
        ("es", "Name:", "Nombre", "Nombre:"),
        ("es", "name", "Nombre", "Nombre"),
        ("es", "Stop!", "Alto", "¡Alto!"),
        ("es", "Stop!", "¡Alto", "¡Alto!"),
        ("es", "Are you sure?", "Está seguro?", "¿Está seguro?"),
        ("es", "Are you sure?", "está seguro", "¿Está seguro?"),
        ("es", "It is full. Delete it?", "Está lleno. Borrarlo?", "Está lleno. ¿Borrarlo?"),
        ("es", "It is full. Delete it?", "Está lleno. Borrarlo", "Está lleno. Borrarlo"),  # which sentence asks?
        ("es", "So, is it?", "Entonces, ¿lo es?", "Entonces, ¿lo es?"),
        ("es_MX", "Really?", "(de verdad?", "(¿De verdad?"),
        ("es", "What?!", "Qué?!", "Qué?!"),
        ("es", "See https://a.example/b?", "Vea https://a.example/b?", "¿Vea https://a.example/b?"),
        ("es", "the file", "el el archivo", "el archivo"),
        ("es", "had had enough", "tenía tenía bastante", "tenía tenía bastante"),
        ("fr", "you meet", "vous vous rencontrez", "vous vous rencontrez"),
        ("es", "WARNING", "Advertencia", "ADVERTENCIA"),
        ("es", "OK", "Aceptar", "Aceptar"),
        ("de", "WARNING", "Maßnahme", "Maßnahme"),
        ("fr", "Ready?", "Prêt", "Prêt\u00a0?"),
        ("fr", "Ready.", "Prêt", "Prêt."),
        ("el", "Ready?", "Έτοιμο?", "Έτοιμο;"),
        ("el", "Ready?", "Έτοιμο", "Έτοιμο;"),
        ("el", "Ready?", "Έτοιμο;", "Έτοιμο;"),
        ("zh_CN", "Open the file.", "打开文件.", "打开文件。"),
        ("zh_CN", "Open the file.", "打开文件", "打开文件。"),
        ("ja", "Open the file!", "ファイルを開く!", "ファイルを開く！"),
        ("ja", "Open the file", "ファイルを開く。", "ファイルを開く"),
        ("ar", "Ready?", "جاهز?", "جاهز؟"),
        ("hi", "Ready.", "तैयार.", "तैयार।"),
        ("hi", "The file is here.", "फ़ाइल यहाँ है", "फ़ाइल यहाँ है।"),
        ("th", "Ready.", "พร้อม", "พร้อม"),
        ("th", "Name:", "ชื่อ", "ชื่อ:"),
        ("hy", "Open the file.", "Բացել ֆայլը", "Բացել ֆայլը։"),
        ("hy", "Open the file.", "Բացել ֆայլը.", "Բացել ֆայլը։"),
        ("hy", "Open the file?", "Բացե՞լ ֆայլը", "Բացե՞լ ֆայլը"),
        ("ur", "Ready.", "تیار", "تیار۔"),
        ("am", "Ready.", "ዝግጁ", "ዝግጁ።"),
        ("tr", "Open", "ilk", "İlk"),
        ("ru", "Open the file.", "«открыть", "«Открыть."),
        ("es", "Copy %s.", "Copiar %s", "Copiar %s."),
        ("es", "Open it.", "%s", "%s."),
        ("es", "Copy", "%s copiado", "%s copiado"),
        ("es", "", "x", "x"),
        ("es", "x", "", ""),
    ],
)
def test_edges_follow_the_source_in_the_targets_script(language: str, source: str, target: str, expected: str) -> None:
    assert mended(source, target, language) == expected
    assert mended(source, expected, language) == expected, "what is mended stays"


@pytest.mark.parametrize(
    ("language", "text", "kind"),
    [
        ("el", "Έτοιμο;", "?"),
        ("el", "τέλος·", ";"),
        ("en", "so;", ";"),
        ("zh", "好。", "."),
        ("ja", "好……", "…"),
        ("", "a) ", ""),
    ],
)
def test_a_mark_is_known_in_every_script(language: str, text: str, kind: str) -> None:
    assert end_mark(text, language) == kind


@pytest.mark.parametrize(
    ("language", "source", "target"),
    [
        ("el", "Ready?", "Έτοιμο;"),
        ("el", "Ready?", "Έτοιμο\u037e"),
        ("el_GR", "first;", "πρώτο·"),
        ("zh_CN", "Open “it”.", "打开「它。」"),
        ("ja", "Delete the file?", "ファイルを削除しますか。"),
        ("ja", "Ready.", "完了。"),
        ("ar", "Ready?", "جاهز؟"),
        ("fa", "Ready?", "آماده؟\u200f"),
        ("ur", "Ready.", "تیار ہے۔"),
        ("hi", "Ready.", "तैयार है।"),
        ("hi", "Ready.", "तैयार है."),  # as many newspapers write
        ("am", "Ready.", "ዝግጁ ነው።"),
        ("am", "Ready?", "ዝግጁ ነው?"),
        ("hy", "Ready.", "Պատրաստ է։"),
        ("hy", "Ready.", "Պատրաստ է:"),  # typed without a key for the mark
        ("hy", "Ready?", "Պատրա՞ստ է"),
        ("hy", "Stop!", "Կանգնի՛ր։"),
        ("th", "Ready.", "พร้อม"),
        ("lo", "Ready?", "ພ້ອມ"),
        ("km", "Ready.", "រួចរាល់។"),
        ("my", "Ready?", "အဆင်သင့်ဖြစ်ပြီလား။"),
        ("bo", "Ready.", "གྲ་སྒྲིག།"),
        ("fr", "Say “ready?”", "Dites « prêt ? »"),
        ("de", "Say “ready.”", "Sag „bereit.“"),
        ("es", "Are you sure?", "¿Seguro?"),
    ],
)
def test_the_end_of_a_right_translation_is_not_doubted(language: str, source: str, target: str) -> None:
    assert "end" not in {problem.code for problem in judge(source, target, language=language)}


@pytest.mark.parametrize(
    ("language", "source", "target", "ends"),
    [
        ("el", "Ready.", "Έτοιμο;", (".", "?")),
        ("el", "first;", "πρώτο;", (";", "?")),
        ("es", "Ready?", "Listo;", ("?", ";")),
        ("ja", "Ready?", "準備完了。", ("?", ".")),
        ("hy", "Ready?", "Պատրաստ է։", ("?", ".")),
        ("hy", "Name:", "Անուն։", (":", ".")),
        ("th", "Ready.", "พร้อม?", (".", "?")),
        ("th", "Name:", "ชื่อ", (":", "")),
        ("my", "Ready?", "အဆင်သင့်။", ("?", ".")),
        ("ur", "Ready", "تیار۔", ("", ".")),
        ("", "Ready?", "Έτοιμο;", ("?", ";")),  # in which language?
    ],
)
def test_another_end_is_doubted_in_every_script(language: str, source: str, target: str, ends: tuple[str, str]) -> None:
    assert differing_ends(source, target, language) == ends
    assert "end" in {problem.code for problem in judge(source, target, language=language)}


@pytest.mark.parametrize(
    ("source_language", "source", "target", "doubt"),
    [
        ("el", "Έτοιμο;", "Ready?", None),
        ("el", "Έτοιμο;", "Ready;", ("?", ";")),
        ("el_GR", "πρώτο·", "first;", None),
        ("en", "Έτοιμο;", "Ready?", (";", "?")),
        ("hy", "Պատրաստ է:", "Ready.", None),
        ("hy", "Պատրա՞ստ է", "Is it ready?", None),
        ("ja", "ファイルを削除しますか。", "Delete the file?", None),
        ("ja", "完了。", "Done?", (".", "?")),
        ("my", "အဆင်သင့်ဖြစ်ပြီလား။", "Ready?", None),
        ("th", "พร้อม", "Ready.", None),
        ("th", "พร้อม", "Ready:", ("", ":")),
        ("zh_CN", "打开「它」。", "Open “it”.", None),
        ("fr", "Prêt\u00a0?", "Ready?", None),
        ("es", "¿Listo?", "Ready?", None),
    ],
)
def test_the_end_of_a_source_is_read_in_its_own_language(
    source_language: str, source: str, target: str, doubt: tuple[str, str] | None
) -> None:
    assert differing_ends(source, target, "en", source_language) == doubt
    found = {problem.code for problem in judge(source, target, language="en", source_language=source_language)}
    assert ("end" in found) is (doubt is not None)
    if doubt is None:
        assert mend(source, target, "en", find(target), source_language) == target


def test_a_run_and_check_read_ends_by_from(cli: Cli, tmp_path: Path) -> None:
    pairs = [("Έτοιμο;", "Ready?"), ("Τέλος;", "The end;")]
    rows = "".join(f"{source},{target}\n" for source, target in pairs)
    (tmp_path / "a.csv").write_text(f"source,target\n{rows}", encoding="utf-8")
    done = cli("check", "a.csv", "--from", "el", "--to", "en")
    assert done.stdout.decode() == "a.csv:3: warning: end: the source ends in '?', the translation in ';'\n"
    (tmp_path / "a.txt").write_text("Έτοιμο;\n", encoding="utf-8")
    for source_language, doubted in (("el", True), ("en", False)):  # pseudo writes the mark again
        done = cli("run", "a.txt", "--from", source_language, "--to", "es", "--backend", "pseudo", "--fresh")
        assert done.returncode == 0
        assert (b'"checks":["end"]' in (tmp_path / "a.es.txt.align.jsonl").read_bytes()) is doubted


@pytest.mark.parametrize(
    "language", ["am", "ar", "bo", "el", "es", "fr", "hi", "hy", "ja", "km", "my", "ru", "th", "ur", "zh"]
)
@pytest.mark.parametrize("mark", [".", "!", ":", ";", "…", "..."])
def test_what_was_mended_is_not_doubted(language: str, mark: str) -> None:
    if (language, mark) != ("hy", "!"):  # whose mark stands within a word
        assert differing_ends(f"Ready{mark}", mended(f"Ready{mark}", "x", language), language) is None
    assert differing_ends(f"Ready{mark}", mended(f"Ready{mark}", f"x{mark}", language), language) is None or (
        (language, mark) == ("el", ";")  # which asks in Greek
    )


@given(st.text("ab \t\n", max_size=20))
def test_texts_are_cut_behind_tabs_and_keep_all_white_space(text: str) -> None:
    parts = cut(text, frozenset(), "en")
    assert "".join(part.source for part in parts) == text
    assert all("\t" not in part.core for part in parts)
    assert "".join(part.put_back(part.core) for part in parts) == text


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("  -m,  --mirror           shortcut for -N\n", ["-m,  --mirror", "shortcut for -N"]),
        ("  -d DIRECTORY     base\n", ["-d", "DIRECTORY", "base"]),
        ("  -n, --name NAME     of a file\n", ["-n, --name", "NAME", "of a file"]),
        ("  -q      quiet mode\n", ["-q", "quiet mode"]),
        ("Name    Size\n", ["Name", "Size"]),
        ("One.  Two.", ["One.  Two."]),
        ("a wrapped\n      line", ["a wrapped", "line"]),
    ],
)
def test_columns_that_blanks_part_are_texts_of_their_own(text: str, cores: list[str]) -> None:
    parts = cut(text, frozenset(), "en")
    assert [part.core for part in parts] == cores
    assert "".join(part.put_back(part.core) for part in parts) == text


@given(
    st.text('aA ?!.¿¡%s:;。。("', max_size=12).map(str.strip),
    st.text('bB ?!.¿¡%s:;。。՞։है("」', max_size=12).map(str.strip),
    st.sampled_from(["es", "el", "zh", "fr", "ar", "tr", "de", "hi", "hy", "th", "xx"]),
)
def test_mending_twice_is_mending_once_and_keeps_placeholders(source: str, target: str, language: str) -> None:
    once = mended(source, target, language)
    assert mended(source, once, language) == once
    assert [once[s.start : s.end] for s in find(once)] == [target[s.start : s.end] for s in find(target)]


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("Song;MP3;Playlist;", ["Song", ";", "MP3", ";", "Playlist", ";"]),
        (" tone mapping|curve|e-mail\n", ["tone mapping", "|", "curve", "|", "e-mail"]),
        ("Windows®;C++;AT&T", ["Windows®;C++;AT&T"]),  # the mark of a brand is no letter: not sure to be words
        ("sort|Name", ["sort|Name"]),  # a context and a name
        ("Yes;No", ["Yes;No"]),
        ("We came; we saw; we won", ["We came; we saw; we won"]),
        ("color:red;width:10px;height:3px;", ["color:red;width:10px;height:3px;"]),
        ("usr_x;bin_y;lib_z", ["usr_x;bin_y;lib_z"]),
        ("a;;b;c", ["a;;b;c"]),
        ("%s;name;size", ["%s;name;size"]),
        ("/Buddies/Add Buddy (new)...", ["/", "Buddies", "/", "Add Buddy (new)..."]),
        ("/_View/Show _Empty", ["/_", "View", "/", "Show _Empty"]),
        ("/File/<Separator>", ["/", "File", "/", "<Separator>"]),
        ("/&File/Sort by %s/---", ["/&", "File", "/", "Sort by %s", "/", "---"]),
        ("/Help/", ["/", "Help", "/"]),
        ("/Help says what each of the commands does", ["/Help says what each of the commands does"]),
        ("/_Show/_Empty Groups", ["/_", "Show", "/_", "Empty Groups"]),
        ("/usr/share/doc", ["/usr/share/doc"]),
        ("/Library/Fonts", ["/Library/Fonts"]),
        ("Cut/Copy/Paste", ["Cut/Copy/Paste"]),
    ],
)
def test_the_items_of_a_list_are_texts_of_their_own(text: str, cores: list[str]) -> None:
    parts = cut(text, frozenset(), "en")
    assert [part.core for part in parts] == cores
    assert "".join(part.put_back(part.core) for part in parts) == text
    assert all(part.copied for part in parts if part.core in (*";|/", "/_", "/&"))
    assert not any(part.copied for part in parts if part.core in ("Show", "Song", "curve", "Empty Groups"))


@given(st.lists(st.text("aB1 -;|/", max_size=6), max_size=6), st.sampled_from(";|/"))
def test_a_list_keeps_what_parts_its_items(items: list[str], sign: str) -> None:
    text = sign.join(items)
    parts = cut(text, frozenset(), "en")
    assert "".join(part.put_back(part.core) for part in parts) == text


def test_keywords_come_back_with_all_their_signs(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Song;MP3;Playlist;\n", encoding="utf-8")
    done = cli("run", "a.txt", "--to", "es", "--backend", "pseudo")
    assert done.returncode == 0, done.stderr
    found = (tmp_path / "a.es.txt").read_text(encoding="utf-8").strip()
    assert found.count(";") == 3 and found.endswith(";") and ";MP3;" in found and "Song" not in found
