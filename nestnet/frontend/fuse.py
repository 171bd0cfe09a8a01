"""Fuse a raw op list into the stages of the integer graph.

conv/linear + batch norm + (conv only) addition of another tensor + activation become one stage, so
that fake quantization during training happens exactly where the firmware rounds.
"""

from __future__ import annotations

from dataclasses import replace

from nestnet.frontend.stages import (
    Activation,
    Add,
    Clip,
    Conv,
    Linear,
    MaxPool,
    Network,
    Norm,
    Stage,
    Tensor,
    stage_inputs,
)


def fuse(network: Network) -> Network:
    """Return ``network`` with norms, additions and activations fused into their producers.

    - A batch norm that follows anything but a convolution or linear layer (or one whose result is
      used elsewhere too) becomes a 1x1 depthwise convolution with the constant weight 1.
    - An addition is fused into the convolution with the most weights whose result it alone uses.
    - An activation after a max pool moves in front of it, where it can be fused: both are monotone.
    """
    stages = list(network.stages)
    stages = _fuse_norms(stages, network)
    stages = _fuse_adds(stages, network)
    stages = _fuse_activations(stages, network)
    return replace(network, stages=tuple(stages), tensors=_live_tensors(stages, network))


def _uses(stages: list[Stage], network: Network) -> dict[str, int]:
    """Count the readers of every tensor; the caller of the network counts as one."""
    uses: dict[str, int] = {network.output: 1}
    for stage in stages:
        for name in stage_inputs(stage):
            uses[name] = uses.get(name, 0) + 1
    return uses


def _producers(stages: list[Stage]) -> dict[str, int]:
    return {stage.output: index for index, stage in enumerate(stages)}


def _fuse_norms(stages: list[Stage], network: Network) -> list[Stage]:
    uses = _uses(stages, network)
    fused: list[Stage] = []
    for stage in stages:
        if not isinstance(stage, Norm):
            fused.append(stage)
            continue
        index = _producers(fused).get(stage.input)
        producer = fused[index] if index is not None else None
        if (
            index is not None
            and isinstance(producer, Conv | Linear)
            and producer.norm is None
            and uses[stage.input] == 1
        ):
            fused[index] = replace(producer, norm=stage.params, output=stage.output)
            continue
        fused.append(
            Conv(
                name=stage.name,
                input=stage.input,
                output=stage.output,
                weight=None,
                bias=None,
                kernel=(1, 1),
                stride=(1, 1),
                padding=(0, 0, 0, 0),
                groups=network.tensor(stage.input).shape[2],
                norm=stage.params,
            )
        )
    return fused


def _weight_count(conv: Conv, network: Network) -> int:
    in_c = network.tensor(conv.input).shape[2]
    out_c = network.tensor(conv.output).shape[2]
    return out_c * conv.kernel[0] * conv.kernel[1] * (in_c // conv.groups)


def _fuse_adds(stages: list[Stage], network: Network) -> list[Stage]:
    """Fuse each addition into one producing convolution, which moves to the addition's place."""
    uses = _uses(stages, network)
    fused: list[Stage] = []
    for stage in stages:
        if not isinstance(stage, Add):
            fused.append(stage)
            continue
        producers = _producers(fused)
        candidates: list[tuple[int, int, Conv, str]] = []
        for mine, other in (stage.inputs, stage.inputs[::-1]):
            index = producers.get(mine)
            producer = fused[index] if index is not None else None
            if (
                index is not None
                and isinstance(producer, Conv)
                and producer.residual is None
                and uses[mine] == 1
            ):
                candidates.append((_weight_count(producer, network), index, producer, other))
        if not candidates:
            fused.append(stage)
            continue
        _, index, conv, other = max(candidates, key=lambda item: item[:2])
        del fused[index]
        fused.append(replace(conv, residual=other, output=stage.output))
    return fused


def _fuse_activations(stages: list[Stage], network: Network) -> list[Stage]:
    uses = _uses(stages, network)
    fused: list[Stage] = []
    for stage in stages:
        if not isinstance(stage, Activation):
            fused.append(stage)
            continue
        index = _producers(fused).get(stage.input)
        if index is None or uses[stage.input] != 1:
            fused.append(stage)
            continue
        producer = fused[index]
        if isinstance(producer, Conv | Linear | Add | Activation):
            fused[index] = _with_act(producer, stage.act, stage.output)
            continue
        if isinstance(producer, MaxPool) and uses[producer.input] == 1:
            before = _producers(fused).get(producer.input)
            maker = fused[before] if before is not None else None
            if before is not None and isinstance(maker, Conv | Linear | Add | Activation):
                fused[before] = _with_act(maker, stage.act, maker.output)
                fused[index] = replace(producer, output=stage.output)
                continue
        fused.append(stage)
    return fused


def moved_activations(network: Network) -> set[str]:
    """Return the tensors of a fused network that hold what an unfused one computes nowhere: the
    inputs of max pools to which an activation has moved from behind the pool."""
    return {
        stage.input
        for stage in network.stages
        if isinstance(stage, MaxPool) and stage.output != stage.name
    }


def _with_act(
    stage: Conv | Linear | Add | Activation, act: Clip, output: str
) -> Conv | Linear | Add | Activation:
    merged = act if stage.act is None else stage.act.then(act)
    return replace(stage, act=merged, output=output)


def _live_tensors(stages: list[Stage], network: Network) -> tuple[Tensor, ...]:
    names = {network.input} | {stage.output for stage in stages}
    return tuple(tensor for tensor in network.tensors if tensor.name in names)


def macs(network: Network) -> int:
    """Return the multiply-accumulates of one dense inference (convolutions and linear layers)."""
    total = 0
    for stage in network.stages:
        if isinstance(stage, Conv) and stage.weight is not None:
            h, w, _ = network.tensor(stage.output).shape
            total += h * w * _weight_count(stage, network)
        elif isinstance(stage, Linear):
            in_c = network.tensor(stage.input).shape[2]
            total += in_c * network.tensor(stage.output).shape[2]
    return total
