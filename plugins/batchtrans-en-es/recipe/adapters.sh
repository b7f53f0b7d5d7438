#!/usr/bin/env bash
# The adapter that is shipped, on a GPU and without a hand: one adapter, two that go on from it with more labels and with
# fewer, the average of the three, scores, probes. adapters.sh PAIRS BASE DEV WORK; beside 26.5 minutes of training it
# takes some, most of them to compile; the two can train at once on two GPUs.
set -euo pipefail
pairs=$1 base=$2 dev=$3 work=$4
cd "$(dirname "$0")"
samples=../../../samples
python3 adapter.py "$pairs" "$base" -o "$work/first" --minutes 11.5 --labels 0.6 --seed 3
python3 adapter.py "$pairs" "$base" -o "$work/more" --start "$work/first" --minutes 7.5 --labels 0.8 --rate 2.5e-3 --seed 4
python3 adapter.py "$pairs" "$base" -o "$work/fewer" --start "$work/first" --minutes 7.5 --labels 0.5 --seed 5
python3 average.py "$work/more" "$work/fewer" "$work/first" --shares 0.4 0.4 0.2 -o "$work/adapter"
python3 evaluate.py "$base" "$work/adapter" -o "$work/eval" \
    --sets "$dev"/flores200-dev.tsv "$dev"/tico19-es419.tsv "$dev"/newstest2008.tsv "$dev"/po/*.es.po \
    --samples "$samples"/input.txt "$samples"/input.po "$samples"/input.srt
python3 probes.py names "$base" "$work/adapter" -o "$work/eval/names.json"
