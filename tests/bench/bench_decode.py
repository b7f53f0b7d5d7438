"""How fast segments are decoded in the shape of Llama-3.2-1B, by our engines and by what transformers offers.

    python tests/bench/bench_decode.py --check                   engine against reference in float32: the same tokens?
    python tests/bench/bench_decode.py --out decode.json         every arm, a process each, the table at the end
    python tests/bench/bench_decode.py --arms engine --engine "slots=1024 chunk=2048" --engine "slots=512"
    python tests/bench/bench_decode.py --matrices                the rate of the matrix products alone
    python tests/bench/bench_decode.py --profile                 where a run of the engine spends the GPU's time
    python tests/bench/bench_decode.py --through-run --rows 50000
    python tests/bench/bench_decode.py --memory

Weights are random, so that answers never end: lengths are forced (15 to 40 tokens for sources of 20 to 60), each ending
unforeseen, as with a real end, and only these tokens count. ``--tiny`` runs everything with a small shape, on CPU too.
The bound is that of the products that must be done, at the rate of ``--tflops``. Models and tables are made in a
directory for temporary files.
"""

from __future__ import annotations

import argparse
import configparser
import csv
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

PREFIX, SOURCE, ANSWER = 15, (20, 60), (15, 40)
SHAPE = {
    "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64,
    "intermediate_size": 8192, "vocab_size": 128_256, "max_position_embeddings": 131_072, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "rope_parameters": {
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
}  # fmt: skip
TINY = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
    "intermediate_size": 128, "vocab_size": 14_000, "max_position_embeddings": 512, "tie_word_embeddings": True,
}  # fmt: skip
OWN_TOKENS = 12_288  # of the embedded model's tokenizer
BYTES = {"a": "Ã¡", "e": "Ã©", "i": "ÃŃ", "o": "Ã³", "u": "Ãº"}  # á, é, í, ó, ú as byte-level BPE spells them
#: Engine configurations that are compared where none is given; the words are arguments of GraphEngine, and n is the
#: number of requests.
ENGINES = (
    "slots=1024",
    "slots=1024 n=8192",
    "slots=1536 chunk=2560 unit=2560 n=8192",
    "slots=1024 chunk=3072 unit=1024 n=8192",
    "slots=512 n=8192",
    "slots=1024 attention=sdpa",
    "slots=512 attention=sdpa",
    "slots=512 attention=sdpa record=False",
    "slots=1024 compile=yes n=8192",
)
TINY_ENGINES = ("slots=8", "slots=8 packed=True chunk=64 unit=32")
#: Seconds after which an arm is ended.
LIMITS = {"engine": 300, "naive": 60, "padded": 90, "static": 150, "continuous": 90}


class Work(NamedTuple):
    """Prompts as ids behind a shared prefix, and how many tokens each is to be answered with."""

    prompts: list[list[int]]
    lengths: list[int]


def workload(count: int, vocabulary: int) -> Work:
    """Answers as long as their sources make them, give or take a few tokens."""
    chooser = random.Random(0)
    prefix = [chooser.randrange(10, vocabulary) for _ in range(PREFIX)]
    sources = [chooser.randint(*SOURCE) for _ in range(count)]
    prompts = [prefix + [chooser.randrange(10, vocabulary) for _ in range(size)] for size in sources]
    scale = (ANSWER[1] - ANSWER[0]) / (SOURCE[1] - SOURCE[0])
    lengths = [round(ANSWER[0] + (size - SOURCE[0]) * scale + chooser.gauss(0, 4)) for size in sources]
    return Work(prompts, [min(max(length, ANSWER[0]), ANSWER[1]) for length in lengths])


