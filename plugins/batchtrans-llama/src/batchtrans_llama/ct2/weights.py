"""The weights of a checkpoint with its adapter merged, by numpy alone: read, dequantised, merged in float32.

The numbers are those that :func:`batchtrans_llama.load.load` gives in float32. What numpy cannot do here (rounding a
16-bit base to NF4, adapters that are more than LoRA) is left to that function, where its packages are installed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchtrans import BackendError

from ..card import Adapter, read_json
from ..fingerprint import Tensor, tensors

if TYPE_CHECKING:
    import numpy as np

_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_DTYPES = {**_FLOATS, "U8": "<u1"}
#: How bitsandbytes names the JSON that describes a 4-bit tensor, stored beside it as bytes.
_STATE = ".quant_state.bitsandbytes__nf4"
_LORA = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
#: The fields of an adapter_config.json by which an adapter is more than two matrices beside a layer, when they are set.
_MORE_THAN_LORA = (
    "alpha_pattern",
    "fan_in_fan_out",
    "lora_bias",
    "modules_to_save",
    "rank_pattern",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_dora",
    "use_qalora",
)


class Weights:
    """The merged tensors of a base and maybe an adapter, read one at a time.

    :raises BackendError: for damaged files, or an adapter that does not fit the base.
    """

    def __init__(self, base: Path, adapter: Adapter | None) -> None:
        self._base = base
        self._tensors = {tensor.name: tensor for tensor in tensors(base)}
        self._lora: dict[str, dict[str, Tensor]] = {}
        self._scale = 0.0
        if adapter is not None:
            self._scale = _scale(_config(adapter))
            self._lora = _pairs(adapter, self._tensors)

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]:
        """The tensor ``name`` in float32: dequantised if it is stored in 4 bits, with the adapter's share."""
        if name not in self._tensors:
            raise BackendError(f"{self._base} lacks the tensor {name}", "Fetch the model again.")
        stored = self._tensors[name]
        weight = self._dequantised(stored) if name + _STATE in self._tensors else read(stored)
        if lora := self._lora.get(name.removesuffix(".weight")):
            weight = weight + self._scale * (read(lora["B"]) @ read(lora["A"]))
        return weight

    def _dequantised(self, stored: Tensor) -> np.ndarray[Any, Any]:
        parts = {name: read(self._tensors[stored.name + "." + name], raw=True) for name in self._beside(stored.name)}
        return dequantise(read(stored, raw=True), parts)

    def _beside(self, name: str) -> Iterator[str]:
        return (other[len(name) + 1 :] for other in self._tensors if other.startswith(name + "."))


def read(tensor: Tensor, raw: bool = False) -> np.ndarray[Any, Any]:
    """A stored tensor in float32, or as it is stored if ``raw``.

    :raises BackendError: for a type that is not in the table, or a file that ends inside the tensor.
    """
    import numpy as np

    if tensor.dtype not in (_DTYPES if raw else _FLOATS):
        raise BackendError(
            f"{tensor.path}: the tensor {tensor.name} has the type {tensor.dtype}, which is not read here"
        )
    kind = np.dtype(_DTYPES[tensor.dtype])
    count = math.prod(tensor.shape)
    values = np.fromfile(tensor.path, kind, count, offset=tensor.start)
    if values.size < count:
        raise BackendError(f"{tensor.path}: cut short inside the tensor {tensor.name}", "Fetch the model again.")
    values = values.reshape(tensor.shape)
    if raw:
        return values
    if tensor.dtype == "BF16":
        return _from_bfloat16(values)
    return values.astype(np.float32)


