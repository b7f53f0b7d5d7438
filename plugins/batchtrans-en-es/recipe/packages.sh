#!/usr/bin/env bash
# Fetches what gather.py reads and unpacks it into a directory: packages.sh PACKAGES. For Debian 12 with pip, npm, unzip
# and git; versions that Debian's archive has no longer are on snapshot.debian.org. Run again, it goes on with checkouts.
set -euo pipefail
fetched=$(mktemp -d)
trap 'rm -rf "$fetched"' EXIT
mkdir -p "$1"
root=$(cd "$1" && pwd)

cd "$fetched"
apt-get download \
    libreoffice-l10n-es=4:7.4.7-1+deb12u14 \
    wordnet-base=1:3.0-37 \
    firefox-esr=140.12.0esr-1~deb12u1 \
    firefox-esr-l10n-es-es=140.12.0esr-1~deb12u1 \
    thunderbird=1:140.12.0esr-1~deb12u1 \
    thunderbird-l10n-es-es=1:140.12.0esr-1~deb12u1 \
    chromium-common=150.0.7871.100-1~deb12u1 \
    chromium-l10n=150.0.7871.100-1~deb12u1 \
    postgresql-15=15.18-0+deb12u1 \
    postgresql-client-15=15.18-0+deb12u1 \
    sudo=1.9.13p3-1+deb12u4 \
    xkb-data=2.35.1-1
for package in *.deb; do
    dpkg -x "$package" "$root"
done

pip download --no-deps --only-binary :all: --python-version 3.11 \
    home-assistant-frontend==20250109.2 \
    homeassistant==2024.3.3 \
    apache-superset==6.1.0 \
    kolibri==0.19.5 \
    apache-airflow-core==3.3.2 \
    django==5.2.19 \
    django-cms==5.1.3 \
    django-oscar==4.2.1 \
    horizon==27.0.0 \
    indico==3.2.9 \
    mezzanine==6.1.1 \
    modoboa==2.12.0 \
    pgadmin4==9.18 \
    spyder==6.1.8 \
    thonny==5.0.1 \
    Trac==1.6 \
    wagtail==8.0.1
for wheel in *.whl; do
    unzip -qo "$wheel" -d "$root/${wheel%%-*}"
done

npm pack --silent \
    cldr-annotations-full@48.2.0 \
    @codingame/monaco-vscode-api@25.1.2 \
    @codingame/monaco-vscode-language-pack-es@25.1.2 \
    ep_etherpad-lite@1.8.14 \
    @node-red/editor-client@5.0.7 \
    @node-red/nodes@5.0.7 \
    @vendure/admin-ui@2.3.3
for archive in *.tgz; do
    mkdir -p "$root/${archive%-*}"
    tar xzf "$archive" -C "$root/${archive%-*}" --strip-components=1
done

cd "$root"
while read -r repository commit; do
    folder=${repository#*/}
    git init --quiet "$folder"
    git -C "$folder" fetch --quiet --depth 1 "https://github.com/$repository" "$commit"
    git -C "$folder" checkout --quiet FETCH_HEAD
done <<'END'
apache/jmeter bb30edfe8c3157c1ca57e810a569bf5cbe983837
bagisto/bagisto 889a7c6bd7200867d528f6ddc2668798e7db05d8
getodk/collect 137f3259b18e5af3c08339f9016278b277812cc2
gogs/gogs eb1054e5432fc8397678372f08613429be233d7c
igniterealtime/Openfire 3709dd49cf5cd555c5b55c215d977b1dbaba5c20
krayin/laravel-crm 58e489062c190c77a766bbe82325836816ad826e
louislam/uptime-kuma 6398a9581d1c3c427a7536559f47ccf45dac08b4
microsoft/calculator 9f186049101f9a26e99a6e6cdff614d5558b5d27
microsoft/vscode-mssql f36188fc52793359b30276946655f95b7cdd5d47
mihonapp/mihon a2c24ff0429ad2502b612c9ab1f2b09966629f73
omwn/omw-data 291d2c211b767ff10c17a7eea22d521577001ff6
openmrs/openmrs-core 4d92b490aaa25fbd255be0d08a04da4772a03e3b
OpenRefine/OpenRefine ff43aa1b531e25b81cc715df63dca3d75ae87a50
sct/overseerr 46a9b244efd81e0e70a16a851252114bc2d3c2ca
thunderbird/thunderbird-android a59bd679859d369c9a39be147e536b825ffd0a6b
wikimedia/apps-android-wikipedia aa428fa31b6f9fac1129116cdae5a32e8774809b
END
cp omw-data/wns/mcr/wn-data-spa.tab .
