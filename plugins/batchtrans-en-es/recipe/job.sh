#!/usr/bin/env bash
# The base, on a GPU and without a hand: base, 4 bits, what these cost with a first adapter, scores, probes.
# job.sh PAIRS TOKENIZER DEV WORK BASE_MINUTES ADAPTER_MINUTES; beside the minutes it takes about five.
set -euo pipefail
pairs=$1 tokenizer=$2 dev=$3 work=$4 base_minutes=$5 adapter_minutes=$6
cd "$(dirname "$0")"
samples=../../../samples
python3 base.py "$pairs" "$tokenizer" -o "$work/base" --dev "$dev"/*.tsv --minutes "$base_minutes"
python3 quantise.py "$work/base" -o "$work/nf4"
python3 adapter.py "$pairs" "$work/nf4" -o "$work/adapter" --minutes "$adapter_minutes"
python3 evaluate.py "$work/nf4" "$work/adapter" -o "$work/eval" --full-base "$work/base" \
    --sets "$dev"/flores200-dev.tsv "$dev"/tico19-es419.tsv "$dev"/newstest2008.tsv "$dev"/po/*.es.po \
    --samples "$samples"/input.txt "$samples"/input.po "$samples"/input.srt
python3 probes.py names "$work/nf4" "$work/adapter" -o "$work/eval/names.json"
