"""The packages that gather.py reads: what each is, its licence, and how its strings are found."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from formats import (
    Pairs,
    android_strings,
    catalogue,
    catalogues,
    data_packs,
    ini_strings,
    java_properties,
    joined,
    json_strings,
    php_strings,
    resx_strings,
    twins,
    vscode,
    xliff,
)

_FUNCTIONS = "for.mo"  # LibreOffice's names of spreadsheet functions: codes
_BRANDS = {"brand-short-name": "Firefox", "brand-shorter-name": "Firefox", "brand-product-name": "Firefox",
           "brand-full-name": "Mozilla Firefox", "vendor-short-name": "Mozilla"}  # fmt: skip


def libreoffice(root: Path) -> Pairs:
    for path in sorted(root.glob("usr/lib/libreoffice/program/resource/es/LC_MESSAGES/*.mo")):
        if path.name != _FUNCTIONS:
            yield from catalogue(path)


def mozilla(root: Path) -> Pairs:
    """What Firefox and Thunderbird show: Fluent messages and .properties of one name in both languages."""
    for program in ("firefox-esr", "thunderbird"):
        folder = root / "usr/lib" / program
        english = _members(sorted(folder.glob("**/omni.ja")), "en-US")
        spanish = _members(sorted(folder.glob("**/langpack-es-ES*.xpi")), "es-ES")
        for name in sorted(english.keys() & spanish.keys()):
            read = _fluent if name.endswith(".ftl") else _properties
            yield from joined(read(english[name]), read(spanish[name]))


def _members(archives: Iterable[Path], language: str) -> dict[str, str]:
    """The resource files of an application's archives, by their path below the folder of the language."""
    found = {}
    for archive in archives:
        with zipfile.ZipFile(archive) as members:
            for name in members.namelist():
                if f"/{language}/" in name and name.endswith((".ftl", ".properties")):
                    found[name.rsplit(f"/{language}/", 1)[1]] = members.read(name).decode("utf-8")
    return found


def _fluent(text: str) -> dict[str, str]:
    from fluent.syntax import FluentParser, ast

    found = {}
    for message in FluentParser(with_spans=False).parse(text).body:
        if isinstance(message, ast.Message):
            values = {"": message.value, **{attribute.id.name: attribute.value for attribute in message.attributes}}
            for name, pattern in values.items():
                plain = _plain(pattern) if pattern and not name.endswith("key") else None
                if plain:
                    found[f"{message.id.name}.{name}"] = plain
    return found


def _plain(pattern: Any) -> str | None:
    """A Fluent pattern's text with brand names in it; None where it has anything else to put in."""
    from fluent.syntax import ast

    pieces = []
    for element in pattern.elements:
        if isinstance(element, ast.TextElement):
            pieces.append(element.value)
        elif isinstance(element.expression, ast.TermReference) and element.expression.id.name in _BRANDS:
            pieces.append(_BRANDS[element.expression.id.name])
        else:
            return None
    return "".join(pieces)


def _properties(text: str) -> dict[str, str]:
    lines = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip() for name, value in lines if "\\" not in value and "key" not in name}


def home_assistant(root: Path) -> Pairs:
    """The frontend, whose files have a hash in their names, and the integrations."""
    for path in sorted(root.glob("home_assistant_frontend/**/translations/**/en-*.json")):
        if re.fullmatch(r"en-[0-9a-f]+", path.stem):
            other = next(each for each in path.parent.iterdir() if re.fullmatch(r"es-[0-9a-f]{6,}\.json", each.name))
            yield from joined(*(json_strings(each.read_text(encoding="utf-8")) for each in (path, other)))
    yield from _json(root, "homeassistant/**/translations/es.json")


def emoji(root: Path) -> Pairs:
    """The names of emoji and symbols: everyday things."""
    names = []
    for language in ("en", "es"):
        path = root / "cldr-annotations-full" / "annotations" / language / "annotations.json"
        entries = json.loads(path.read_text(encoding="utf-8"))["annotations"]["annotations"]
        names.append({char: entry["tts"][0] for char, entry in entries.items() if "tts" in entry})
    return joined(*names)


def _domains(root: Path, *names: str) -> Pairs:
    """Catalogues that Debian packages install, by the start of their names."""
    folder = root / "usr/share/locale/es/LC_MESSAGES"
    return chain.from_iterable(catalogue(path) for name in names for path in sorted(folder.glob(f"{name}*.mo")))


def openrefine(root: Path) -> Pairs:
    yield from _json(root, "OpenRefine/**/translation-es.json", "-es.json", "-en.json")
    yield from _java(root, "OpenRefine/**/*_es.properties")


