"""Write ``model.nestnet``: the integer graph of a trained network with its levels' accuracies."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph.ir import NAME_CHARACTERS, Graph, Level, Provenance, Setting, TaskRecord
from nestnet.exporting.exporter import export
from nestnet.net.network import NestedNet, PrunableLayer
from nestnet.notices import notice
from nestnet.runfiles import write_atomic
from nestnet.runs import CHECKPOINT, MODEL
from nestnet.sparsity.prune import achieved_sparsity
from nestnet.tasks import Answers, Task
from nestnet.version import VERSION

MOST_DECIMALS = 4
"""Of a per cent in the name of a level."""


def write_model(
    network: NestedNet,
    layers: Mapping[str, PrunableLayer],
    run: Path,
    *,
    model: str,
    dataset: str,
    class_names: tuple[str, ...],
    task: Task,
    trained: Callable[[int], Answers],
    accuracy_float: Sequence[float],
    accuracy_quantized: Sequence[float],
    flash_budget_bytes: int | None = None,
    codecs: str | None = None,
) -> Path:
    """Export a quantized ``network`` into the run folder ``run``, replacing the file atomically.

    Args:
        network: fake quantization on, activation ranges measured.
        layers: the pruned layers, from which the levels' achieved sparsity is counted.
        run: folder that holds the run's final checkpoint, whose hash the file records.
        model: the model's name.
        dataset: the data set's title.
        class_names: one per logit.
        task: what it was trained for.
        trained: gives a level's answers to the training images.
        accuracy_float: per level, before quantization.
        accuracy_quantized: per level, fake-quantized.
        flash_budget_bytes: what weights and tables were pruned to fit; None without a budget.
        codecs: what it was reckoned with; None without a budget.

    Returns:
        The file's path.
    """
    pruned = achieved_sparsity(layers, network.n_levels)
    levels = tuple(
        Level(*values)
        for values in zip(
            level_names(pruned), pruned, accuracy_float, accuracy_quantized, strict=True
        )
    )
    provenance = Provenance(
        nestnet_version=VERSION,
        parent_sha256=nestfile.file_sha256(run / CHECKPOINT),
        model=model,
        dataset=dataset,
        class_names=class_names,
        flash_budget_bytes=flash_budget_bytes,
        codecs=codecs,
    )
    meanings = task.meanings(network.output_shapes)
    graph = export(network, levels, provenance, c_identifier(run.name), meanings)
    graph = with_task(graph, task, trained)
    if not task.fits(graph):
        notice(
            f"a device cannot make answers of the outputs: their numbers are beyond the limits of "
            f"the task {task.name}; the file holds the network all the same"
        )
    write_atomic(run / MODEL, nestfile.to_bytes(graph))
    return run / MODEL


def with_task(graph: Graph, task: Task, trained: Callable[[int], Answers] | None = None) -> Graph:
    """Return ``graph`` with its task recorded, and the numbers a device needs for it.

    ``trained`` gives a level's answers to the training images; see :meth:`Task.settings`.
    """
    numbers = task.settings(graph, trained)
    settings = (Setting(name, tuple(map(float, values))) for name, values in numbers.items())
    return replace(graph, task=TaskRecord(task.name, tuple(settings)))


def finished(run: Path) -> Graph | None:
    """Return the network of ``run`` if it was written from the checkpoint beside it, else None."""
    try:
        graph = nestfile.load(run / MODEL)
    except UserError:
        return None
    made_from = graph.provenance.parent_sha256
    return graph if made_from == nestfile.file_sha256(run / CHECKPOINT) else None


def level_names(sparsity: Sequence[float]) -> tuple[str, ...]:
    """Return what reports call the levels: their sparsity, as exact as tells them apart."""
    for decimals in range(MOST_DECIMALS):
        names = tuple(f"sparsity {share:.{decimals}%}" for share in sparsity)
        if len(set(names)) == len(names):
            return names
    return tuple(f"sparsity {share:.0%}, level {level}" for level, share in enumerate(sparsity))


def c_identifier(name: str) -> str:
    """Return ``name`` as a C identifier in lower case, of a length C compilers tell apart."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower())[:NAME_CHARACTERS].strip("_")
    return plain if plain[:1].isalpha() else f"net_{plain}".rstrip("_")
