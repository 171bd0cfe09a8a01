"""The architectures: what each is called, what it is fed, who builds it.

Networks of timm have its names and widths; the others are written out in ``networks``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from codegen.errors import UserError
from experiments.architectures.networks import classifiers, detectors, maps, signals

CLASSES = 10
IMAGE, LARGE, SMALL = (64, 64, 3), (96, 96, 3), (32, 32, 3)
"""Input shapes (h, w, c)."""
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Architecture:
    """One row of the table."""

    name: str
    shape: Shape
    """Height, width, channels of an image; samples, channels of a window of samples in a row."""
    build: Callable[[], nn.Module]
    note: str = ""
    """Where it differs from what its name says."""
    more: tuple[Shape, ...] = ()
    """Shapes of further inputs."""

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Shapes of all inputs."""
        return (self.shape, *self.more)


def timm_version() -> str:
    """Return the version of timm.

    Raises:
        UserError: it is not installed.
    """
    try:
        return str(importlib.import_module("timm").__version__)
    except ImportError as error:
        raise UserError(
            "architectures",
            "the networks of timm cannot be built",
            got=f"{type(error).__name__}: {error}",
            expected="the Python package timm, with torchvision and huggingface_hub",
            action="Install it, beside the project: pip install timm",
        ) from error


def _created(name: str, options: dict[str, Any]) -> nn.Module:
    timm_version()
    timm: Any = importlib.import_module("timm")
    module: nn.Module = timm.create_model(name, num_classes=CLASSES, **options)
    return module


def _timm(
    name: str, shape: Shape = IMAGE, note: str = "", *, entry: str = "", **options: Any
) -> Architecture:
    """Return the row of a network of timm; ``entry`` is its name there, where it differs."""
    return Architecture(name, shape, partial(_created, entry or name, options), note)


def _own(
    name: str, shape: Shape, build: Callable[[], nn.Module], note: str = "", *more: Shape
) -> Architecture:
    return Architecture(name, shape, build, note, more)


_QUARTER: dict[str, Any] = {"channels": (16, 32, 64, 128), "stem_width": 16}
_TINY_VIT: dict[str, Any] = {
    "img_size": 32,
    "patch_size": 8,
    "embed_dim": 32,
    "depth": 1,
    "num_heads": 2,
}

FIRST = (
    _timm("resnet18", note="a quarter of its width", **_QUARTER),
    _timm("resnet26", note="a quarter of its width", **_QUARTER),
    _timm("mobilenetv2_035", LARGE),
    _timm("mobilenetv3_small_050", LARGE),
    _timm("tf_mobilenetv3_small_minimal_100"),
    _timm("spnasnet_100"),
    _timm("efficientnet_lite0"),
    _timm("tf_efficientnet_lite0"),
    _timm("mnasnet_050"),
    _timm("mnasnet_small"),
    _timm("ghostnet_050"),
    _timm("repvgg_a0", note="as it is trained, branches kept"),
    _timm("convnext_atto", note="dims 16, 32, 64, 128", dims=(16, 32, 64, 128)),
    _timm("regnetx_002"),
    _own("squeezenet1_1", IMAGE, classifiers.squeezenet),
    _own("shufflenet_v2_x0_5", IMAGE, classifiers.shufflenet),
    _own("densenet_tiny", SMALL, classifiers.densenet),
    _own("vgg_head7", IMAGE, partial(classifiers.vgg, 7, 128), "adaptive pool 4x4 to 7x7"),
    _own("vgg_head1", SMALL, partial(classifiers.vgg, 1, 64)),
    _own("mcunet", LARGE, classifiers.mcunet),
    _own("lenet5_tanh", (28, 28, 1), partial(classifiers.lenet5, nn.Tanh)),
    _own("lenet5_sigmoid", (28, 28, 1), partial(classifiers.lenet5, nn.Sigmoid)),
    _own("lenet5_relu", (28, 28, 1), partial(classifiers.lenet5, nn.ReLU)),
    _own("inception_blocks", SMALL, classifiers.inception_blocks),
    _own("tcn", (64, 3), signals.Tcn),
    _own("cnn_1d", (128, 3), signals.one_dimensional),
    _own("cnn_1xk", (1, 128, 3), signals.one_row),
    _own("ds_cnn_same", (49, 10, 1), signals.ds_cnn),
    _own("ad_autoencoder", (1, 1, 640), signals.dense_autoencoder),
    _own("unet_transposed", SMALL, partial(maps.UNet, maps.transposed)),
    _own("unet_nearest", SMALL, partial(maps.UNet, maps.nearest)),
    _own("fomo", LARGE, maps.fomo),
    _own("yolov3_tiny", IMAGE, detectors.YoloV3Tiny),
    _own("yolov5n", IMAGE, partial(detectors.Yolo, detectors.C3, False)),
    _own("yolov8n", IMAGE, partial(detectors.Yolo, detectors.C2f, True)),
    _own("ssd_mobilenetv2", LARGE, detectors.Ssd),
    _own("crnn_gru", (16, 64, 1), signals.Crnn),
    _timm("vit_tiny_block", SMALL, entry="vit_tiny_patch16_224", **_TINY_VIT),
)
"""What a user of microcontrollers is likely to bring."""

