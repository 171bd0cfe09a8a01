"""Networks with random weights: deterministic, nested, at the sparsities asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.graph import reference
from codegen.graph.ir import NEVER, Graph
from codegen.graph.ops.conv2d import Conv2D
from codegen.graph.ops.linear import Linear
from codegen.graph.verify import verify
from nestnet.preview.untrained import untrained

torch.set_num_threads(1)

LEVELS = (0.9, 0.7, 0.5)


def bytes_of(graph: Graph, path: Path) -> bytes:
    nestfile.save(graph, path)
    return path.read_bytes()


def test_same_seed_same_bytes_and_other_seed_other_bytes(tmp_path: Path) -> None:
    torch.manual_seed(99)  # nothing outside may matter
    first = bytes_of(untrained("digits_cnn", sparsity=LEVELS, seed=3), tmp_path / "a")
    state = torch.random.get_rng_state()
    again = bytes_of(untrained("digits_cnn", sparsity=LEVELS, seed=3), tmp_path / "b")
    assert torch.equal(state, torch.random.get_rng_state()), "the caller's generator moved"
    assert first == again
    assert first != bytes_of(untrained("digits_cnn", sparsity=LEVELS, seed=4), tmp_path / "c")


@pytest.mark.parametrize("allocation", ["global", "uniform"])
@pytest.mark.parametrize("group", ["1x1", "1x2", "1x4"])
def test_levels_have_the_sparsities_asked_for(group: str, allocation: str) -> None:
    graph = untrained("digits_cnn", sparsity=LEVELS, group=group, allocation=allocation)
    verify(graph)
    assert [level.sparsity for level in graph.levels] == pytest.approx(LEVELS, abs=0.01)
    nested = [
        op for op in graph.ops if isinstance(op, Conv2D | Linear) and op.group_level is not None
    ]
    assert len(nested) == 3
    assert {op.group_size for op in nested} == {int(group[-1])}
    for op in nested:
        assert op.group_level is not None
        shares = [float((op.group_level > level).mean()) for level in range(len(LEVELS))]
        assert shares == pytest.approx(LEVELS, abs=0.02 if allocation == "uniform" else 0.08)
        assert set(np.unique(op.group_level)) <= {0, 1, 2, NEVER}


def test_latency_allocation_keeps_the_sparsities_and_runs_fewer_macs() -> None:
    macs: dict[str, list[int]] = {}
    for allocation in ("global", "latency"):
        graph = untrained("resnet8", sparsity=LEVELS, allocation=allocation)
        assert [level.sparsity for level in graph.levels] == pytest.approx(LEVELS, abs=0.01)
        macs[allocation] = [
            sum(op.macs(graph, level) for op in graph.ops) for level in range(len(LEVELS))
        ]
    assert all(m < 0.8 * g for m, g in zip(macs["latency"], macs["global"], strict=True))


def test_every_level_computes_something_of_its_own() -> None:
    graph = untrained("digits_cnn", sparsity=LEVELS, seed=5)
    images = np.random.default_rng(5).integers(-128, 128, (4, 8, 8, 1)).astype(np.int8)
    outputs = [reference.run_one(graph, images, level) for level in range(len(LEVELS))]
    for output in outputs:
        assert len(np.unique(output)) > 10, "activation ranges do not fit: outputs collapse"
    assert not np.array_equal(outputs[0], outputs[2])


def test_sparsity_zero_alone_is_dense() -> None:
    graph = untrained("digits_cnn", sparsity=(0.0,))
    assert [level.sparsity for level in graph.levels] == [0.0]
    assert all(op.group_level is None for op in graph.ops if isinstance(op, Conv2D | Linear))


def test_shapes_and_models_of_the_user(tmp_path: Path) -> None:
    other = untrained("digits_cnn", sparsity=(0.5,), input_shape=(11, 7, 3), classes=5)
    assert other.only_input.shape == (11, 7, 3)
    assert other.only_output.shape == (1, 1, 5)
    path = tmp_path / "my-net.py"
    path.write_text(
        "from torch import nn\n"
        "def make(shape, classes):\n"
        "    return nn.Sequential(nn.Conv2d(shape[2], 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 3),\n"
        "        nn.Flatten(), nn.Linear(8 * (shape[0] - 4) * (shape[1] - 4), classes))\n"
    )
    own = untrained(f"{path}:make", sparsity=(0.5,), input_shape=(7, 9, 2), classes=3)
    assert own.name == "my_net_make_untrained"
    assert own.only_output.shape == (1, 1, 3)
    with pytest.raises(UserError, match=r"--input-shape"):
        untrained(f"{path}:make", sparsity=(0.5,))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sparsity": (0.5, 0.9)}, "strictly nested"),
        ({"sparsity": (0.5,), "group": "2x2"}, "group"),
        ({"sparsity": (0.5,), "seed": -1}, "seed"),
        ({"sparsity": (0.99999, 0.99998, 0.99997)}, "too few groups"),
    ],
)
def test_options_that_make_no_network(options: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        untrained("digits_cnn", **options)  # type: ignore[arg-type]
