"""Build the graph of a ResNet-50 without its last layer, with weights that are drawn from a seed.

Shape, size and speed are those of the real network, but nobody has trained it: its features tell apart what
differs in colours and edges. docs/fpga.md says where trained weights come from.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 224
FEATURES = 2048
BRIGHTNESS = 64  # colours come as 0 to 255 less their mean
STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # width, blocks, stride of the first
EXPANSION = 4


def build(seed=0):
    """Return the network: images by channels, height, width in, 1 x 1 x 2048 features out, for any batch."""
    network = _Network(seed)
    stem = network.convolution("images", 3, 64, 7, stride=2, gain=1 / BRIGHTNESS)
    shape = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    last, channels = network.add("MaxPool", network.relu(stem), **shape), 64
    for width, blocks, stride in STAGES:
        for block in range(blocks):
            last = network.bottleneck(last, channels, width, stride if block == 0 else 1)
            channels = EXPANSION * width
    last = network.add("GlobalAveragePool", last)
    network.nodes.append(helper.make_node("Transpose", [last], ["features"], perm=[0, 2, 3, 1]))
    return network.model()


def save(path, seed=0):
    """Write the network to a file, which appears whole or not at all."""
    partial = Path(f"{path}.partial")
    onnx.save(build(seed), partial)
    partial.rename(path)


class _Network:
    """A graph that grows from its input to its output; normalization is part of the convolutions."""

    def __init__(self, seed):
        self.nodes = []
        self._weights = []
        self._random = np.random.default_rng(seed)

    def add(self, kind, *inputs, **attributes):
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def relu(self, given):
        return self.add("Relu", given)

    def convolution(self, given, channels, width, kernel, *, stride=1, gain=1.0):
        weights = self._random.standard_normal((width, channels, kernel, kernel), np.float32)
        weights *= gain * np.sqrt(2 / weights[0].size)  # keeps the strength of signals, after He
        names = [f"{part}_{len(self.nodes)}" for part in ("weight", "bias")]
        for name, value in zip(names, (weights, np.zeros(width, np.float32)), strict=True):
            self._weights.append(numpy_helper.from_array(value, name))
        around = [kernel // 2] * 4
        return self.add(
            "Conv", given, *names, kernel_shape=[kernel, kernel], strides=[stride, stride], pads=around
        )

    def bottleneck(self, given, channels, width, stride):
        """Add a block: narrow, look around, widen, and add what came in."""
        narrow = self.relu(self.convolution(given, channels, width, 1))
        seen = self.relu(self.convolution(narrow, width, width, 3, stride=stride))
        wide = self.convolution(seen, width, EXPANSION * width, 1, gain=0.5)
        if channels != EXPANSION * width:
            given = self.convolution(given, channels, EXPANSION * width, 1, stride=stride, gain=0.7)
        return self.relu(self.add("Add", wide, given))

    def model(self):
        images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])
        features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 1, 1, FEATURES])
        graph = helper.make_graph(self.nodes, "resnet50", [images], [features], self._weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
