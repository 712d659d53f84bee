"""Numbers of weights of the papers' networks, added up layer by layer from the papers' own descriptions."""

from __future__ import annotations

WIDTHS = (18, 36, 72, 144)  # of HRNetV2-W18's branches
TF = 256  # width of the transformer


def conv(inputs: int, outputs: int, kernel: int = 1, bias: bool = False) -> int:
    return inputs * outputs * kernel * kernel + (outputs if bias else 0)


def conv_bn(inputs: int, outputs: int, kernel: int = 1) -> int:
    return conv(inputs, outputs, kernel) + 2 * outputs


def bottleneck(inputs: int, planes: int, shortcut: bool) -> int:
    inner = conv_bn(inputs, planes) + conv_bn(planes, planes, 3) + conv_bn(planes, 4 * planes)
    return inner + (conv_bn(inputs, 4 * planes) if shortcut else 0)


def resnet50() -> int:
    """Stem and 3, 4, 6, 3 bottlenecks, without pooling and classifier."""
    total, inputs = conv_bn(3, 64, 7), 64
    for planes, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        total += bottleneck(inputs, planes, True) + (blocks - 1) * bottleneck(4 * planes, planes, False)
        inputs = 4 * planes
    return total


def hrnet_module(widths: tuple[int, ...]) -> int:
    """Four basic blocks a branch, then every branch to every resolution: 1x1 up, chains of strided 3x3 down."""
    total = sum(4 * 2 * conv_bn(w, w, 3) for w in widths)
    for to, w_to in enumerate(widths):
        for of, w_of in enumerate(widths):
            if of > to:
                total += conv_bn(w_of, w_to)
            elif of < to:
                total += (to - of - 1) * conv_bn(w_of, w_of, 3) + conv_bn(w_of, w_to, 3)
    return total


def hrnet_w18() -> int:
    """Stem, four bottlenecks, stages of 1, 4 and 3 modules with 2, 3 and 4 branches and the transitions to them."""
    total = conv_bn(3, 64, 3) + conv_bn(64, 64, 3)
    total += bottleneck(64, 64, True) + 3 * bottleneck(256, 64, False)
    total += conv_bn(256, 18, 3) + conv_bn(256, 36, 3)
    total += hrnet_module(WIDTHS[:2])
    total += conv_bn(36, 72, 3) + 4 * hrnet_module(WIDTHS[:3])
    return total + conv_bn(72, 144, 3) + 3 * hrnet_module(WIDTHS)


def hm_on_resnet50(landmarks: int) -> int:
    """Three deconvolutions 4x4 with batch norm and two 1x1 heads."""
    blocks = conv_bn(2048, 256, 4) + 2 * conv_bn(256, 256, 4)
    return resnet50() + blocks + 2 * conv(256, landmarks, bias=True)


def hm_on_hrnet(landmarks: int) -> int:
    """Two heads {1x1 270 -> 270 with bias; BN; ReLU; 1x1 -> K}."""
    head = conv(270, 270, bias=True) + 2 * 270 + conv(270, landmarks, bias=True)
    return hrnet_w18() + 2 * head


def tf_decoder(channels: int, landmarks: int) -> int:
    """Projection, queries, dynamic query, four layers with a projection per landmark, norm, head with two ends."""
    attention, norm = 4 * conv(TF, TF, bias=True), 2 * TF
    forward = conv(TF, 2048, bias=True) + conv(2048, TF, bias=True)
    layer = 2 * attention + 3 * norm + forward + landmarks * conv(TF, TF, bias=True)
    head = conv(TF, 512, bias=True) + conv(512, 512, bias=True) + 2 * conv(512, 2, bias=True)
    queries = landmarks * TF + conv(TF, landmarks * TF, bias=True)
    return conv(channels, TF, bias=True) + queries + 4 * layer + norm + head
