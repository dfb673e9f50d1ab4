"""Serve the two graphs of a pipeline over gRPC, as users of the SDK do.

    serve.py FEATURIZER CLASSIFIER HTTP_PORT GRPC_PORT FOLDER

Before it serves it writes one call of each kind, as bytes, into the folder: `value` and `array`.
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
from kserve import InferInput, InferOutput, InferRequest, InferResponse, Model, ModelServer

SHAPE = (1, 224, 224, 3)
VALUE = np.float32(7)


class Pipeline(Model):
    """Takes an array of images, or one value for all of it."""

    def __init__(self, featurizer: str, classifier: str) -> None:
        super().__init__("flowers-fpga")
        self._featurizer, self._classifier = session(featurizer), session(classifier)
        self.ready = True

    async def predict(self, payload: InferRequest, headers: dict | None = None) -> InferResponse:
        given = payload.inputs[0].as_numpy()
        images = np.broadcast_to(given, SHAPE) if given.size == 1 else given
        (features,) = self._featurizer.run(None, {"image": np.ascontiguousarray(images)})
        (scores,) = self._classifier.run(None, {"x": features.reshape(len(features), -1)})
        output = InferOutput("output_alias", list(scores.shape), "FP32")
        output.set_data_from_numpy(scores, binary_data=True)
        return InferResponse(payload.id or "0", self.name, [output])


def session(path: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def message(images: np.ndarray) -> bytes:
    given = InferInput("images", list(images.shape), "FP32")
    given.set_data_from_numpy(images, binary_data=True)
    return InferRequest("flowers-fpga", [given]).to_grpc().SerializeToString()


def main(featurizer: str, classifier: str, http_port: str, grpc_port: str, folder: str) -> None:
    (Path(folder) / "value").write_bytes(message(np.full((1,), VALUE)))
    (Path(folder) / "array").write_bytes(message(np.full(SHAPE, VALUE)))
    server = ModelServer(
        http_port=int(http_port), grpc_port=int(grpc_port), workers=1, enable_latency_logging=False
    )
    server.start([Pipeline(featurizer, classifier)])


if __name__ == "__main__":
    main(*sys.argv[1:])
