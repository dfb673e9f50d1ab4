"""Train a classifier on what a ResNet-50 makes of flowers; save both, and a flower of each kind.

uv run --group examples python examples/flowers/train.py examples/flowers/out
"""

import io
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import resnet50
from drawings import FLOWERS, jpeg
from PIL import Image
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

MEANS = np.array([123.68, 116.78, 103.94], np.float32)  # of red, green and blue
MARGIN = 1 / 8


def prepare(data):
    """Turn a JPEG into what the network takes, as Berth does: the middle square, colours less their means."""
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", (256, 256))
    kept = min(image.size) * (1 - MARGIN)
    left, top = ((length - kept) / 2 for length in image.size)
    square = image.convert("RGB").resize(
        (resnet50.SIDE, resnet50.SIDE), Image.Resampling.BILINEAR, box=(left, top, left + kept, top + kept)
    )
    return (np.asarray(square, np.float32) - MEANS).transpose(2, 0, 1)


def features_of(network, images):
    """Return a row of 2048 numbers for each JPEG."""
    rows = [network.run(["features"], {"images": prepare(data)[None]})[0].ravel() for data in images]
    return np.stack(rows)


def drawn(each, random):
    """Return so many drawings of each flower, and their names."""
    names = list(FLOWERS) * each
    return [jpeg(name, random) for name in names], names


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    known, known_names = drawn(12, random)
    unseen, unseen_names = drawn(6, random)
    for name, data in zip(unseen_names, unseen, strict=True):
        (folder / f"{name}.jpg").write_bytes(data)

    resnet50.save(folder / "resnet50.onnx")
    network = onnxruntime.InferenceSession(folder / "resnet50.onnx")
    features = features_of(network, known)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(features, known_names)
    accuracy = model.score(features_of(network, unseen), unseen_names)
    print(f"accuracy on drawings that it has not seen: {accuracy:.3f}")

    # zipmap=False: probabilities as one tensor instead of a list of dictionaries.
    onnx = to_onnx(model, features[:1], options={"zipmap": False})
    (folder / "classifier.onnx").write_bytes(onnx.SerializeToString())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