MORE = (
    _timm("efficientnet_b0"),
    _timm("lcnet_035"),
    _timm("tinynet_e"),
    _timm("hardcorenas_a"),
    _timm("fbnetc_100"),
    _timm("mobileone_s0", note="as it is trained, branches kept"),
    _own("leaky_cnn", SMALL, classifiers.leaky_net),
    _own("group_norm_cnn", SMALL, classifiers.group_norm_net),
    _own("map_logits", SMALL, classifiers.MapLogits),
    _own("normalizing_cnn", SMALL, classifiers.Normalizing),
    _own("resnet_option_a", SMALL, classifiers.option_a_resnet),
    _own("image_and_number", SMALL, classifiers.ImageAndNumber, "", (1, 1, 1)),
    _own("l2_embedding", SMALL, classifiers.Embedding),
    _own("keypoints_sigmoid", (32, 32, 1), maps.keypoints),
    _own("two_heads", SMALL, classifiers.TwoHeads),
    _own("dncnn", (16, 16, 1), maps.DnCNN),
    _own("espcn", (16, 16, 1), maps.espcn),
    _own("conv_autoencoder", (32, 32, 1), maps.autoencoder),
    _own("cnn_lstm", (64, 6), signals.ConvLstm),
    _own("eegnet", (8, 128, 1), signals.eegnet),
    _own("tc_resnet8", (1, 49, 40), signals.tc_resnet8),
    _own("bc_resnet", (40, 48, 1), signals.bc_resnet),
    _own("blazeface", IMAGE, detectors.BlazeFace),
    _own("mobilefacenet", (56, 56, 3), classifiers.mobilefacenet),
    _own("unet_bilinear", SMALL, partial(maps.UNet, maps.bilinear)),
    _own("alexnet", IMAGE, classifiers.alexnet),
    _timm("resnet18_full", entry="resnet18"),
    _own("googlenet", IMAGE, classifiers.googlenet),
    _timm("mobilenetv3_small_075", LARGE),
    _timm("mobilenetv2_050", LARGE),
    _timm("mnasnet_075"),
    _timm("densenet121", note="growth 8", growth_rate=8),
    _timm("levit_128s", img_size=64),
    _timm("mobilenet_edgetpu_v2_xs"),
    _timm("selecsls42"),
    _timm("inception_v3", LARGE),
    _timm("rexnet_100"),
    _timm("semnasnet_050"),
    _timm("dla34"),
    _timm("hrnet_w18_small"),
    _timm("efficientvit_m0", img_size=64),
    _timm("resnetv2_18", note="a quarter of its width", channels=(16, 32, 64, 128), stem_chs=16),
    _timm("mobilenetv1_100"),
    _timm("repvit_m0_9"),
    _timm("convmixer_768_32"),
    _timm("mixer_s32", entry="mixer_s32_224", img_size=64),
    _timm("poolformer_s12"),
    _timm("edgenext_xx_small"),
    _timm("mobilevit_xxs"),
    _timm("res2net50_14w_8s", note="narrow", channels=(16, 32, 64, 128), base_width=4),
    _timm("gernet_s"),
    _timm("hgnetv2_b0"),
    _timm("ese_vovnet19b_slim_dw"),
    _timm("seresnet18", note="a quarter of its width", **_QUARTER),
    _timm("mobilenetv4_conv_small_050"),
    _timm("starnet_s1"),
    _timm("fasternet_t0"),
    _timm("repghostnet_050"),
)
"""More of them, mostly from model collections."""

ALL = (*FIRST, *MORE)
