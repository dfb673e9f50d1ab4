"""Call a server as its users do, with the published messages, and print what came as JSON."""

import json
import sys
from pathlib import Path

import grpc
from google.protobuf.descriptor import Descriptor
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2,
    prediction_service_pb2_grpc,
)

MESSAGES = (
    predict_pb2.PredictRequest,
    predict_pb2.PredictResponse,
    get_model_metadata_pb2.GetModelMetadataRequest,
    get_model_metadata_pb2.GetModelMetadataResponse,
    get_model_metadata_pb2.SignatureDefMap,
    meta_graph_pb2.SignatureDef,
    meta_graph_pb2.TensorInfo,
)


def main(port: str, image: str) -> None:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(f"localhost:{port}"))
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "flowers-fpga"
    tensor = request.inputs["images"]
    tensor.dtype = types_pb2.DT_STRING
    tensor.tensor_shape.dim.add(size=1)
    tensor.string_val.append(Path(image).read_bytes())
    response = stub.Predict(request, 20.0)
    output = response.outputs["output_alias"]
    asked = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    asked.model_spec.name = "flowers-fpga"
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert stub.GetModelMetadata(asked, 20.0).metadata["signature_def"].Unpack(signatures)
    signature = signatures.signature_def["serving_default"]
    print(
        json.dumps(
            {
                "version": response.model_spec.version.value,
                "dtype": output.dtype,
                "shape": [dim.size for dim in output.tensor_shape.dim],
                "content": output.tensor_content.hex(),
                "inputs": {name: info.dtype for name, info in signature.inputs.items()},
                "outputs": {name: info.dtype for name, info in signature.outputs.items()},
                "types": dict(types_pb2.DataType.items()),
                "methods": [
                    method.name
                    for method in prediction_service_pb2.DESCRIPTOR.services_by_name[
                        "PredictionService"
                    ].methods
                ],
                "fields": fields_of([message.DESCRIPTOR for message in MESSAGES]),
            }
        )
    )


def fields_of(messages: list[Descriptor]) -> dict[str, dict[str, list[object]]]:
    """Return number, type and repetition of each field, of the messages and of all that they hold."""
    found: dict[str, dict[str, list[object]]] = {}
    left = list(messages)
    while left:
        message = left.pop()
        if message.full_name not in found:
            found[message.full_name] = {
                field.name: [field.number, field.type, field.is_repeated] for field in message.fields
            }
            left += [field.message_type for field in message.fields if field.message_type is not None]
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
