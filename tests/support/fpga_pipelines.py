"""Tiny graphs in the shape of deep networks, a real server for them, and a real client."""

import http.client
import io
import json
import runpy
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import grpc
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from scoring_servers import free_port, plain_environment

from berth_scoring.fpga.wire import prediction_service_pb2 as serving
from berth_scoring.fpga.wire import tensor_pb2 as wire

SERVICE = "/tensorflow.serving.PredictionService"
CLASSES = 3
CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
)


def graph(
    nodes: list[Any], given: tuple[str, list[Any]], outputs: list[tuple[str, list[Any]]], **weights: Any
) -> bytes:
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    described = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs]
    image = helper.make_tensor_value_info(given[0], TensorProto.FLOAT, given[1])
    made = helper.make_graph(nodes, "tiny", [image], described, tensors)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def featurizer_graph(
    *, size: int = 2048, side: int = 224, channels_first: bool = False, batch: Any = "N"
) -> bytes:
    """Return a graph whose features are the mean of each colour, in turn."""
    colours = np.tile(np.eye(3, dtype=np.float32), (1, -(-size // 3)))[:, :size]
    shape = [batch, 3, side, side] if channels_first else [batch, side, side, 3]
    axes = [2, 3] if channels_first else [1, 2]
    return graph(
        [
            helper.make_node("ReduceMean", ["image"], ["means"], axes=axes, keepdims=0),
            helper.make_node("MatMul", ["means", "colours"], ["flat"]),
            helper.make_node("Reshape", ["flat", "shape"], ["features"]),
        ],
        ("image", shape),
        [("features", [batch, 1, 1, size])],
        colours=colours,
        shape=np.array([-1, 1, 1, size], np.int64),
    )


def boxes_graph(names: Sequence[str]) -> bytes:
    """Return a graph with as many outputs, of which each has one row more than the last."""
    nodes = [helper.make_node("ReduceMean", ["image"], ["means"], axes=[1, 2], keepdims=0)]
    outputs: list[tuple[str, list[Any]]] = []
    weights = {}
    for at, name in enumerate(names):
        nodes.append(helper.make_node("Unsqueeze", ["means", "axis"], [f"row{at}"]))
        nodes.append(helper.make_node("Tile", [f"row{at}", f"times{at}"], [name]))
        outputs.append((name, ["N", at + 1, 3]))
        weights[f"times{at}"] = np.array([1, at + 1, 1], np.int64)
    return graph(nodes, ("image", ["N", 300, 300, 3]), outputs, axis=np.array([1], np.int64), **weights)


def corner_graph(size: int = 2048) -> bytes:
    """Return a graph that looks at the first pixel alone, and so takes next to no time."""
    colours = np.tile(np.eye(3, dtype=np.float32), (1, -(-size // 3)))[:, :size]
    return graph(
        [
            helper.make_node("Slice", ["image", "begin", "end", "axes"], ["corner"]),
            helper.make_node("Reshape", ["corner", "rows"], ["pixel"]),
            helper.make_node("MatMul", ["pixel", "colours"], ["flat"]),
            helper.make_node("Reshape", ["flat", "shape"], ["features"]),
        ],
        ("image", ["N", 224, 224, 3]),
        [("features", ["N", 1, 1, size])],
        colours=colours,
        rows=np.array([-1, 3], np.int64),
        shape=np.array([-1, 1, 1, size], np.int64),
        axes=np.array([1, 2], np.int64),
        begin=np.array([0, 0], np.int64),
        end=np.array([1, 1], np.int64),
    )


def classifier_graph(*, size: int = 2048, batch: Any = "N") -> bytes:
    """Return a graph that names the strongest colour."""
    first = np.zeros((size, CLASSES), np.float32)
    first[:CLASSES] = np.eye(CLASSES)
    return graph(
        [
            helper.make_node("MatMul", ["x", "first"], ["colours"]),
            helper.make_node("Softmax", ["colours"], ["probabilities"], axis=-1),
        ],
        ("x", [batch, size]),
        [("probabilities", [batch, CLASSES])],
        first=first,
    )


def resnet50_graph() -> bytes:
    """Return the network of the example, which has the shape and the speed of the real one."""
    builder = runpy.run_path(str(Path(__file__).parents[2] / "examples/flowers/resnet50.py"))
    content: bytes = builder["build"]().SerializeToString()
    return content


def slow_graph(rounds: int) -> bytes:
    """Return a featurizer whose run takes long, in steps between which it can be ended."""
    nodes = [helper.make_node("ReduceMean", ["image"], ["m0"], axes=[1, 2, 3], keepdims=0)]
    nodes.append(helper.make_node("Expand", ["m0", "shape"], ["big0"]))
    nodes += [helper.make_node("MatMul", [f"big{at}", "square"], [f"big{at + 1}"]) for at in range(rounds)]
    nodes.append(helper.make_node("ReduceMean", [f"big{rounds}"], ["features"], axes=[0], keepdims=1))
    return graph(
        nodes,
        ("image", ["N", 224, 224, 3]),
        [("features", [1, 600])],
        shape=np.array([600, 600], np.int64),
        square=np.eye(600, dtype=np.float32) / 600,
    )


def jpeg(
    colour: tuple[int, int, int] = (255, 0, 0), size: tuple[int, int] = (320, 240), mode: str = "RGB"
) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", size, colour).convert(mode).save(target, "JPEG", quality=95)
    return target.getvalue()


def strings(*values: bytes) -> wire.TensorProto:
    shape = wire.TensorShapeProto(dim=[wire.TensorShapeProto.Dim(size=len(values))])
    return wire.TensorProto(dtype=wire.DT_STRING, tensor_shape=shape, string_val=values)


def floats(array: np.ndarray[Any, Any]) -> wire.TensorProto:
    shape = wire.TensorShapeProto(dim=[wire.TensorShapeProto.Dim(size=length) for length in array.shape])
    content = np.ascontiguousarray(array, np.float32).tobytes()
    return wire.TensorProto(dtype=wire.DT_FLOAT, tensor_shape=shape, tensor_content=content)


def array_of(tensor: wire.TensorProto) -> Any:
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    assert tensor.dtype == wire.DT_FLOAT
    return np.frombuffer(tensor.tensor_content, np.float32).reshape(shape)


@dataclass
class GrpcClient:
    """Calls the prediction service as a generated stub does."""

    port: int
    credentials: Any = None
    metadata: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        address = f"localhost:{self.port}"
        self.channel = (
            grpc.insecure_channel(address, CHANNEL_OPTIONS)
            if self.credentials is None
            else grpc.secure_channel(address, self.credentials, CHANNEL_OPTIONS)
        )

    def predict(self, request: serving.PredictRequest, timeout: float = 20) -> serving.PredictResponse:
        response: serving.PredictResponse = self.call(request, timeout)[0]
        return response

    def call(
        self, request: serving.PredictRequest, timeout: float = 20, *, wait_for_ready: bool = False
    ) -> tuple[Any, Any]:
        method = self.channel.unary_unary(
            f"{SERVICE}/Predict", serving.PredictRequest.SerializeToString, serving.PredictResponse.FromString
        )
        response, call = method.with_call(
            request, timeout=timeout, metadata=self.metadata, wait_for_ready=wait_for_ready
        )
        return response, dict(call.trailing_metadata())

    def describe(self, request: serving.GetModelMetadataRequest) -> serving.GetModelMetadataResponse:
        method = self.channel.unary_unary(
            f"{SERVICE}/GetModelMetadata",
            serving.GetModelMetadataRequest.SerializeToString,
            serving.GetModelMetadataResponse.FromString,
        )
        response: serving.GetModelMetadataResponse = method(request, timeout=20, metadata=self.metadata)
        return response

    def scores(self, tensor: wire.TensorProto, name: str = "images") -> Any:
        request = serving.PredictRequest(inputs={name: tensor})
        return array_of(self.predict(request).outputs["output_alias"])


def refused(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    return error.code(), error.details()


@dataclass
class PipelineServer:
    """A server in a process of its own, with its two ports."""

    process: "subprocess.Popen[bytes]"
    http_port: int
    port: int
    folder: Path

    def client(self, **options: Any) -> GrpcClient:
        return GrpcClient(self.port, **options)

    def http(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=20)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return (
                response.status,
                {name.lower(): value for name, value in response.getheaders()},
                response.read(),
            )
        finally:
            connection.close()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def termination(self) -> str:
        return (self.folder / "termination-log").read_text()

    def wait(self, path: str, status: int, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if self.http("GET", path)[0] == status:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"{path} does not answer {status}: {self.log}")


@contextmanager
def pipeline_server(
    folder: Path,
    *,
    weights: bytes | None = None,
    classifier: bytes | None = None,
    pipeline: Mapping[str, Any] | None = None,
    digests: Mapping[str, str] = MappingProxyType({}),
    ready: bool = True,
    prefix: Sequence[str] = (),
    environment: Mapping[str, str] = MappingProxyType({}),
    **config: Any,
) -> Iterator[PipelineServer]:
    """Fetch the graphs and serve them; without a classifier the featurizer's outputs are sent."""
    http_port, port = free_port(), free_port()
    sources = {"weights": weights or featurizer_graph(), "flowers": classifier}
    files = {name: folder / f"{name}.onnx" for name, content in sources.items() if content is not None}
    for name, path in files.items():
        path.write_bytes(sources[name] or b"")
    options = {
        "featurizer": "ResNet50",
        "weights": "weights",
        "classifier": "flowers" if classifier else None,
        "port": port,
        **(pipeline or {}),
    }
    document = {
        "name": "flowers-fpga",
        "target": "FPGA",
        "port": http_port,
        "models": [_described(name, path, digests.get(name)) for name, path in files.items()],
        "pipeline": options,
        **config,
    }
    variables = {
        **plain_environment(),
        **environment,
        "BERTH_SCORING_CONFIG": json.dumps(document),
        "BERTH_APP_ROOT": str(folder),
        "BERTH_TERMINATION_LOG": str(folder / "termination-log"),
        "BERTH_DRAIN_SECONDS": "0.2",
    }
    command = str(Path(sys.executable).with_name("berth-scoring"))
    subprocess.run([command, "fetch"], env=variables, check=True, capture_output=True)
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen(
            [*prefix, command, "serve"], env=variables, stdout=output, stderr=subprocess.STDOUT
        )
    server = PipelineServer(process, http_port, port, folder)
    try:
        if ready and "tls" not in config:
            server.wait("/readyz", 200)
        yield server
    finally:
        process.terminate()
        process.wait(20)


def _described(name: str, path: Path, digest: str | None) -> dict[str, Any]:
    return {"name": name, "version": "3", "uri": f"file://{path}", "format": "onnx", "sha256": digest}
