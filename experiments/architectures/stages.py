"""Take one architecture as far as it goes: from its module to the emulated core."""

from __future__ import annotations

import copy
import math
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import nestnet
from codegen import flow
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph import reference
from experiments.architectures.catalogue import Architecture, Shape
from nestnet.frontend.problems import CannotExpress
from nestnet.frontend.tracing import trace
from nestnet.net.network import NestedNet, PrunableLayer, predict, to_float_input
from nestnet.sparsity.prune import check_prunable, prune
from nestnet.training.phases import measure_statistics

SEED = 0
IMAGES = 16
"""Random images that statistics and ranges are measured on, and the int8 network is judged by."""
ON_CORE = 2
"""Of them, how many run on the emulated core."""
GROUP_SIZE = 4
LEVELS = 3
KEPT_WEIGHTS = 2_200_000
"""Most weights of the densest level: what fits the flash of the emulated board."""
BOARD = "qemu_m4"


@dataclass
class Row:
    """What is known of one architecture."""

    name: str
    input: str
    parameters: int = 0
    stage: str = "none"
    """The last one it passed."""
    difference: float | None = None
    """Largest difference of the nested network in float, as a share of the largest output."""
    sparsity: tuple[float, ...] = ()
    sqnr_db: tuple[float, ...] = ()
    """Of the int8 outputs against float, per level."""
    dense_db: float | None = None
    """The same of the network before it is pruned."""
    plain_db: float | None = None
    """The same of :func:`plain_rounding_db`, of that network, too."""
    flash_bytes: int | None = None
    ram_bytes: int | None = None
    bit_exact: bool | None = None
    instructions: tuple[int, ...] = ()
    blockers: str = ""
    """Operators that cannot be expressed, with counts."""
    refusal: str = ""
    """The message of whatever else is refused; of blockers, all of it."""
    failure: str = ""
    """What went wrong that must not: a traceback's end."""
    seconds: float = 0.0


@dataclass
class Work:
    """What one stage leaves to the next."""

    architecture: Architecture
    folder: Path
    row: Row
    module: nn.Module
    images: tuple[NDArray[np.uint8], ...]
    """(n, h, w, c) of each input."""
    fed: tuple[Tensor, ...]
    """The same as the module is fed it."""
    net: NestedNet = field(init=False)
    device: tuple[NDArray[np.int8], ...] = field(init=False)

    @property
    def file(self) -> Path:
        """The network's file."""
        return self.folder / f"{self.architecture.name}.nestnet"


def random_images(shape: Shape) -> NDArray[np.uint8]:
    """Return images (n, h, w, c): a brightness, a slope and noise, different in each; samples in a
    row are images of height 1."""
    random = np.random.default_rng(SEED)
    h, w, c = (1, *shape)[-3:]
    y, x = np.linspace(-1, 1, h)[:, None, None], np.linspace(-1, 1, w)[None, :, None]
    level, dy, dx = (random.normal(0, size, (IMAGES, 1, 1, c)) for size in (40, 30, 30))
    noise = random.normal(0, 25, (IMAGES, h, w, c))
    return np.clip(128 + level + dy * y + dx * x + noise, 0, 255).astype(np.uint8)


def fed(images: NDArray[np.uint8], shape: Shape) -> Tensor:
    """Return ``images`` as a module of inputs of ``shape`` is fed them."""
    batch = to_float_input(images).contiguous()
    return batch if len(shape) == 3 else batch.squeeze(2)


def prepared(module: nn.Module, *inputs: Tensor) -> nn.Module:
    """Return ``module`` as if it had been trained: no parameter that starts at nothing is left
    there, every batch norm has the statistics of ``inputs``.

    Most activations stay above zero: with others, untrained batch norms make chaos of any rounding,
    which a trained network does not.
    """
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = 1.0
            if norm.affine:
                nn.init.uniform_(norm.weight, 0.3, 0.8)
                nn.init.uniform_(norm.bias, 0.3, 1.3)
        for name, value in module.named_parameters():
            if float(value.abs().max()) <= 1e-4:
                if name.endswith("bias"):
                    nn.init.normal_(value, 0, 0.1)
                elif value.dim() > 1 and len(value[0]) > 1:
                    nn.init.normal_(value, 0, value[0].numel() ** -0.5)
                else:
                    nn.init.uniform_(value, 0.5, 1.5)
        module.train()(*inputs)
    return module.eval()