def products(config: Any, work: Work) -> float:
    """Floating point operations of the matrix products and attention that have to be done: the prefix once for all,
    the head only where a token is generated."""
    h, wide = config.hidden_size, config.num_attention_heads * config.head_dim
    kv = config.num_key_value_heads * config.head_dim
    body = 2 * config.num_hidden_layers * (2 * h * wide + 2 * h * kv + 3 * h * config.intermediate_size)
    attention = 4 * config.num_hidden_layers * wide
    total = 0.0
    for prompt, length in zip(*work, strict=True):
        own = len(prompt) - PREFIX
        total += own * (body + attention * (PREFIX + own / 2)) + length * 2 * h * config.vocab_size
        total += (length - 1) * (body + attention * (len(prompt) + length / 2))
    return total


# Models


def synthetic_tokenizer(size: int, directory: Path) -> Any:
    """The embedded model's tokenizer, filled up to ``size`` entries with words that no text is cut into: an x and three
    syllables. As in Spanish one of eight has an accent; the judges look closer at answers without any."""
    from transformers import AutoTokenizer

    import batchtrans_en_es

    own = Path(batchtrans_en_es.__file__).parent / "model" / "base"
    content = json.loads((own / "tokenizer.json").read_text(encoding="utf-8"))
    taken = max([*content["model"]["vocab"].values(), *(token["id"] for token in content["added_tokens"])]) + 1
    syllables = [consonant + vowel for vowel in "aeiou" for consonant in "bcdfghjklmnpqrstvwz"]
    for number in range(taken, size):
        rest, first = divmod(number, len(syllables))
        third, second = divmod(rest, len(syllables))
        word = syllables[first] + syllables[second] + syllables[third]
        if number % 8 == 0:
            word = word[:-1] + BYTES[word[-1]]
        content["model"]["vocab"]["Ġx" + word] = number
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    (directory / "tokenizer_config.json").write_bytes((own / "tokenizer_config.json").read_bytes())
    tokenizer = AutoTokenizer.from_pretrained(directory)
    assert len(tokenizer) == size, (len(tokenizer), size)
    return tokenizer


def random_model(shape: dict[str, Any], dtype: Any, device: str) -> Any:
    """A model of random weights whose answers are made of the filler words: the other tokens stand in dimensions of
    their own, which the last norm takes out, so that their logits are 0 and some filler's is larger."""
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    with torch.device(device):
        model = LlamaForCausalLM(LlamaConfig(**shape, bos_token_id=None, eos_token_id=None, pad_token_id=0)).eval()
    torch.set_default_dtype(torch.float32)
    own = shape["hidden_size"] // 8
    with torch.no_grad():
        model.model.embed_tokens.weight[:OWN_TOKENS, own:] = 0
        model.model.embed_tokens.weight[OWN_TOKENS:, :own] = 0
        model.model.norm.weight[:own] = 0
    model.set_attn_implementation("sdpa")
    model.generation_config = GenerationConfig()
    return model


class Bench:
    """What an arm needs: the model on the device, its tokenizer, the work, and a clock that waits for the device."""

    def __init__(self, given: argparse.Namespace) -> None:
        import torch

        self.given = given
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.cuda = self.device == "cuda"
        dtype = getattr(torch, given.dtype if self.cuda else "float32")
        torch.backends.cuda.enable_cudnn_sdp(False)  # it makes a plan for every new shape
        self.model = random_model(TINY if given.tiny else SHAPE, dtype, self.device)
        self.config = self.model.config

    def work(self, count: int) -> Work:
        return workload(count, self.config.vocab_size)

    def loaded(self) -> Any:
        import torch
        from transformers import AutoTokenizer

        from batchtrans_llama.load import Loaded

        tokenizer = AutoTokenizer.from_pretrained(self.given.directory / "tokenizer")
        name = str(self.model.dtype).removeprefix("torch.")
        context = self.config.max_position_embeddings
        return Loaded(
            self.model,
            tokenizer,
            torch.device(self.device),
            name,
            "none",
            "full",
            frozenset(),
            0,
            context,
            self.config.vocab_size,
            [],
        )

    def seconds(self, call: Callable[[], Any]) -> float:
        import torch

        if self.cuda:
            torch.cuda.synchronize()
        started = time.perf_counter()
        call()
        if self.cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - started

    def report(self, name: str, run: Callable[[], tuple[Work, float, str]]) -> None:
        """Measure, and print one line of JSON, whatever happens."""
        import torch

        row: dict[str, Any] = {"name": name}
        if self.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        try:
            work, seconds, note = run()
            row.update(
                segments=len(work.prompts) / seconds,
                tokens=sum(work.lengths) / seconds,
                bound=products(self.config, work) / (self.given.tflops * 1e12) / seconds,
                gib=torch.cuda.max_memory_allocated() / 2**30 if self.cuda else 0.0,
                seconds=seconds,
                note=note,
            )
        except Exception as error:  # nothing may stop the other configurations
            row["error"] = f"{type(error).__name__}: {error}".split("\n")[0][:300]
        print("RESULT " + json.dumps(row), flush=True)


