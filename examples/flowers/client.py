"""Ask a ModelDeployment for FPGA as Azure ML's clients did, with the messages of TensorFlow Serving.

kubectl port-forward service/flowers-fpga 8500:80 &
uv run examples/flowers/client.py localhost:8500 examples/flowers/out/rose.jpg
"""

# /// script
# requires-python = ">=3.11"
# dependencies = ["grpcio>=1.74", "tensorflow-protobuf==2.11.0", "tensorflow-serving-api==2.21.0"]
#
# [tool.uv]
# # It asks for all of TensorFlow, of which it imports messages alone: those are a package of their own.
# override-dependencies = ["tensorflow; sys_platform == 'never'"]
# ///

import json
import sys
from array import array
from pathlib import Path

import grpc
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

SECONDS = 20


def main(address, image, key=None):
    stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(address))
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "flowers"
    images = request.inputs["images"]
    images.dtype = types_pb2.DT_STRING
    images.tensor_shape.dim.add(size=1)
    images.string_val.append(Path(image).read_bytes())
    metadata = [("authorization", key)] if key else []
    answer, call = stub.Predict.with_call(request, SECONDS, metadata=metadata)
    told = dict(call.trailing_metadata())
    values = {name: values_of(answer.outputs[name]) for name in sorted(answer.outputs)}
    print(json.dumps(values | {"berth-device": told.get("berth-device")}))


def values_of(tensor):
    """Return the numbers or words of a tensor, without its shape."""
    if tensor.dtype == types_pb2.DT_STRING:
        return [word.decode() for word in tensor.string_val]
    return [round(number, 3) for number in array("f", tensor.tensor_content)]


if __name__ == "__main__":
    main(*sys.argv[1:])