def dequantise(packed: np.ndarray[Any, Any], parts: Mapping[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """A tensor that bitsandbytes stored as NF4, in float32.

    Two values lie in a byte, the first in its upper half; each is an index into the table ``quant_map``, scaled by the
    largest value of its block, ``absmax``. Double quantisation stores those scales in 8 bits by the same scheme, less
    their mean (https://arxiv.org/abs/2305.14314, section 3). The result is rounded to the type that the tensor had
    before, as bitsandbytes does it.
    """
    import numpy as np

    state = json.loads(parts[_STATE[1:]].tobytes())
    scales = parts["absmax"]
    if "nested_absmax" in parts:
        outer = np.repeat(parts["nested_absmax"], state["nested_blocksize"])[: scales.size]
        scales = parts["nested_quant_map"][scales] * outer + np.float32(state["nested_offset"])
    packed = packed.reshape(-1)
    codes = np.stack([packed >> 4, packed & 15], axis=1).reshape(-1)
    size = math.prod(state["shape"])
    values = parts["quant_map"][codes[:size]] * np.repeat(scales, state["blocksize"])[:size]
    shaped: np.ndarray[Any, Any] = _rounded(values, state["dtype"]).reshape(state["shape"])
    return shaped


def _rounded(values: np.ndarray[Any, Any], dtype: str) -> np.ndarray[Any, Any]:
    """Float32 values at the precision of another type, half to even."""
    import numpy as np

    if dtype == "bfloat16":
        bits = values.view(np.uint32)
        return _from_bfloat16(((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16))
    return values.astype(dtype).astype(np.float32)


def _from_bfloat16(bits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """bfloat16 is the upper half of float32."""
    import numpy as np

    return (bits.astype(np.uint32) << 16).view(np.float32)


def by_numpy(config: Mapping[str, Any], adapter: Adapter | None) -> bool:
    """Whether numpy alone can give the weights: the base has the numbers that the adapter was trained on, and the
    adapter is plain LoRA."""
    quantised = config.get("quantization_config")
    if quantised and quantised.get("bnb_4bit_quant_type") != "nf4":
        return False
    if adapter is None:
        return True
    if not quantised and adapter.quantisation == "nf4":
        return False
    settings = _config(adapter)
    return (
        settings.get("peft_type") == "LORA"
        and settings.get("bias", "none") == "none"
        and isinstance(settings.get("target_modules"), list)
        and not any(settings.get(name) for name in _MORE_THAN_LORA)
        and all(_LORA.fullmatch(tensor.name) for tensor in _adapter_tensors(adapter))
    )


def _config(adapter: Adapter) -> Mapping[str, Any]:
    return read_json(adapter.directory / "adapter_config.json", f"{adapter.directory} is not a PEFT adapter")


def _scale(settings: Mapping[str, Any]) -> float:
    rank = float(settings["r"])
    return float(settings["lora_alpha"] / (math.sqrt(rank) if settings.get("use_rslora") else rank))


def _adapter_tensors(adapter: Adapter) -> Iterator[Tensor]:
    return tensors(adapter.directory, "adapter_model.safetensors")


def _pairs(adapter: Adapter, base: Collection[str]) -> dict[str, dict[str, Tensor]]:
    """The two matrices of each layer that the adapter changes, by the layer's name.

    :raises BackendError: if the adapter has matrices for layers that the base does not have, or lacks some that it
        should have.
    """
    pairs: dict[str, dict[str, Tensor]] = {}
    for tensor in _adapter_tensors(adapter):
        if match := _LORA.fullmatch(tensor.name):
            pairs.setdefault(match["module"], {})[match["side"]] = tensor
    targets = set(_config(adapter)["target_modules"])
    modules = (name.removesuffix(".weight") for name in base if name.endswith(".weight"))
    expected = {module for module in modules if any(module == t or module.endswith("." + t) for t in targets)}
    whole = {module for module, pair in pairs.items() if len(pair) == 2}
    if odd := (expected ^ set(pairs)) | (set(pairs) - whole):
        raise BackendError(
            f"the adapter {adapter.directory} does not fit the base, for example at {min(odd)}",
            "Name the base it was trained on (--model of run, --base of train, eval and merge).",
        )
    return pairs
