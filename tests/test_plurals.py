from __future__ import annotations

import gettext

import pytest
from babel import Locale, UnknownLocaleError
from babel.messages.plurals import PLURALS
from hypothesis import given
from hypothesis import strategies as st

from batchtrans import plurals
from batchtrans.plurals import PluralForms, compile_expression, parse_header, plural_forms, relaxed, samples

NUMBERS = range(1001)

#: Where babel's table of plural forms says something else, and why ours is kept.
BABEL_DIFFERS = {
    "ar": "babel swaps the last two forms of the gettext manual: 100 falls in its fifth",
    "bn": "CLDR: 0 is singular",
    "br": "CLDR: 1 shares its form with 21; babel has an extra form for it",
    "cy": "CLDR has six forms, babel's table five",
    "fa": "CLDR: 0 and 1 are singular; babel has one form",
    "fur": "CLDR: 0 is plural",
    "ga": "the gettext manual has three forms, babel and CLDR five",
    "hi": "CLDR: 0 is singular",
    "hu": "the gettext manual has two forms, babel one",
    "hy": "CLDR: 0 and 1 are singular; babel has one form",
    "ka": "CLDR has two forms, babel one",
    "mt": "CLDR has a form of its own for 2 since version 42",
    "pa": "CLDR: 0 is singular",
    "tr": "the gettext manual has two forms, babel one",
}
#: Where the gettext manual, which catalogues follow, groups numbers differently from CLDR.
CLDR_DIFFERS = {
    "ga": "three forms in the manual",
    "he": "no form of its own for 2 in the manual",
    "lv": "the manual's third form is for 0 only",
    "pt": "the manual's rule is that of Portugal, CLDR's pt is Brazil's",
}


def table(forms: PluralForms) -> list[int]:
    select = compile_expression(forms.formula)
    return [select(n) for n in NUMBERS]


def known(lang: str) -> PluralForms:
    forms = plural_forms(lang)
    assert forms is not None
    return forms


@pytest.mark.parametrize("lang", plurals.languages())
def test_each_rule_is_a_valid_header_and_evaluates_as_gettext_does(lang: str) -> None:
    forms = known(lang)
    assert parse_header(forms.header()) == forms
    reference = gettext.c2py(forms.formula)
    assert table(forms) == [reference(n) for n in NUMBERS]
    assert set(table(forms)) <= set(range(forms.nplurals))


def test_rules_are_those_of_babel_but_for_the_listed_ones() -> None:
    differing = set()
    for lang in set(plurals.languages()) & set(PLURALS):
        nplurals, formula = PLURALS[lang]
        if (nplurals, [gettext.c2py(formula)(n) for n in NUMBERS]) != (known(lang).nplurals, table(known(lang))):
            differing.add(lang)
    assert differing == set(BABEL_DIFFERS)


def test_rules_group_numbers_as_cldr_does_but_for_the_listed_ones() -> None:
    differing, compared = set(), 0
    for lang in plurals.languages():
        try:
            rule = Locale.parse(lang).plural_form
        except UnknownLocaleError:
            continue
        compared += 1
        pairs = set(zip(table(known(lang)), (rule(n) for n in NUMBERS), strict=True))
        if not len({form for form, _ in pairs}) == len({category for _, category in pairs}) == len(pairs):
            differing.add(lang)
    assert differing == set(CLDR_DIFFERS)
    assert compared > 100


@pytest.mark.parametrize(
    ("lang", "nplurals"),
    [("es", 2), ("es_MX", 2), ("es-419", 2), ("ES", 2), ("ja", 1), ("sr@latin", 3), ("sr-Latn-RS", 3), ("iw", 2)],
)
def test_variants_of_a_language_have_its_forms(lang: str, nplurals: int) -> None:
    assert known(lang).nplurals == nplurals


def test_a_variant_with_a_rule_of_its_own_gets_it() -> None:
    assert known("pt_BR").formula == known("pt-br").formula == "(n > 1)"
    assert known("pt_PT").formula == "(n != 1)"


def test_an_unknown_language_has_no_rule() -> None:
    assert plural_forms("tlh") is None


@pytest.mark.parametrize(
    ("lang", "expected"),
    [
        ("es", (1, 2)),
        ("ja", (1,)),
        ("fr", (1, 2)),
        ("ru", (1, 2, 5)),
        ("lv", (1, 2, 0)),
        ("ar", (0, 1, 2, 3, 11, 100)),
        ("sl", (1, 2, 3, 5)),
    ],
)
def test_a_sample_selects_its_form(lang: str, expected: tuple[int, ...]) -> None:
    assert samples(known(lang)) == expected


