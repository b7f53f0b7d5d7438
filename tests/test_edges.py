"""What is mended at the edges of a translation, in the target's own script."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchtrans.edges import end_mark, mend
from batchtrans.parts import cut
from batchtrans.protect import find


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
        ("th", "Ready.", "พร้อม", "พร้อม"),
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


@given(st.text("ab \t\n", max_size=20))
def test_texts_are_cut_behind_tabs_and_keep_all_white_space(text: str) -> None:
    parts = cut(text, frozenset(), "en")
    assert "".join(part.source for part in parts) == text
    assert all("\t" not in part.core for part in parts)
    assert "".join(part.put_back(part.core) for part in parts) == text


@given(
    st.text('aA ?!.¿¡%s:;。。("', max_size=12).map(str.strip),
    st.text('bB ?!.¿¡%s:;。。("', max_size=12).map(str.strip),
    st.sampled_from(["es", "el", "zh", "fr", "ar", "tr", "de", "xx"]),
)
def test_mending_twice_is_mending_once_and_keeps_placeholders(source: str, target: str, language: str) -> None:
    once = mended(source, target, language)
    assert mended(source, once, language) == once
    assert [once[s.start : s.end] for s in find(once)] == [target[s.start : s.end] for s in find(target)]