def in_order_of(wanted: NDArray[Any], output: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return an ``output`` (n, h, w, c) with its axes in the order of a module's output ``wanted``:
    (n, c, h, w), (n, c, w) or, of tokens, (n, w, c)."""
    if wanted.ndim == 3 and wanted.shape[1:] == output.shape[2:]:
        return output
    return output.transpose(0, 3, 1, 2)


def dense_rounding_db(net: NestedNet, images: tuple[NDArray[np.uint8], ...]) -> float:
    """Return how near the outputs of ``net`` stay when it is quantized as it is."""
    dense = nestnet.quantize(copy.deepcopy(net), images)
    return ratio_db(flat(predict(net, images, 0)), flat(predict(dense, images, 0)))


def plain_rounding_db(module: nn.Module, inputs: tuple[Tensor, ...]) -> float:
    """Return how near the outputs of ``module`` stay when weights, by output channel, and the
    result of every layer are rounded to 255 steps: what an ordinary quantizer would reach.

    What is computed between layers is not rounded, and nothing is fused.
    """
    rounding = copy.deepcopy(module)

    def rounded(_module: nn.Module, _given: object, result: object) -> object:
        if not isinstance(result, Tensor):
            return result
        step = result.abs().max().clamp(min=1e-12) / 127
        return (result / step).round() * step

    with torch.no_grad():
        for part in rounding.modules():
            if not list(part.children()):
                part.register_forward_hook(rounded)
        for weight in rounding.parameters():
            if weight.dim() > 1:
                step = weight.flatten(1).abs().amax(1).clamp(min=1e-12) / 127
                step = step.view(-1, *[1] * (weight.dim() - 1))
                weight.copy_((weight / step).round() * step)
        return ratio_db(flat(module(*inputs)), flat(rounding(*inputs)))


def flat(outputs: Any) -> NDArray[np.float64]:
    """Return all outputs of each image, tensors or arrays (n, ...), in a row (n, values)."""
    parts = outputs if isinstance(outputs, list | tuple) else [outputs]
    rows = [np.asarray(part, np.float64).reshape(len(part), -1) for part in parts]
    return np.concatenate(rows, axis=1)


def sparsities(layers: Mapping[str, PrunableLayer], parameters: int) -> tuple[float, ...]:
    """Return the sparsity of each level: half at the densest, more where flash is too small for
    that and what is not pruned of all ``parameters``."""
    prunable = sum(layer.weight.numel() for layer in layers.values())
    kept = max(0.02, min(0.5, (KEPT_WEIGHTS - (parameters - prunable)) / prunable))
    return tuple(round(1 - kept * share, 3) for share in (0.4, 0.7, 1.0))


def _traced(work: Work) -> None:
    work.net = trace(work.module, work.architecture.shapes).eval()


def _equal(work: Work) -> None:
    """Compare the whole network in double precision."""
    inputs = tuple(each[:4].double() for each in work.fed)
    with torch.no_grad():
        wanted = flat(copy.deepcopy(work.module).double()(*inputs))
        got = flat(copy.deepcopy(work.net).double().logits(inputs))
    work.row.difference = float(np.abs(got - wanted).max() / max(np.abs(wanted).max(), 1e-12))


def _quantized(work: Work) -> None:
    """Prune by magnitude, give every level its statistics, quantize and export."""
    net, row = work.net, work.row
    row.dense_db = round(dense_rounding_db(net, work.images), 1)
    row.plain_db = round(plain_rounding_db(work.module, work.fed), 1)
    net.set_levels(LEVELS)
    layers = net.prunable()
    row.sparsity = sparsities(layers, row.parameters)
    check_prunable(layers, row.sparsity, GROUP_SIZE, "uniform")
    prune(layers, row.sparsity, 1.0, GROUP_SIZE, "uniform")
    batch: Any = (work.fed, torch.zeros(IMAGES, dtype=torch.long))
    measure_statistics(net, [batch])
    floats = [predict(net, work.images, level) for level in range(LEVELS)]
    nestnet.quantize(net.eval(), work.images)
    graph = nestfile.load(nestnet.export(net, work.file, model=row.name))
    work.device = tuple((each.astype(np.int16) - 128).astype(np.int8) for each in work.images)
    values = [graph.value(name) for name in graph.outputs]
    found = []
    for level, wanted in enumerate(floats):
        parts = wanted if isinstance(wanted, tuple) else (wanted,)
        real = [
            (in_order_of(part, output).astype(np.float64) - value.zero_point) * value.scale[level]
            for part, output, value in zip(
                parts, reference.run(graph, work.device, level), values, strict=True
            )
        ]
        found.append(round(ratio_db(flat(wanted), flat(real)), 1))
    row.sqnr_db = tuple(found)


def ratio_db(signal: NDArray[Any], rounded: NDArray[Any]) -> float:
    """Return the power of ``signal`` over that of its difference from ``rounded``, in dB."""
    noise = float(np.square(signal - rounded, dtype=np.float64).sum())
    power = float(np.square(signal, dtype=np.float64).sum())
    return 10 * math.log10(max(power, 1e-30) / max(noise, 1e-30))


def _built(work: Work) -> None:
    place = flow.codegen(work.file, BOARD, work.folder / "project", cycles=flow.ANALYTIC)
    sizes = flow.build(place).sizes
    work.row.flash_bytes, work.row.ram_bytes = sizes.flash_bytes, sizes.ram_bytes


def _run(work: Work) -> None:
    images = [each[:ON_CORE] for each in work.device]
    report = flow.run(work.file, BOARD, images, out=work.folder / "project")
    work.row.bit_exact = report.bit_exact
    work.row.instructions = tuple(level.instructions or 0 for level in report.levels)
    if report.differences:
        work.row.failure = f"bits differ: {report.differences[0]}"


STAGES: dict[str, Callable[[Work], None]] = {
    "trace": _traced, "float": _equal, "quantize": _quantized, "build": _built, "run": _run,
}  # fmt: skip


def examine(architecture: Architecture, last: str, folder: Path) -> dict[str, Any]:
    """Return the row of ``architecture``, taken through all stages up to ``last``.

    Args:
        architecture: what to build.
        last: one of :data:`STAGES`.
        folder: for its file and its project, which are removed again.
    """
    begin = time.monotonic()
    row = Row(
        architecture.name, ", ".join("x".join(map(str, shape)) for shape in architecture.shapes)
    )
    names = list(STAGES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        module = architecture.build()
        row.parameters = sum(value.numel() for value in module.parameters())
        images = tuple(random_images(shape) for shape in architecture.shapes)
        given = tuple(map(fed, images, architecture.shapes))
        try:
            prepared(module, *given)
            folder.mkdir(parents=True, exist_ok=True)
            work = Work(architecture, folder, row, module, images, given)
            for name in names[: names.index(last) + 1]:
                STAGES[name](work)
                row.stage = name
        except CannotExpress as error:
            row.blockers, row.refusal = error.summary, _without_folders(str(error))
        except UserError as error:
            row.refusal = _without_folders(str(error))
        except Exception as error:  # whatever it is, the others are to be looked at
            at = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(at.filename).name}:{at.lineno}"
            said = (str(error).splitlines() or [""])[0]
            row.failure = f"{type(error).__name__} at {place}: {said}"
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    row.seconds = round(time.monotonic() - begin, 1)
    return asdict(row)


def _without_folders(text: str) -> str:
    """Return ``text`` with paths of modules as they are imported, without where they lie."""
    for folder in sorted(filter(None, sys.path), key=len, reverse=True):
        text = text.replace(f"{folder}/", "")
    return text