@pytest.mark.parametrize(
    ("lang", "expected"), [("ja", (2,)), ("es", (1, 2)), ("fr", (1, 2)), ("sl", (101, 2, 3, 5)), ("lv", (21, 2, 0))]
)
def test_a_sample_of_several_is_not_one_if_it_need_not_be(lang: str, expected: tuple[int, ...]) -> None:
    assert samples(known(lang), several=True) == expected


def test_a_form_that_no_number_selects_is_its_own_sample() -> None:
    assert samples(PluralForms(3, "n != 1")) == (1, 2, 2)


@pytest.mark.parametrize(
    ("lang", "expected"),
    [
        ("es", (True, False)),
        ("ja", (False,)),
        ("sl", (False,) * 4),
        ("pl", (True, False, False)),
        ("fr", (True, False)),
    ],
)
def test_only_a_form_of_few_numbers_may_leave_the_number_out(lang: str, expected: tuple[bool, ...]) -> None:
    assert relaxed(known(lang)) == expected


@pytest.mark.parametrize(
    ("within", "expected"),
    [
        (None, (True, False)),
        ((0, 1), (True, True)),
        ((5, 5), (True, True)),
        ((2, 3), (True, False)),
        ((0, 10**9), (True, False)),
        ((1995, 2005), (True, False)),
    ],
)
def test_a_form_of_at_most_one_number_that_occurs_may_leave_it_out(
    within: tuple[int, int] | None, expected: tuple[bool, ...]
) -> None:
    assert relaxed(PluralForms(2, "n != 1 + 0 / (n - 2000)"), within) == expected
    assert relaxed(PluralForms(1, "0"), within) == (False,)


_operators = st.sampled_from(["+", "*", "==", "!=", "<", ">", "<=", ">="])
_logic = st.sampled_from(["&&", "||"])  # Python's own give an operand back, C's give 0 or 1: compared operands only
_atoms = st.one_of(st.just("n"), st.integers(0, 200).map(str), st.integers(1, 99).map(lambda divisor: f"n%{divisor}"))
_expressions = st.recursive(
    _atoms,
    lambda inner: st.one_of(
        st.tuples(inner, _operators, inner).map(lambda parts: "({} {} {})".format(*parts)),
        st.tuples(inner, _logic, inner).map(lambda parts: "({} > 3 {} {} != 2)".format(*parts)),
        st.tuples(inner, inner, inner).map(lambda parts: "({} ? {} : {})".format(*parts)),
        st.tuples(_atoms, _atoms, inner).map(lambda parts: "({} + {} * {})".format(*parts)),
        inner.map(lambda part: f"(!({part}))"),
    ),
    max_leaves=8,
)


@given(_expressions, st.integers(0, 2000))
def test_expressions_evaluate_as_in_pythons_gettext(expression: str, n: int) -> None:
    assert compile_expression(expression)(n) == gettext.c2py(expression)(n)


@pytest.mark.parametrize(
    ("expression", "n", "value"),
    [
        ("n>1 ? 2 : n==1 ? 1 : 0", 0, 0),
        ("1 + 2 * 3 == 7 && !0", 5, 1),
        ("n - 1 > 5", 0, 1),  # unsigned, as in C
        ("!n == 1", 0, 1),  # binds tighter than in Python
        ("n / 10 % 10", 57, 5),
    ],
)
def test_expressions_have_the_precedence_and_arithmetic_of_c(expression: str, n: int, value: int) -> None:
    assert compile_expression(expression)(n) == value


@pytest.mark.parametrize(
    "expression",
    ["", "n ==", "(n", "n)", "n ? 1", "m", "nn", "n n", "__import__('os')", "n & 1", "-n", "n=1", "1 ? : 2",
     "n" + "+n" * 600, "(" * 60 + "n" + ")" * 60],
)  # fmt: skip
def test_a_wrong_or_excessive_expression_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        compile_expression(expression)


@pytest.mark.parametrize(
    "value",
    ["", "nplurals=INTEGER; plural=EXPRESSION;", "nplurals=2; plural=n;", "nplurals=0; plural=0;", "nplurals=2;",
     "nplurals=2; plural=1/n;", "nplurals=99; plural=0;", "nplurals=2; plural=n-1;", "plural=0; "],
)  # fmt: skip
def test_a_header_that_msgfmt_refuses_has_no_forms(value: str) -> None:
    assert parse_header(value) is None


@pytest.mark.parametrize(
    "value", ["nplurals=2; plural=(n != 1);", "nplurals = 2;plural = (n != 1)", " nplurals=2; plural=(n != 1);\n"]
)
def test_a_header_is_read_whatever_its_blanks(value: str) -> None:
    assert parse_header(value) == PluralForms(2, "(n != 1)")