# Arms


def engine_arm(bench: Bench) -> None:
    """The engine with slots: made, run once to warm up, then the median of three."""
    loaded = bench.loaded()
    for text in bench.given.engine or (TINY_ENGINES if bench.given.tiny else ENGINES):
        bench.report(f"engine graph, {text}", lambda text=text: run_engine(bench, loaded, text))  # type: ignore[misc]


def parse_engine(text: str) -> dict[str, Any]:
    """``slots=8 packed=True attention=sdpa`` as arguments."""
    pairs = (word.split("=") for word in text.split())
    values = {"True": True, "False": False}
    return {name: values.get(value, int(value) if value.isdigit() else value) for name, value in pairs}


def run_engine(bench: Bench, loaded: Any, text: str) -> tuple[Work, float, str]:
    from batchtrans_llama.graph.engine import GraphEngine

    options = parse_engine(text)
    work = bench.work(options.pop("n", bench.given.n))
    made = time.perf_counter()
    engine = GraphEngine(loaded, eos=False, **options)
    engine.decode(*work)
    made = time.perf_counter() - made
    engine.steps = engine.rows = engine.live = 0
    answers: list[Any] = []

    def run() -> None:
        answers[:] = engine.decode(*work)

    seconds = statistics.median(bench.seconds(run) for _ in range(bench.given.rounds))
    assert [len(answer.ids) for answer in answers] == work.lengths
    steps = engine.steps / bench.given.rounds
    notes = "; ".join(note for note in engine.notes[:-1])
    return work, seconds, f"{steps:.0f} steps, {engine.live / engine.rows:.2f} full, ready in {made:.1f} s {notes}"


def generate_sorted(bench: Bench, work: Work, batch: int, shape: int | None = None, **more: Any) -> None:
    """``generate`` over length-sorted batches, padded on the left; with ``shape`` to one width and one length."""
    import torch

    order = sorted(range(len(work.prompts)), key=lambda index: -len(work.prompts[index]))
    for start in range(0, len(order), batch):
        some = order[start : start + batch]
        rows = [work.prompts[index] for index in some]
        rows += [rows[0]] * (batch - len(rows) if shape else 0)
        width = shape or len(rows[0])
        ids = torch.tensor([[0] * (width - len(row)) + row for row in rows], device=bench.device)
        real = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=bench.device)
        new = ANSWER[1] if shape else max(work.lengths[index] for index in some)
        bench.model.generate(ids, attention_mask=real, max_new_tokens=new, do_sample=False, pad_token_id=0, **more)


def naive_arm(bench: Bench) -> None:
    work = bench.work(4 if bench.given.tiny else 32)

    def run() -> tuple[Work, float, str]:
        generate_sorted(bench, Work(work.prompts[:1], work.lengths[:1]), 1)
        return work, bench.seconds(lambda: generate_sorted(bench, work, 1)), f"{len(work.prompts)} prompts"

    bench.report("generate, one prompt at a time", run)


