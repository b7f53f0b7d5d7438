#!/usr/bin/env bash
# The adapter that is shipped, on a GPU and without a hand: two adapters from the start, the second one trained on with
# mostly labels, the average of both, scores, probes. adapters.sh PAIRS BASE DEV WORK; beside 25 minutes of training it
# takes about ten, most of them to encode the rows.
set -euo pipefail
pairs=$1 base=$2 dev=$3 work=$4
cd "$(dirname "$0")"
samples=../../../samples
python3 adapter.py "$pairs" "$base" -o "$work/one" --minutes 9 --examples 2700000
python3 adapter.py "$pairs" "$base" -o "$work/two" --minutes 9 --examples 2700000 --rate 2.5e-3
python3 adapter.py "$pairs" "$base" -o "$work/labels" --minutes 6.8 --examples 1500000 --rate 2.5e-3 --seed 3 \
    --start "$work/two" --labels 0.75
python3 average.py "$work/one" "$work/labels" --shares 0.4 0.6 -o "$work/adapter"
python3 evaluate.py "$base" "$work/adapter" -o "$work/eval" \
    --sets "$dev"/flores200-dev.tsv "$dev"/tico19-es419.tsv "$dev"/newstest2008.tsv "$dev"/po/*.es.po \
    --samples "$samples"/input.txt "$samples"/input.po "$samples"/input.srt
python3 probes.py names "$base" "$work/adapter" -o "$work/eval/names.json"
