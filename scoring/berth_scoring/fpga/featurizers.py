"""The networks whose first stage a device runs: what goes in, what comes out, and under which names."""

from collections.abc import Mapping
from dataclasses import dataclass

CHANNELS = 3
PLACEHOLDER = "Placeholder:0"
"""What clients call the images who read the outputs by their names in the graph."""

IMAGENET_MEANS = (123.68, 116.78, 103.94)
SSD_BLOCKS = (4, 7, 8, 9, 10, 11)


@dataclass(frozen=True, slots=True, kw_only=True)
class Featurizer:
    """One network; shapes are those of a single image, in the order height, width, channels."""

    name: str
    side: int = 224
    """Height and width of the image, in pixels."""
    features: tuple[int, ...] = ()
    """The shape of what a classifier takes; empty where none follows."""
    outputs: tuple[str, ...]
    """The tensors of the stock network, its own classifier included."""
    inputs: tuple[str, ...] = (PLACEHOLDER,)
    """Names in the graph for the images, beside the alias."""
    means: tuple[float, float, float] = IMAGENET_MEANS
    """What is taken from red, green and blue, each from 0 to 255."""
    scale: float = 1.0
    """What the rest is multiplied by."""
    margin: float = 32 / 256
    """What is cut off each dimension around the middle square; without it the whole image is squeezed."""

    @property
    def image(self) -> tuple[int, int, int]:
        """The shape of one image."""
        return self.side, self.side, CHANNELS


FEATURIZERS: Mapping[str, Featurizer] = {
    each.name: each
    for each in (
        Featurizer(
            name="ResNet50",
            features=(1, 1, 2048),
            outputs=("classifier_1/resnet_v1_50/predictions/Softmax:0",),
        ),
        Featurizer(
            name="ResNet152",
            features=(1, 1, 2048),
            outputs=("classifier/resnet_v1_152/predictions/Softmax:0",),
        ),
        Featurizer(
            name="DenseNet121",
            features=(1, 1, 1024),
            outputs=("classifier/densenet121/predictions/Softmax:0",),
            scale=0.017,
        ),
        Featurizer(name="VGG16", features=(1, 1, 4096), outputs=("classifier/vgg_16/fc8/squeezed:0",)),
        Featurizer(
            name="SSDVGG",
            side=300,
            outputs=tuple(
                f"ssd_300_vgg/block{block}_box/{tensor}:0"
                for tensor in ("Reshape_1", "Reshape")
                for block in SSD_BLOCKS
            ),
            inputs=(PLACEHOLDER, "brainwave_ssd_vgg_1_Version_0.1_input_1:0"),
            means=(123.0, 117.0, 104.0),
            margin=0.0,
        ),
    )
}