def padded_arm(bench: Bench) -> None:
    from batchtrans_llama.generate import HfEngine

    for batch in (4,) if bench.given.tiny else (128, 512):
        work = bench.work(min(bench.given.n, 4 * batch))

        def run(batch: int = batch, work: Work = work) -> tuple[Work, float, str]:
            generate_sorted(bench, Work(work.prompts[:batch], work.lengths[:batch]), batch)
            return work, bench.seconds(lambda: generate_sorted(bench, work, batch)), f"{len(work.prompts)} prompts"

        bench.report(f"padded generate, sorted, batch {batch}", run)

    def ours() -> tuple[Work, float, str]:
        engine = HfEngine(bench.loaded(), eos=False)
        order = sorted(range(len(work.prompts)), key=lambda index: -len(work.prompts[index]))
        parts = [order[start : start + batch] for start in range(0, len(order), batch)]

        def run() -> None:
            for part in parts:
                engine.decode([work.prompts[index] for index in part], [work.lengths[index] for index in part])

        return work, bench.seconds(run), "the reference"

    bench.report(f"engine hf, sorted, batch {batch}", ours)


def static_arm(bench: Bench) -> None:
    batch, shape = (4, 80) if bench.given.tiny else (512, PREFIX + SOURCE[1] + 5)
    work = bench.work(bench.given.n)

    def run() -> tuple[Work, float, str]:
        def all_of(some: Work) -> None:
            generate_sorted(bench, some, batch, shape, cache_implementation="static")

        ready = bench.seconds(lambda: all_of(Work(work.prompts[:batch], work.lengths[:batch])))
        return work, bench.seconds(lambda: all_of(work)), f"ready in {ready:.1f} s"

    bench.report(f"static cache, compiled generate, batch {batch}", run)


def continuous_arm(bench: Bench) -> None:
    """transformers' continuous batching with what makes it fastest offline: asynchronous, with CUDA graphs."""
    from transformers import GenerationConfig
    from transformers.generation import ContinuousBatchingConfig

    live = 4 if bench.given.tiny else 128
    work = bench.work(min(bench.given.n, 1024))
    settings: dict[str, Any] = {"max_requests_per_batch": live, "num_blocks": live * 8, "block_size": 32}
    settings["max_batch_tokens"] = 2048
    if bench.cuda:
        settings |= {"use_async_batching": True, "use_cuda_graph": True}
        settings |= {"q_padding_interval_size": 128, "kv_padding_interval_size": 4096}

    def run() -> tuple[Work, float, str]:
        greedy = GenerationConfig(do_sample=False, eos_token_id=-1, pad_token_id=0, max_new_tokens=ANSWER[1])
        bench.model.set_attn_implementation("paged|sdpa")
        batching = ContinuousBatchingConfig(**settings)
        with bench.model.continuous_batching_context_manager(
            greedy, continuous_batching_config=batching, timeout=5
        ) as manager:

            def some(count: int) -> None:
                for prompt, length in zip(work.prompts[:count], work.lengths[:count], strict=True):
                    manager.add_request(prompt, max_new_tokens=length, eos_token_id=-1)
                got = 0
                while got < count:
                    result = manager.get_result(timeout=1)
                    if (result is None and not manager.is_running()) or (result is not None and result.error):
                        raise RuntimeError(result.error if result is not None else "it stopped")
                    got += result is not None and result.is_finished()

            some(min(live, len(work.prompts)))
            return work, bench.seconds(lambda: some(len(work.prompts))), f"{len(work.prompts)} prompts"

    bench.report(f"transformers' continuous batching, {live} requests, async, graphs", run)


ARMS: dict[str, Callable[[Bench], None]] = {
    "engine": engine_arm,
    "padded": padded_arm,
    "naive": naive_arm,
    "continuous": continuous_arm,
    "static": static_arm,
}


