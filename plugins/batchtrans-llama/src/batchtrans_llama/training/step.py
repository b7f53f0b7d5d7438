"""Forward and backward of a micro-batch: the loss at supervised positions, and the same as CUDA graphs.

A 1B model on a fast GPU computes a thousand tokens in some 20 ms, and Python needs ten times that to launch the
kernels, adapter layers being many and small. So on CUDA a shape that comes a second time is captured as a graph and
replayed from then on. Shapes are rounded up, so that there are few of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from ..prompt import IGNORED
from .rows import Row

#: Positions whose logits are in memory at once: 256 x 128,256 x 4 bytes are 131 MB.
_CHUNK = 256
#: What widths and numbers of supervised positions are rounded up to where graphs are used.
_WIDTHS, _POSITIONS = 32, 256


class Batch(NamedTuple):
    """A micro-batch as tensors.

    ``ids`` [rows, width], padded on the right, where causal attention never looks. ``positions`` [supervised] index
    the flattened [rows * width] hidden states from which a label is predicted; ``targets`` [supervised] are the labels,
    ``IGNORED`` where the batch was filled up.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    targets: torch.Tensor


def make_batch(rows: Sequence[Row], pad: int, *, size: int = 0, rounded: bool = False) -> Batch:
    """Rows as tensors on the CPU. ``rounded`` fills up to ``size`` rows and to round widths and positions."""
    width = max(len(row.ids) for row in rows)
    width = -(-width // _WIDTHS) * _WIDTHS if rounded else width
    ids = [row.ids + [pad] * (width - len(row.ids)) for row in rows]
    ids += [[pad] * width] * (size - len(rows) if rounded else 0)
    positions, targets = [], []
    for number, row in enumerate(rows):
        for index, label in enumerate(row.labels):
            if label != IGNORED:
                positions.append(number * width + index - 1)
                targets.append(label)
    missing = -len(positions) % _POSITIONS if rounded else 0
    places, labels = positions + [0] * missing, targets + [IGNORED] * missing
    return Batch(*(torch.tensor(values, dtype=torch.long) for values in (ids, places, labels)))


class CompletionLoss(torch.nn.Module):  # type: ignore[misc]
    """The sum of the cross entropies at the supervised positions of a :class:`Batch`.

    A module, so that DistributedDataParallel sees the whole forward pass. The head is applied at those positions and
    nowhere else: of [rows, width, vocabulary] logits only [supervised, vocabulary] are ever computed.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor, positions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        core = self.model.get_base_model()
        width = ids.shape[1]
        # A mask of our own: without one transformers looks for packed rows, which makes the host wait for the device.
        causal = torch.ones(width, width, dtype=torch.bool, device=ids.device).tril()[None, None]
        output = core.model(input_ids=ids, attention_mask=causal, use_cache=False)
        hidden = output.last_hidden_state.flatten(0, 1)[positions]  # [supervised, hidden]
        if type(core.lm_head) is torch.nn.Linear and core.lm_head.bias is None:
            return _FrozenHead.apply(hidden, core.lm_head.weight, targets)
        return F.cross_entropy(core.lm_head(hidden).float(), targets, reduction="sum")


class _FrozenHead(torch.autograd.Function):  # type: ignore[misc]
    """Cross entropy through an output head that is not trained, so that its gradient is known in the forward pass
    already: (softmax - one hot) x weight. Logits are made for a chunk of positions and forgotten."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """``hidden`` [positions, width], ``weight`` [vocabulary, width], ``targets`` [positions]."""
        total = torch.zeros((), device=hidden.device)
        gradient = torch.empty(hidden.shape, device=hidden.device)  # float32: unscaled, it would be lost in float16
        for start in range(0, len(targets), _CHUNK):
            part = slice(start, start + _CHUNK)
            labels = targets[part]
            real = labels != IGNORED
            logits = (hidden[part].to(weight.dtype) @ weight.T).float()  # [chunk, vocabulary]
            logarithms = logits.log_softmax(-1)
            known = labels.clamp_min(0)[:, None]
            total -= (logarithms.gather(1, known)[:, 0] * real).sum()
            slope = logarithms.exp_()
            slope.scatter_add_(1, known, torch.full_like(known, -1, dtype=slope.dtype))
            slope *= real[:, None]
            gradient[part] = slope.to(weight.dtype) @ weight
        ctx.save_for_backward(gradient)
        ctx.dtype = hidden.dtype
        return total

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return (gradient * grad).to(ctx.dtype), None, None


class Stepper:
    """Runs micro-batches forward and backward; gradients add up in the parameters' ``grad``.

    ``loss`` is the prepared :class:`CompletionLoss`, ``backward`` what takes its weighed value. With ``graphs`` a shape
    runs as it is the first time, is captured the second time and replayed from then on; what cannot be captured goes
    on as it is, and ``note`` says why.
    """

    def __init__(
        self, loss: Callable[..., torch.Tensor], backward: Callable[[torch.Tensor], None], device: Any, graphs: bool
    ) -> None:
        self._loss = loss
        self._backward = backward
        self._device = device
        self.graphs = graphs
        self.note = ""
        self._seen: set[tuple[int, ...]] = set()
        self._captured: dict[tuple[int, ...], _Captured] = {}
        self._pool = torch.cuda.graph_pool_handle() if graphs else None

    def run(self, batch: Batch, weight: float) -> torch.Tensor:
        """Add the gradients of ``weight`` times the loss of ``batch``; the weighed loss, on the device."""
        if not self.graphs:
            return self._plain(Batch(*(tensor.to(self._device) for tensor in batch)), weight)
        shape = (*batch.ids.shape, len(batch.positions))
        if shape not in self._captured and shape in self._seen:
            self._capture(shape, batch)
        self._seen.add(shape)
        if shape in self._captured:
            return self._captured[shape].replay(batch, weight)
        return self._plain(Batch(*(tensor.to(self._device) for tensor in batch)), weight)

    def _plain(self, batch: Batch, weight: float | torch.Tensor) -> torch.Tensor:
        loss = self._loss(*batch) * weight
        self._backward(loss)
        return loss.detach()

    def _capture(self, shape: tuple[int, ...], batch: Batch) -> None:
        inputs = Batch(*(tensor.to(self._device) for tensor in batch))
        weight = torch.ones((), device=self._device)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self._pool, stream=torch.cuda.current_stream()):
                loss = self._plain(inputs, weight)
        except RuntimeError as error:
            self.graphs = False
            self.note = f"steps are not captured as CUDA graphs: {str(error).splitlines()[0]}"
            return
        self._captured[shape] = _Captured(graph, inputs, weight, loss)


class _Captured(NamedTuple):
    """A graph with the tensors that it reads and writes."""

    graph: Any
    inputs: Batch
    weight: torch.Tensor
    loss: torch.Tensor

    def replay(self, batch: Batch, weight: float) -> torch.Tensor:
        for tensor, value in zip(self.inputs, batch, strict=True):
            tensor.copy_(value, non_blocking=True)
        self.weight.fill_(weight)
        self.graph.replay()
        return self.loss
