import json
import os
from pathlib import Path

import numpy
import onnxruntime


def init():
    global session
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(Path(os.environ["AZUREML_MODEL_DIR"]) / "model.onnx", options)


def run(data):
    rows = numpy.array(json.loads(data)["data"], dtype=numpy.float32)
    return session.run(["label"], {"X": rows})[0].tolist()