def _json(root: Path, pattern: str, spanish: str = "/es.json", english: str = "/en.json") -> Pairs:
    return twins(root, pattern, spanish, english, json_strings)


def _java(root: Path, pattern: str) -> Pairs:
    return twins(root, pattern, "_es.properties", ".properties", java_properties)


def _android(root: Path, pattern: str, spanish: str = "/values-es/", english: str = "/values/") -> Pairs:
    return twins(root, pattern, spanish, english, android_strings)


def _laravel(root: Path, folder: str) -> Pairs:
    return twins(root, f"{folder}/**/lang/es/*.php", "/lang/es/", "/lang/en/", php_strings)


class Source(NamedTuple):
    """Where pairs come from: what ``SOURCES.tsv`` says, and who reads them."""

    package: str
    version: str
    licence: str
    read: Callable[[Path], Pairs]


SOURCES = {
    "libreoffice-ui": Source("Debian libreoffice-l10n-es", "4:7.4.7-1+deb12u14", "MPL-2.0", libreoffice),
    "mozilla-ui": Source(
        "Debian firefox-esr, thunderbird and their l10n-es-es", "140.12.0esr-1~deb12u1", "MPL-2.0", mozilla
    ),
    "home-assistant": Source(
        "PyPI home-assistant-frontend, homeassistant", "20250109.2, 2024.3.3", "Apache-2.0", home_assistant
    ),
    "superset": Source(
        "PyPI apache-superset", "6.1.0", "Apache-2.0",
        partial(catalogues, folder="apache_superset/superset/translations"),
    ),
    "kolibri": Source(
        "PyPI kolibri", "0.19.5", "MIT",
        partial(_json, pattern="kolibri/**/locale/es_ES/**/*.json", spanish="/es_ES/", english="/en/"),
    ),
    "cldr-emoji": Source("npm cldr-annotations-full", "48.2.0", "Unicode-3.0", emoji),
    "chromium": Source(
        "Debian chromium-common, chromium-l10n", "150.0.7871.100-1~deb12u1", "BSD-3-Clause",
        partial(data_packs, folder="usr/lib/chromium/locales"),
    ),
    "postgresql": Source(
        "Debian postgresql-15, postgresql-client-15", "15.18-0+deb12u1", "PostgreSQL",
        lambda root: _domains(root, "initdb", "pg", "plpgsql", "postgres", "psql"),
    ),
    "sudo": Source("Debian sudo", "1.9.13p3-1+deb12u4", "ISC", lambda root: _domains(root, "sudo")),
    "xkeyboard-config": Source("Debian xkb-data", "2.35.1-1", "MIT", lambda root: _domains(root, "xkeyboard-config")),
    "airflow": Source(
        "PyPI apache-airflow-core", "3.3.2", "Apache-2.0",
        partial(_json, pattern="apache_airflow_core/**/locales/es/*.json", spanish="/es/", english="/en/"),
    ),
    "django": Source("PyPI django", "5.2.19", "BSD-3-Clause", partial(catalogues, folder="django")),
    "django-cms": Source("PyPI django-cms", "5.1.3", "BSD-3-Clause", partial(catalogues, folder="django_cms")),
    "django-oscar": Source("PyPI django-oscar", "4.2.1", "BSD-3-Clause", partial(catalogues, folder="django_oscar")),
    "horizon": Source("PyPI horizon", "27.0.0", "Apache-2.0", partial(catalogues, folder="horizon")),
    "indico": Source("PyPI indico", "3.2.9", "MIT", partial(catalogues, folder="indico")),
    "mezzanine": Source("PyPI mezzanine", "6.1.1", "BSD-2-Clause", partial(catalogues, folder="mezzanine")),
    "modoboa": Source("PyPI modoboa", "2.12.0", "ISC", partial(catalogues, folder="modoboa")),
    "pgadmin": Source("PyPI pgadmin4", "9.18", "PostgreSQL", partial(catalogues, folder="pgadmin4")),
    "spyder": Source("PyPI spyder", "6.1.8", "MIT", partial(catalogues, folder="spyder")),
    "thonny": Source("PyPI thonny", "5.0.1", "MIT", partial(catalogues, folder="thonny")),
    "trac": Source("PyPI Trac", "1.6", "BSD-3-Clause", partial(catalogues, folder="Trac")),
    "wagtail": Source("PyPI wagtail", "8.0.1", "BSD-3-Clause", partial(catalogues, folder="wagtail")),
    "vscode": Source(
        "npm @codingame/monaco-vscode-api, @codingame/monaco-vscode-language-pack-es", "25.1.2", "MIT",
        partial(vscode, code="codingame-monaco-vscode-api", pack="codingame-monaco-vscode-language-pack-es"),
    ),
    "etherpad": Source(
        "npm ep_etherpad-lite", "1.8.14", "Apache-2.0", partial(_json, pattern="ep_etherpad-lite/locales/es.json")
    ),
    "node-red": Source(
        "npm @node-red/editor-client, @node-red/nodes", "5.0.7", "Apache-2.0",
        partial(_json, pattern="node-red-*/locales/es-ES/**/*.json", spanish="/es-ES/", english="/en-US/"),
    ),
    "vendure": Source(
        "npm @vendure/admin-ui", "2.3.3", "MIT", partial(_json, pattern="vendure-admin-ui/static/i18n-messages/es.json")
    ),
    "apps-android-wikipedia": Source(
        "wikimedia/apps-android-wikipedia", "aa428fa31b6f9fac1129116cdae5a32e8774809b", "Apache-2.0",
        partial(_android, pattern="apps-android-wikipedia/**/values-es/*.xml"),
    ),
    "bagisto": Source(
        "bagisto/bagisto", "889a7c6bd7200867d528f6ddc2668798e7db05d8", "MIT", partial(_laravel, folder="bagisto")
    ),
    "calculator": Source(
        "microsoft/calculator", "9f186049101f9a26e99a6e6cdff614d5558b5d27", "MIT",
        partial(twins, pattern="calculator/**/es-ES/*.resw", spanish="/es-ES/", english="/en-US/", read=resx_strings),
    ),
    "collect": Source(
        "getodk/collect", "137f3259b18e5af3c08339f9016278b277812cc2", "Apache-2.0",
        partial(_android, pattern="collect/**/values-es/*.xml"),
    ),
    "gogs": Source(
        "gogs/gogs", "eb1054e5432fc8397678372f08613429be233d7c", "MIT",
        partial(twins, pattern="gogs/**/locale_es-ES.ini", spanish="es-ES", english="en-US", read=ini_strings),
    ),
    "jmeter": Source(
        "apache/jmeter", "bb30edfe8c3157c1ca57e810a569bf5cbe983837", "Apache-2.0",
        partial(_java, pattern="jmeter/**/*_es.properties"),
    ),
    "krayin": Source(
        "krayin/laravel-crm", "58e489062c190c77a766bbe82325836816ad826e", "MIT", partial(_laravel, folder="laravel-crm")
    ),
    "mihon": Source(
        "mihonapp/mihon", "a2c24ff0429ad2502b612c9ab1f2b09966629f73", "Apache-2.0",
        partial(_android, pattern="mihon/**/es/strings.xml", spanish="/es/", english="/base/"),
    ),
    "openfire": Source(
        "igniterealtime/Openfire", "3709dd49cf5cd555c5b55c215d977b1dbaba5c20", "Apache-2.0",
        partial(_java, pattern="Openfire/**/*_es.properties"),
    ),
    "openmrs": Source(
        "openmrs/openmrs-core", "4d92b490aaa25fbd255be0d08a04da4772a03e3b", "MPL-2.0",
        partial(_java, pattern="openmrs-core/**/messages_es.properties"),
    ),
    "openrefine": Source(
        "OpenRefine/OpenRefine", "ff43aa1b531e25b81cc715df63dca3d75ae87a50", "BSD-3-Clause", openrefine
    ),
    "overseerr": Source(
        "sct/overseerr", "46a9b244efd81e0e70a16a851252114bc2d3c2ca", "MIT",
        partial(_json, pattern="overseerr/src/i18n/locale/es.json"),
    ),
    "thunderbird-android": Source(
        "thunderbird/thunderbird-android", "a59bd679859d369c9a39be147e536b825ffd0a6b", "Apache-2.0",
        partial(_android, pattern="thunderbird-android/**/values-es/*.xml"),
    ),
    "uptime-kuma": Source(
        "louislam/uptime-kuma", "6398a9581d1c3c427a7536559f47ccf45dac08b4", "MIT",
        partial(_json, pattern="uptime-kuma/**/es-ES.json", spanish="/es-ES.json"),
    ),
    "vscode-mssql": Source(
        "microsoft/vscode-mssql", "f36188fc52793359b30276946655f95b7cdd5d47", "MIT",
        partial(xliff, pattern="vscode-mssql/localization/xliff/*.es.xlf"),
    ),
}  # fmt: skip