def run_arms(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Each arm in a process of its own, which is killed when its time is over; the rows of all of them."""
    rows: list[dict[str, Any]] = []
    ends = time.monotonic() + given.budget
    for arm in given.arms.split(","):
        limit = max(10.0, min(LIMITS[arm], ends - time.monotonic()))
        command = [sys.executable, __file__, *sys.argv[1:], "--child", arm, "--directory", str(given.directory)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        timer = threading.Timer(limit, lambda process=process: os.killpg(process.pid, signal.SIGKILL))  # type: ignore[misc]
        timer.start()
        last: list[str] = []
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("RESULT "):
                rows.append({"arm": arm, **json.loads(line[7:])})
                print(line.rstrip(), flush=True)
            else:
                last = [*last[-5:], line.rstrip()[:200]]
        timer.cancel()
        if process.wait():
            rows.append({"arm": arm, "name": f"({arm})", "error": f"code {process.returncode}: " + " / ".join(last)})
        _save(given.out, rows)
    return rows


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    naive = next((row["segments"] for row in rows if row["arm"] == "naive" and "segments" in row), 0.0)
    print(f"\n{'':58}{'tokens/s':>10}{'segments/s':>12}{'x naive':>9}{'bound':>7}{'GiB':>6}")
    for row in rows:
        if "error" in row:
            print(f"{row['name']:58} {row['error'][:150]}")
            continue
        times = f"{row['segments'] / naive:9.0f}" if naive else " " * 9
        numbers = f"{row['tokens']:10.0f}{row['segments']:12.1f}{times}{row['bound']:7.1%}{row['gib']:6.1f}"
        print(f"{row['name']:58}{numbers}  {row['note']}")


def _save(path: Path | None, content: Any) -> None:
    if path is not None:
        path.write_text(json.dumps(content, indent=1), encoding="utf-8")


# Without arms


def check() -> int:
    """Every variant of the engine against the reference, in float32, and in 16 bits how many answers differ."""
    import torch

    import llama_cases
    from batchtrans_llama.generate import HfEngine
    from batchtrans_llama.graph.engine import GraphEngine

    device = "cuda" if torch.cuda.is_available() else "cpu"
    variants = ["slots=16", "slots=16 packed=True chunk=48 unit=16"]
    if device == "cuda":
        variants = [
            *(f"{variant} attention=sdpa" for variant in variants),
            "slots=16 attention=triton chunk=48 unit=16",
            "slots=16 attention=triton record=False",
            "slots=16 attention=sdpa compile=yes",
            "slots=16 attention=triton compile=yes",
        ]
    asked, wrong = llama_cases.requests(200), 0
    plain = [variant for variant in variants if "compile" not in variant and "record" not in variant]
    for shape in reversed(llama_cases.SHAPES):  # the plain one last, in every variant
        loaded = llama_cases.random_model(shape, device)
        expected = HfEngine(loaded).decode(*asked)
        for variant in variants if shape == "plain" else plain[::2]:
            started = time.perf_counter()
            try:
                engine = GraphEngine(loaded, **parse_engine(variant))
                bad = [len(llama_cases.differences(engine.decode(*asked), expected)) for _ in range(2)]
                notes = engine.notes[:-1]
            except Exception as error:
                bad, notes = [200], [f"{type(error).__name__}: {error}".split("\n")[0]]
            wrong += max(bad)
            verdict = "FAIL" if max(bad) else "same"
            print(f"{verdict} {shape:22} {variant:50} {time.perf_counter() - started:6.1f} s {bad} {notes}", flush=True)
    for dtype in ("bfloat16", "float16") if device == "cuda" else ():
        loaded = llama_cases.random_model("head_dim 64", device, dtype)
        expected = HfEngine(loaded).decode(*asked)
        for variant in plain[::2]:
            ours = GraphEngine(loaded, **parse_engine(variant)).decode(*asked)
            flipped = sum(one.ids != other.ids for one, other in zip(ours, expected, strict=True))
            print(f"{dtype} {variant}: {flipped} of 200 answers differ", flush=True)
    print("all the same" if not wrong else "SOME DIFFER", flush=True)
    return 1 if wrong else 0


def matrices(bench: Bench) -> None:
    """Milliseconds and rate of one layer's products and the head, for some numbers of rows."""
    import torch

    h, inner, config = bench.config.hidden_size, bench.config.intermediate_size, bench.config
    wide = (config.num_attention_heads + 2 * config.num_key_value_heads) * config.head_dim
    sizes = {
        "qkv": (h, wide),
        "out": (h, h),
        "gate_up": (h, 2 * inner),
        "down": (inner, h),
        "head": (h, config.vocab_size),
    }
    weights = {name: torch.randn(b, a, dtype=bench.model.dtype, device=bench.device) for name, (a, b) in sizes.items()}
    for rows in (64, 128) if bench.given.tiny else (256, 512, 768, 1024, 1536, 2048, 2560, 3072, 3584, 4096, 5120):
        line = []
        for name, weight in weights.items():
            x = torch.randn(rows, weight.shape[1], dtype=weight.dtype, device=bench.device)
            torch.nn.functional.linear(x, weight)
            repeats = 2 if bench.given.tiny else 20
            call = lambda x=x, weight=weight: [torch.nn.functional.linear(x, weight) for _ in range(repeats)]  # noqa: B023, E731
            seconds = bench.seconds(call) / repeats
            line.append(f"{name} {seconds * 1e3:.3f} ms {2 * rows * weight.numel() / seconds / 1e12:.0f} TF/s")
        print(f"{rows:5} rows: " + ", ".join(line), flush=True)


def profile(bench: Bench) -> None:
    """The kernels of one run by their time, and the share of the run in which the device was busy."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as torch_profile

    from batchtrans_llama.graph.engine import GraphEngine

    for text in bench.given.engine or ("slots=8" if bench.given.tiny else "slots=1024 n=8192",):
        options = parse_engine(text)
        work = bench.work(options.pop("n", bench.given.n))
        engine = GraphEngine(bench.loaded(), eos=False, **options)
        engine.decode(*work)
        activities = [ProfilerActivity.CUDA] if bench.cuda else [ProfilerActivity.CPU]
        with torch_profile(activities=activities) as recorded:
            seconds = bench.seconds(lambda engine=engine, work=work: engine.decode(*work))  # type: ignore[misc]
        key = "self_device_time_total" if bench.cuda else "self_cpu_time_total"
        events = sorted(recorded.key_averages(), key=lambda event: -getattr(event, key))
        busy = sum(getattr(event, key) for event in events) / 1e6
        print(f"{text}: {len(work.prompts) / seconds:.0f} segments/s while watched; device busy {busy / seconds:.1%}")
        for event in events[:25]:
            total = getattr(event, key)
            print(
                f"{total / 1e4 / busy:6.2f} % {total / max(event.count, 1):9.1f} us x {event.count:6}  {event.key[:90]}"
            )


# Through the command line, and within a limit of memory


def checkpoint(given: argparse.Namespace) -> Path:
    """The random model as a directory that ``--model`` takes; made once."""
    import torch

    directory: Path = given.directory / ("tiny" if given.tiny else "model")
    if not (directory / "tokenizer.json").exists():
        cuda = torch.cuda.is_available()
        dtype = torch.bfloat16 if cuda else torch.float32
        random_model(TINY if given.tiny else SHAPE, dtype, "cuda" if cuda else "cpu").save_pretrained(directory)
        synthetic_tokenizer((TINY if given.tiny else SHAPE)["vocab_size"], directory)  # type: ignore[arg-type]
    return directory


def texts(tokenizer: Any, count: int) -> Iterator[str]:
    """Different texts of 20 to 60 tokens: short words that are a token each, so that no text is long enough (240
    characters) to be cut into sentences."""
    chooser = random.Random(1)
    words = sorted(word[1:] for word in tokenizer.get_vocab() if re.fullmatch("Ġ[a-z]{2,3}", word))
    for _ in range(count):
        yield " ".join(chooser.choices(words, k=chooser.randint(*SOURCE)))


def declare_plugins(directory: Path) -> None:
    """Let the plugins of this tree be found where they are on the path but not installed."""
    if any(entry.name == "llama" for entry in metadata.entry_points(group="batchtrans")):
        return
    for path in ROOT.glob("plugins/*/setup.cfg"):
        setup = configparser.ConfigParser()
        setup.read(path, encoding="utf-8")
        name, version = setup["metadata"]["name"], setup["metadata"]["version"]
        info = directory / "declared" / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text("[batchtrans]\n" + setup["options.entry_points"]["batchtrans"].strip())
    sys.path.append(str(directory / "declared"))


def through_run(given: argparse.Namespace) -> dict[str, Any]:
    """``batchtrans run`` on a table of distinct rows, in this process, so that loading, warming up (the first
    requests, which record the steps) and the rest can be told apart."""
    from transformers import AutoTokenizer

    import batchtrans_llama.backend as module
    from batchtrans import Request
    from batchtrans.cli import main as batchtrans

    directory = checkpoint(given)
    declare_plugins(given.directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    times: dict[str, float] = {}
    start, translate, stop = (getattr(module.LlamaBackend, name) for name in ("start", "translate", "stop"))

    def timed_start(self: Any, *languages: str) -> Any:
        began = time.perf_counter()
        fingerprint = start(self, *languages)
        times["load"] = time.perf_counter() - began
        began = time.perf_counter()
        warm = texts(tokenizer, 64 if given.tiny else 4096)
        for _ in translate(self, [Request(number, text) for number, text in enumerate(warm)]):
            pass
        times["warm-up"] = time.perf_counter() - began
        times["core"] = time.thread_time()
        return fingerprint

    def timed_translate(self: Any, requests: Any) -> Any:
        times.setdefault("first", time.perf_counter())
        return translate(self, requests)

    def timed_stop(self: Any) -> None:
        times["renamed"] = time.perf_counter()  # every output is by now
        stop(self)

    for name, timed in (("start", timed_start), ("translate", timed_translate), ("stop", timed_stop)):
        setattr(module.LlamaBackend, name, timed)
    table = given.directory / "table.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        writer.writerows(enumerate(texts(tokenizer, given.rows)))
    arguments = ["run", str(table), "--to", "es", "--model", str(directory), "--column", "text", "--fresh"]
    arguments += ["-O", "eos=off", "-O", "length-cap=2.5+0.625*n", *given.run_options]
    print("batchtrans", *arguments, flush=True)
    began = time.perf_counter()
    code = batchtrans(arguments)
    ended = time.perf_counter()
    core, seconds = time.thread_time() - times["core"], times["renamed"] - times["first"]
    log = table.with_suffix(".es.csv.align.jsonl")
    tokens = [record["tokens"] for record in map(json.loads, log.open(encoding="utf-8")) if record["type"] == "record"]
    row = {
        "exit code": code,
        "rows": given.rows,
        "segments/s, first prompt to renamed output": round(given.rows / seconds, 1),
        "seconds": round(seconds, 2),
        "processor seconds of the core's thread": round(core, 2),
        "load": round(times["load"], 2),
        "warm-up": round(times["warm-up"], 2),
        "whole command less load and warm-up": round(ended - began - times["load"] - times["warm-up"], 2),
        "prompt tokens": round(sum(one for one, _ in tokens) / len(tokens), 1),
        "answer tokens": round(sum(other for _, other in tokens) / len(tokens), 1),
        "answers": len(tokens),
        "log MB": round(log.stat().st_size / 1e6, 1),
    }
    print(json.dumps(row, indent=1))
    return row


def memory(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Whether the model runs within 6 GB in 16 bits and within 3.5 GB in 4, each in a process of its own."""
    checkpoint(given)
    rows = []
    for quant, limit in (("none", 6.0), ("nf4", 3.5)):
        command = [sys.executable, __file__, "--directory", str(given.directory), "--child", f"memory {quant} {limit}"]
        done = subprocess.run(command + ["--tiny"] * given.tiny, capture_output=True, text=True)
        line = next((line[7:] for line in done.stdout.splitlines() if line.startswith("RESULT ")), "")
        rows.append(json.loads(line) if line else {"quant": quant, "limit": limit, "error": done.stderr[-600:]})
        print(json.dumps(rows[-1], indent=1), flush=True)
    return rows


def memory_child(given: argparse.Namespace, quant: str, limit: float) -> None:
    import torch
    from transformers import AutoTokenizer

    from batchtrans import Request
    from batchtrans_llama.backend import LlamaBackend

    if cuda := torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(limit * 1e9 / total)
    options = {"model": str(checkpoint(given)), "quant": quant, "eos": "off", "length-cap": "2.5+0.625*n"}
    options["own-process"] = "no"  # the share is that of this process
    backend = LlamaBackend(options | ({} if cuda else {"engine": "graph", "device": "cpu"}))
    backend.start("en", "es")
    tokenizer = AutoTokenizer.from_pretrained(checkpoint(given))
    asked = [Request(number, text) for number, text in enumerate(texts(tokenizer, 20 if given.tiny else 2000))]
    row: dict[str, Any] = {"quant": quant, "limit GB": limit}
    for name in ("first", "second"):
        began = time.perf_counter()
        errors = sum(bool(result.error) for result in backend.translate(asked))
        row[f"{name} run, segments/s"] = round(len(asked) / (time.perf_counter() - began), 1)
    row |= {"errors": errors, "notes": backend.notes}
    row["peak GB reserved"] = round(torch.cuda.max_memory_reserved() / 1e9, 2) if cuda else 0.0
    print("RESULT " + json.dumps(row), flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", default=",".join(ARMS), help="which of " + ",".join(ARMS))
    parser.add_argument("--engine", action="append", help='a configuration of the engine, such as "slots=512 n=2048"')
    parser.add_argument("--n", type=int, default=0, help="requests (2048)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--budget", type=float, default=480, help="seconds for all arms")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument(
        "--tflops", type=float, default=790, help="measured rate of large matrix products, for the bound"
    )
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--directory", type=Path, help="where models and tables are made and found again")
    for name in ("--tiny", "--check", "--matrices", "--profile", "--through-run", "--memory"):
        parser.add_argument(name, action="store_true")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    parser.add_argument(
        "run_options", nargs="*", help="with --through-run: further options of batchtrans run, after --"
    )
    given = parser.parse_args()
    given.n = given.n or (24 if given.tiny else 2048)
    given.directory = given.directory or Path(tempfile.gettempdir()) / "batchtrans-bench-decode"
    return given


def main() -> int:
    given = arguments()
    if given.child.startswith("memory"):
        _, quant, limit = given.child.split()
        memory_child(given, quant, float(limit))
        return 0
    if given.check:
        return check()
    if given.through_run or given.memory:
        result = through_run(given) if given.through_run else memory(given)
        _save(given.out, result)
        return 0
    if given.child:
        ARMS[given.child](Bench(given))
        return 0
    synthetic_tokenizer((TINY if given.tiny else SHAPE)["vocab_size"], given.directory / "tokenizer")  # type: ignore[arg-type]
    if given.matrices or given.profile:
        bench = Bench(given)
        matrices(bench) if given.matrices else profile(bench)
        return 0
    rows = run_arms(given)
    print_table(rows)
    return 1 if any("error" in row for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
