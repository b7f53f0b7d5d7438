"""From directories to a model that is ready to decode.

Two things are kept apart. Which *numbers* the base weights have is decided by what the adapter was trained on: an NF4
base stays as it is, a 16-bit base is quantised first if the adapter saw it so. How they *stand in memory* is the
option ``quant``: dequantised with the adapter merged, once and in float32, or 4-bit with the adapter beside them.
An adapter is never merged into 4-bit weights, which would round it away.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from functools import partial, wraps
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from batchtrans import BackendError, UsageError

from .card import Adapter

_SPARE_BYTES = 3_500_000_000  # activations, cache and CUDA's own: with 2.5 GB of weights the 6 GB of a small card


@dataclass(slots=True)
class Loaded:
    """A model in evaluation mode with its tokenizer: one of transformers, or for the engine ``ct2`` a ``Generator`` of
    CTranslate2. ``device`` is torch's, or has its ``type`` at least. ``quant`` says how the weights stand in memory
    (``nf4``, ``none``, ``int8``), ``weights`` which numbers they have (``nf4`` or ``full``), ``dtype`` what the model
    computes in, ``context`` how many tokens it takes, and ``vocab_size`` how many it knows."""

    model: Any
    tokenizer: Any
    device: Any
    dtype: str
    quant: str
    weights: str
    eos_ids: frozenset[int]
    pad_id: int
    context: int
    vocab_size: int
    notes: list[str]


def load(
    base: Path, adapter: Adapter | None = None, device: str = "auto", dtype: str = "auto", quant: str = "auto"
) -> Loaded:
    """Load a base model, and an adapter onto it, to decode.

    ``device``, ``dtype`` and ``quant`` take the values of the backend's options.

    :raises BackendError: where a package, a device or memory is missing, or the files do not fit together.
    :raises UsageError: where ``quant`` would change the numbers that the adapter was trained on.
    """
    trained = adapter.quantisation if adapter is not None else ""
    loaded = _load(base, trained, device, dtype, quant, partial(_build, adapter))
    loaded.model.eval()
    return loaded


def load_mixed(
    base: Path, adapters: Mapping[str, Adapter], device: str = "auto", dtype: str = "auto", quant: str = "auto"
) -> Loaded:
    """Load a base model with several adapters beside its layers, each under a name of its own, for batches in which
    each row has its own: ``generate.MixedEngine`` decodes them. They were trained on the same numbers.

    :raises BackendError: as :func:`load`, or for adapters that peft cannot mix (DoRA).
    """
    (trained,) = {adapter.quantisation for adapter in adapters.values()}

    def build(*form: Any) -> Any:
        model = _base_model(*form)
        for name, adapter in adapters.items():
            model = _with_adapter(model, adapter, name=name)
            if getattr(model.peft_config[name], "use_dora", False):
                raise BackendError(f"{adapter.directory} is a DoRA adapter, which cannot be mixed with others")
        return model

    loaded = _load(base, trained, device, dtype, quant, build)
    loaded.model.eval()
    return loaded


def load_to_train(
    base: Path,
    start: Adapter | None,
    lora: Mapping[str, Any],
    quantisation: str,
    device: str = "auto",
    dtype: str = "auto",
    quant: str = "auto",
) -> Loaded:
    """Load a base model with an adapter beside it that can be trained: ``start`` goes on from its weights, ``None``
    begins a new one of the shape ``lora`` (arguments of peft's ``LoraConfig``), which changes nothing yet.

    ``quantisation`` (``nf4``, ``none``) is which numbers the base has while the adapter learns; how they stand in
    memory is ``quant``, as for :func:`load`, but that ``auto`` keeps 4 bits on CUDA: beside the backward pass it costs
    nothing to dequantise a layer when it is used, and a 1B model takes 1.5 GB less. The adapter's own weights are
    float32 whatever the model computes in, or small gradients in float16 would be lost and GradScaler could not unscale
    them.

    :raises BackendError: as :func:`load`, or where an adapter has no layer to stand beside.
    """

    def build(*form: Any) -> Any:
        model = _base_model(*form)
        model.requires_grad_(False)
        model = _new_adapter(model, lora) if start is None else _with_adapter(model, start, trainable=True)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        return model

    import_torch()
    if quant == "auto" and quantisation == "nf4" and choose_device(device).type == "cuda":
        quant = "nf4"
    return _load(base, quantisation, device, dtype, quant, build)


def _load(base: Path, trained: str, device: str, dtype: str, quant: str, build: Callable[..., Any]) -> Loaded:
    """What all ways of loading share. ``build`` takes the base's directory, its configuration, device, dtype, the
    numbers of the weights and their form in memory, and gives the model."""
    import_torch()
    with _quiet():
        from safetensors import SafetensorError
        from transformers import AutoConfig

        try:
            config = AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise BackendError(f"{base} is no model that transformers knows: {_first_line(error)}") from None
        notes: list[str] = []
        place = choose_device(device)
        compute = choose_dtype(place, dtype)
        weights, memory = _choose_quant(config, trained, place, quant, notes)
        try:
            model = build(base, config, place, compute, weights, memory)
        except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
            raise _load_error(base, error) from None
        tokenizer = read_tokenizer(base)
    ends = eos_ids(model.generation_config.eos_token_id, model.config.eos_token_id, tokenizer.eos_token_id)
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(ends, default=0)
    _forget_sampling(model)
    context = int(getattr(config, "max_position_embeddings", 2048))
    name = str(compute).removeprefix("torch.")
    return Loaded(model, tokenizer, place, name, memory, weights, ends, pad_id, context, config.vocab_size, notes)


def choose_device(device: str) -> Any:
    """The torch device for the option ``device``: the first CUDA device where there is one, for ``auto``.

    :raises BackendError: for a CUDA device that is not there.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "cpu" or (device == "auto" and count == 0):
        return torch.device("cpu")
    chosen = torch.device("cuda", 0) if device in ("auto", "cuda") else torch.device(device)
    if chosen.index >= count:
        raise BackendError(
            f"there is no device {device}: torch {torch.__version__} sees {count} CUDA devices",
            "Use --device cpu, or install a torch build for this machine's CUDA.",
        )
    return chosen


def choose_dtype(device: Any, dtype: str = "auto") -> Any:
    """What to compute in: float32 on CPU, bfloat16 from compute capability 8.0 on, float16 below.

    ``torch.cuda.is_bf16_supported()`` is not asked: it says yes to emulation, which is many times slower.
    """
    import torch

    if dtype != "auto":
        return getattr(torch, dtype)
    if device.type == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16


def keep_weights_as_stored(model: Any) -> int:
    """Have bitsandbytes read 4-bit weights as they are stored, and leave them so; how many layers there are.

    It is stopped from repacking them in place: on a CPU with AVX512-BF16, ``Linear4bit`` in evaluation mode reorders
    its weight for a fast kernel at the first forward, and whatever reads the weight afterwards (gradients,
    dequantisation, saving) reads it wrong. Must run before the first forward.
    """
    layers = [module for module in model.modules() if type(module).__name__ == "Linear4bit"]
    for layer in layers:
        layer.support_avx512bf16_for_cpu = False
    if layers:
        _read_blocks_across_rows()
    return len(layers)


def _read_blocks_across_rows() -> None:
    """Mend how bitsandbytes (0.50.2) dequantises on a CPU with AVX512 where rows are no multiple of its blocks.

    Blocks are counted through the whole weight, but that kernel begins one with each row, so that the numbers of all
    later rows get another block's scale. A weight that it is told to be one row comes out right, and has the same
    bytes. The product calls the kernel by itself, so it is taken of the mended weight.
    """
    import bitsandbytes
    from bitsandbytes import functional
    from torch.nn.functional import linear

    given, multiply = functional.dequantize_4bit, bitsandbytes.matmul_4bit
    if hasattr(given, "__wrapped__"):
        return

    def is_whole(tensor: Any, state: Any) -> bool:
        return state is None or state.shape[-1] % state.blocksize == 0 or tensor.device.type != "cpu"

    @wraps(given)
    def dequantize(A: Any, quant_state: Any = None, absmax: Any = None, out: Any = None, *more: Any) -> Any:
        if is_whole(A, quant_state) or A.shape[0] == 1 or out is not None:
            return given(A, quant_state, absmax, out, *more)
        shape, row = quant_state.shape, copy(quant_state)
        row.shape = type(shape)((1, shape.numel()))
        return given(A, row, absmax, out, *more).view(shape)

    @wraps(multiply)
    def product(A: Any, B: Any, quant_state: Any, out: Any = None, bias: Any = None) -> Any:
        if is_whole(A, quant_state) or out is not None:
            return multiply(A, B, quant_state, out, bias)
        return linear(A, dequantize(B.data.view(-1, 1), quant_state).to(A.dtype), bias)

    functional.dequantize_4bit, bitsandbytes.matmul_4bit = dequantize, product


def import_torch() -> None:
    """Import what every use of a model needs, quietly; to be called before torch is imported anywhere else.

    :raises BackendError: naming the package that is missing.
    """
    # Threads that spin while they wait stall one another on a shared machine; must be set before torch starts any.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        with _quiet():
            for package in ("torch", "transformers", "accelerate"):
                import_module(package)
    except ImportError as error:
        raise missing(error) from None


def require(*packages: str) -> None:
    """Make sure that packages of the extra ``torch`` are there, without importing them.

    :raises BackendError: naming the first that is missing.
    """
    for package in packages:
        if find_spec(package) is None:
            raise missing(ImportError(name=package))


def missing(error: ImportError, extra: str = "torch") -> BackendError:
    """What to say of a package that is not installed, and of the ``extra`` of this distribution that brings it."""
    return BackendError(
        f"this needs the package {error.name or error}, which is not installed",
        f"pip install 'batchtrans-llama[{extra}]' brings it; in a clone, pip install -e "
        f"'plugins/batchtrans-llama[{extra}]'.",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep progress bars and remarks of libraries off stderr: what matters of them is raised or noted."""
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        from transformers.utils import logging as library

        library.set_verbosity_error()
        library.disable_progress_bar()
    except ImportError:
        pass
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__


def _load_error(base: Path, error: Exception) -> BackendError:
    import torch

    if isinstance(error, torch.cuda.OutOfMemoryError):
        return BackendError(f"{base} does not fit into the memory of the GPU", "Try -O quant=nf4, or --device cpu.")
    return BackendError(f"{base} cannot be loaded: {_first_line(error)}")


def _choose_quant(config: Any, trained: str, device: Any, quant: str, notes: list[str]) -> tuple[str, str]:
    """Which numbers (``nf4``, ``full``) and which form in memory (``nf4``, ``none``). ``trained`` is the quantisation
    that the adapter was or will be trained on: ``nf4``, ``none``, or empty where that is not known."""
    stored_4bit = is_4bit(config, trained)
    fits = device.type == "cpu" or _free_bytes(device) >= 2 * _parameter_count(config) + _SPARE_BYTES
    if stored_4bit or trained == "nf4":
        return "nf4", {"auto": "none" if fits else "nf4"}.get(quant, quant)
    if trained == "none" and quant == "nf4":
        raise UsageError(
            "quant=nf4 would change the weights that the adapter was trained on, which are 16-bit",
            "Use -O quant=none.",
        )
    if quant == "nf4" or (quant == "auto" and not fits and not trained):
        if quant == "auto":
            notes.append("the GPU has too little free memory for 16-bit weights: they are rounded to 4 bits (NF4)")
        return "nf4", "nf4"
    return "full", "none"


def is_4bit(config: Any, trained: str) -> bool:
    """Whether a base is stored in 4 bits, by its configuration (an object of transformers, or what its JSON says).

    :raises BackendError: where it is quantised in another way, or an adapter was ``trained`` on 16-bit weights.
    """
    stored = _field(config, "quantization_config")
    if stored is None:
        return False
    if not _field(stored, "load_in_4bit"):
        raise BackendError(
            f"the base is quantised by {_field(stored, 'quant_method')}, which this backend does not read",
            "Use a 16-bit checkpoint, or one in bitsandbytes' 4 bits.",
        )
    if trained == "none":
        raise BackendError("the adapter is for 16-bit weights, and this base is 4-bit", "Name the 16-bit base.")
    return True


def _field(config: Any, name: str) -> Any:
    return config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)


def _free_bytes(device: Any) -> int:
    import torch

    return int(torch.cuda.mem_get_info(device)[0])


def _parameter_count(config: Any) -> int:
    import torch
    from transformers import AutoModelForCausalLM

    plain = type(config).from_dict({k: v for k, v in config.to_dict().items() if k != "quantization_config"})
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(plain)
    return sum(parameter.numel() for parameter in model.parameters())


def _build(adapter: Adapter | None, base: Path, config: Any, device: Any, dtype: Any, weights: str, memory: str) -> Any:
    """The model that decodes: the adapter merged, once and in float32, or beside weights that stay 4-bit."""
    import torch

    if adapter is None:
        return _base_model(base, config, device, dtype, weights, memory)
    if memory == "nf4":
        return _with_adapter(_base_model(base, config, device, dtype, weights, memory), adapter)
    model = _base_model(base, config, _merge_device(config, device), torch.float32, weights, memory)
    return _with_adapter(model, adapter).merge_and_unload().to(device=device, dtype=dtype)


def _base_model(base: Path, config: Any, device: Any, dtype: Any, weights: str, memory: str) -> Any:
    """The base alone, with the numbers ``weights`` in the form ``memory``; what is not 4-bit is in ``dtype``."""
    import torch

    if memory == "nf4":
        model = _from_pretrained_4bit(base, config, dtype, device)
        for module in model.modules():
            if type(module).__name__ == "Linear4bit":
                module.compute_dtype, module.compute_type_is_set = dtype, True
        for parameter in model.parameters():
            if parameter.is_floating_point():
                parameter.data = parameter.data.to(dtype)
        return model
    if weights == "nf4":
        place = _merge_device(config, device)
        model = _from_pretrained_4bit(base, config, torch.float32, place).dequantize()
        return model.to(torch.float32).to(device=device, dtype=dtype)
    return _from_pretrained(base, dtype, device)


def _merge_device(config: Any, device: Any) -> Any:
    """Where to merge: on the GPU if the model fits there in float32 beside the parts it is made from, else on CPU."""
    import torch

    if device.type == "cpu" or _free_bytes(device) >= 8 * _parameter_count(config) + _SPARE_BYTES:
        return device
    return torch.device("cpu")


def _from_pretrained(base: Path, dtype: Any, device: Any, quantization: Any = None) -> Any:
    """The model as transformers reads it.

    :raises BackendError: if weights are missing, which transformers would make up at random.
    """
    from transformers import AutoModelForCausalLM

    more = {} if quantization is None else {"quantization_config": quantization}
    model, report = AutoModelForCausalLM.from_pretrained(
        base,
        dtype=dtype,
        device_map={"": str(device)},
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
        **more,
    )
    if missing := sorted(report["missing_keys"]):
        raise BackendError(f"{base} lacks {len(missing)} of the model's tensors, such as {missing[0]}")
    return model


def _from_pretrained_4bit(base: Path, config: Any, compute_dtype: Any, device: Any) -> Any:
    """A 4-bit checkpoint as it is, or a 16-bit one quantised from its own precision to NF4, double-quantised, as
    QLoRA training does."""
    from transformers import BitsAndBytesConfig

    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise missing(error) from None
    quantization = None
    if getattr(config, "quantization_config", None) is None:
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=compute_dtype,
        )
    model = _from_pretrained(base, "auto", device, quantization)
    keep_weights_as_stored(model)
    return model


def _new_adapter(model: Any, lora: Mapping[str, Any]) -> Any:
    try:
        from peft import LoraConfig, TaskType, get_peft_model
    except ImportError as error:
        raise missing(error) from None
    return get_peft_model(model, LoraConfig(task_type=TaskType.CAUSAL_LM, **lora))


def _with_adapter(model: Any, adapter: Adapter, trainable: bool = False, name: str = "default") -> Any:
    """The model with an adapter of this name beside its layers, and with those that it has already.

    :raises BackendError: if the adapter has weights for layers that the base does not have, or the other way round,
        which PEFT lets pass.
    """
    try:
        from peft import PeftModel, get_peft_model_state_dict
    except ImportError as error:
        raise missing(error) from None
    from safetensors import safe_open

    if isinstance(model, PeftModel):
        model.load_adapter(str(adapter.directory), name, is_trainable=trainable)
    else:
        model = PeftModel.from_pretrained(model, str(adapter.directory), name, is_trainable=trainable)
    with safe_open(adapter.directory / "adapter_model.safetensors", framework="numpy") as file:
        stored = set(file.keys())
    expected = set(get_peft_model_state_dict(model, adapter_name=name))
    if stored != expected:
        odd = min(stored ^ expected)
        raise BackendError(
            f"the adapter {adapter.directory} does not fit the base: {len(stored - expected)} of its tensors have no "
            f"layer, {len(expected - stored)} layers have no tensor, such as {odd}",
            "Name the base it was trained on (--model of run, --base of train, eval and merge).",
        )
    return model


def read_tokenizer(base: Path) -> Any:
    """The fast tokenizer of a checkpoint.

    :raises BackendError: where there is none.
    """
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise missing(error) from None
    try:
        tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise BackendError(f"{base} has no tokenizer that can be read: {_first_line(error)}") from None
    if not tokenizer.is_fast:
        raise BackendError(f"{base} has no fast tokenizer (tokenizer.json)")
    return tokenizer


def eos_ids(*named: int | list[int] | None) -> frozenset[int]:
    """Every id that ends a text, by what the generation settings, the configuration and the tokenizer name."""
    ids: set[int] = set()
    for value in named:
        if value is not None:
            ids.update(value if isinstance(value, (list, tuple)) else [value])
    return frozenset(ids)


def _forget_sampling(model: Any) -> None:
    """Drop the checkpoint's own temperature, penalties and lengths: decoding here is greedy and nothing else."""
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig()
