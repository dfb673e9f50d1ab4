"""Predictions by a real client: what is answered, and under which names."""

import json
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from fpga_pipelines import (
    PipelineServer,
    array_of,
    boxes_graph,
    classifier_graph,
    featurizer_graph,
    floats,
    jpeg,
    pipeline_server,
    refused,
    strings,
)
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

from berth_scoring.fpga.featurizers import FEATURIZERS
from berth_scoring.fpga.wire import prediction_service_pb2 as serving
from berth_scoring.fpga.wire import tensor_pb2 as wire

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
STOCK = "classifier_1/resnet_v1_50/predictions/Softmax:0"
INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PipelineServer]:
    limits = {"maxBatch": 4, "maxImagePixels": 1_000_000}
    folder = tmp_path_factory.mktemp("pipeline")
    with pipeline_server(folder, classifier=classifier_graph(), pipeline=limits) as started:
        yield started


@pytest.fixture(scope="module")
def client(server: PipelineServer) -> Any:
    return server.client()


def request(
    tensor: wire.TensorProto | None = None, name: str = "images", **fields: Any
) -> serving.PredictRequest:
    inputs = {} if tensor is None else {name: tensor}
    return serving.PredictRequest(inputs=inputs, **fields)


@pytest.mark.parametrize(("colour", "expected"), [(RED, 0), (GREEN, 1), (BLUE, 2)])
def test_a_jpeg_is_classified(client: Any, colour: tuple[int, int, int], expected: int) -> None:
    scores = client.scores(strings(jpeg(colour)))
    assert scores.shape == (1, 3)
    assert scores[0].argmax() == expected
    assert scores[0].sum() == pytest.approx(1)


def test_a_batch_is_answered_in_its_order(client: Any) -> None:
    scores = client.scores(strings(jpeg(BLUE), jpeg(RED), jpeg(GREEN)))
    assert scores.argmax(axis=1).tolist() == [2, 0, 1]


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpegs_without_three_colours_are_taken(client: Any, mode: str) -> None:
    assert client.scores(strings(jpeg(RED, mode=mode))).shape == (1, 3)


@pytest.mark.parametrize("size", [(1, 1), (8, 2000), (999, 999)])
def test_images_of_any_form_are_taken(client: Any, size: tuple[int, int]) -> None:
    assert client.scores(strings(jpeg(GREEN, size)))[0].argmax() == 1


def test_arrays_go_to_the_featurizer_as_they_are(client: Any) -> None:
    images = np.zeros((2, 224, 224, 3), np.float32)
    images[0, ..., 1], images[1, ..., 2] = 100, 100
    assert client.scores(floats(images)).argmax(axis=1).tolist() == [1, 2]


def test_an_array_of_equal_numbers_may_be_sent_as_one(client: Any) -> None:
    shape = wire.TensorShapeProto(dim=[wire.TensorShapeProto.Dim(size=n) for n in (1, 224, 224, 3)])
    tensor = wire.TensorProto(dtype=wire.DT_FLOAT, tensor_shape=shape, float_val=[7.0])
    assert client.scores(tensor)[0] == pytest.approx([1 / 3] * 3)


def test_the_answer_says_what_it_ran_on(client: Any) -> None:
    _, metadata = client.call(request(strings(jpeg())))
    assert metadata["berth-device"] == "cpu"
    assert metadata["berth-execution-provider"] == "CPUExecutionProvider"


@pytest.mark.parametrize("name", ["", "flowers-fpga", "flowers"])
def test_the_model_answers_to_its_names(client: Any, name: str) -> None:
    spec = client.predict(request(strings(jpeg()), model_spec=serving.ModelSpec(name=name))).model_spec
    assert spec.name == (name or "flowers-fpga")
    assert spec.version.value == 3
    assert spec.signature_name == "serving_default"


def test_who_names_the_input_as_in_the_graph_gets_its_outputs_named_so(client: Any) -> None:
    assert set(client.predict(request(strings(jpeg()), "Placeholder:0")).outputs) == {"probabilities"}


@pytest.mark.parametrize("name", ["output_alias", "probabilities"])
def test_outputs_may_be_chosen(client: Any, name: str) -> None:
    assert list(client.predict(request(strings(jpeg()), output_filter=[name])).outputs) == [name]


def shaped(tensor: wire.TensorProto, *lengths: int) -> wire.TensorProto:
    changed = wire.TensorProto()
    changed.CopyFrom(tensor)
    changed.tensor_shape.CopyFrom(
        wire.TensorShapeProto(dim=[wire.TensorShapeProto.Dim(size=length) for length in lengths])
    )
    return changed


def large_header(width: int, height: int) -> bytes:
    """Return a JPEG that claims to be larger than what it holds."""
    data = bytearray(jpeg())
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data)


REFUSED = [
    pytest.param(request(), INVALID, "'images' is needed", id="missing tensor"),
    pytest.param(request(strings(jpeg()), "picture"), INVALID, "picture", id="unknown tensor"),
    pytest.param(
        serving.PredictRequest(inputs={"images": strings(jpeg()), "Placeholder:0": strings(jpeg())}),
        INVALID,
        "2!=1",
        id="two tensors",
    ),
    pytest.param(
        request(wire.TensorProto(dtype=wire.DT_INT32, int_val=[1])),
        INVALID,
        "'images': expected DT_STRING with JPEGs or DT_FLOAT, found DT_INT32",
        id="wrong dtype",
    ),
    pytest.param(request(wire.TensorProto(dtype=99)), INVALID, "'images'", id="unknown dtype"),  # type: ignore[arg-type] # a client may send any
    pytest.param(
        request(floats(np.zeros((1, 3, 224, 224)))),
        INVALID,
        "'images': expected shape [-1, 224, 224, 3] for ResNet50, found [1, 3, 224, 224]",
        id="wrong shape",
    ),
    pytest.param(request(shaped(strings(jpeg()), 1, 1)), INVALID, "'images'", id="wrong rank of strings"),
    pytest.param(request(shaped(strings(jpeg()), 2)), INVALID, "'images': 1 strings", id="too few strings"),
    pytest.param(request(shaped(strings(), -1)), INVALID, "'images': the shape [-1]", id="negative length"),
    pytest.param(
        request(shaped(floats(np.zeros((1, 2))), 1, 224, 224, 3)),
        INVALID,
        "'images': 8 bytes",
        id="too few bytes",
    ),
    pytest.param(
        request(shaped(wire.TensorProto(dtype=wire.DT_FLOAT, float_val=[1, 2]), 1, 224, 224, 3)),
        INVALID,
        "'images': 2 values",
        id="too few values",
    ),
    pytest.param(
        request(shaped(wire.TensorProto(dtype=wire.DT_FLOAT, float_val=[1]), 10**12, 224, 224, 3)),
        INVALID,
        "'images': a batch of 1000000000000 images",
        id="an array that would fill the memory",
    ),
    pytest.param(request(strings(b"GIF89a")), INVALID, "'images', image 0: not a JPEG", id="not a JPEG"),
    pytest.param(
        request(strings(jpeg(), jpeg()[:600])), INVALID, "'images', image 1: not a JPEG", id="truncated JPEG"
    ),
    pytest.param(
        request(strings(jpeg() + b"\0" * 50_000_000)), INVALID, "'images', image 0: 50", id="50 MB JPEG"
    ),
    pytest.param(
        request(strings(large_header(65_000, 65_000))), INVALID, "image 0: 65000 x 65000 pixels", id="bomb"
    ),
    pytest.param(
        request(strings(jpeg(size=(1001, 1000)))),
        INVALID,
        "image 0: 1001 x 1000 pixels",
        id="too many pixels",
    ),
    pytest.param(request(strings()), INVALID, "'images': the batch is empty", id="empty batch"),
    pytest.param(
        request(floats(np.zeros((0, 224, 224, 3)))), INVALID, "'images': the batch is empty", id="empty array"
    ),
    pytest.param(
        request(strings(*[jpeg()] * 5)),
        INVALID,
        "'images': a batch of 5 images, at most 4",
        id="batch over the limit",
    ),
    pytest.param(
        request(strings(jpeg()), model_spec=serving.ModelSpec(name="tulips")),
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Latest(tulips)",
        id="wrong model",
    ),
    pytest.param(
        request(strings(jpeg()), model_spec={"name": "flowers", "version": {"value": 9}}),
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Specific(flowers, 9)",
        id="wrong version",
    ),
    pytest.param(
        request(strings(jpeg()), model_spec=serving.ModelSpec(signature_name="classify")),
        grpc.StatusCode.FAILED_PRECONDITION,
        'Serving signature key "classify" not found',
        id="wrong signature",
    ),
    pytest.param(
        request(strings(jpeg()), output_filter=["boxes"]),
        INVALID,
        "output tensor alias not found in signature: boxes",
        id="unknown output",
    ),
    pytest.param(
        request(strings(jpeg()), output_filter=["output_alias"] * 2), INVALID, "duplicate", id="output twice"
    ),
]


@pytest.mark.parametrize(("asked", "status", "words"), REFUSED)
def test_bad_requests_are_refused_by_name_and_the_server_goes_on(
    client: Any, asked: serving.PredictRequest, status: grpc.StatusCode, words: str
) -> None:
    code, told = refused(lambda: client.predict(asked))
    assert code == status
    assert words in told
    assert client.scores(strings(jpeg(GREEN)))[0].argmax() == 1


def test_a_message_beyond_the_port_is_refused_and_the_server_goes_on(client: Any) -> None:
    code, _ = refused(lambda: client.predict(request(strings(b"\0" * 70_000_000))))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert client.scores(strings(jpeg(GREEN)))[0].argmax() == 1


def test_bytes_that_are_no_message_are_refused(client: Any) -> None:
    raw = client.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    assert refused(lambda: raw(b"\xff\xff\xff", timeout=20))[0] == grpc.StatusCode.INTERNAL
    assert client.scores(strings(jpeg(GREEN)))[0].argmax() == 1


def test_other_calls_of_the_service_are_unimplemented(client: Any) -> None:
    raw = client.channel.unary_unary("/tensorflow.serving.PredictionService/Classify")
    assert refused(lambda: raw(b"", timeout=20))[0] == grpc.StatusCode.UNIMPLEMENTED


def test_the_metadata_describe_the_tensors(client: Any) -> None:
    response = client.describe(serving.GetModelMetadataRequest(metadata_field=["signature_def"]))
    assert (response.model_spec.name, response.model_spec.version.value) == ("flowers-fpga", 3)
    signatures = serving.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    signature = signatures.signature_def["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"
    assert signature.inputs["images"].dtype == wire.DT_STRING
    output = signature.outputs["output_alias"]
    assert (output.dtype, [dim.size for dim in output.tensor_shape.dim]) == (wire.DT_FLOAT, [-1, 3])
    arrays = signatures.signature_def["serving_arrays"].inputs["images"]
    assert (arrays.dtype, [dim.size for dim in arrays.tensor_shape.dim]) == (wire.DT_FLOAT, [-1, 224, 224, 3])


@pytest.mark.parametrize(
    ("fields", "words"), [([], "at least one metadata_field"), (["weights"], "weights is not supported")]
)
def test_metadata_that_are_not_there_are_refused(client: Any, fields: list[str], words: str) -> None:
    code, told = refused(lambda: client.describe(serving.GetModelMetadataRequest(metadata_field=fields)))
    assert code == INVALID
    assert words in told


def test_metadata_of_another_model_are_not_found(client: Any) -> None:
    asked = serving.GetModelMetadataRequest(
        model_spec=serving.ModelSpec(name="tulips"), metadata_field=["signature_def"]
    )
    assert refused(lambda: client.describe(asked))[0] == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("service", ["", "tensorflow.serving.PredictionService"])
def test_health_is_told(client: Any, service: str) -> None:
    stub = health_pb2_grpc.HealthStub(client.channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=20)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_describes_the_service(client: Any) -> None:
    database = ProtoReflectionDescriptorDatabase(client.channel)
    assert "tensorflow.serving.PredictionService" in database.get_services()
    described = database.FindFileContainingSymbol("tensorflow.serving.PredictionService")
    assert [method.name for method in described.service[0].method] == ["Predict", "GetModelMetadata"]


def test_a_classifier_of_scikit_learn_answers_with_its_probabilities(tmp_path: Any) -> None:
    features = np.random.default_rng(1).normal(size=(30, 2048)).astype(np.float32)
    trained = LogisticRegression().fit(features, np.arange(30) % 4)
    exported = to_onnx(trained, features[:1], options={"zipmap": False}).SerializeToString()
    with pipeline_server(tmp_path, classifier=exported) as server:
        outputs = server.client().predict(request(strings(jpeg()))).outputs
    assert set(outputs) == {"label", "output_alias"}
    assert array_of(outputs["output_alias"]).sum() == pytest.approx(1)


def test_without_a_classifier_the_stock_network_answers_under_its_names(tmp_path: Any) -> None:
    with pipeline_server(tmp_path, weights=featurizer_graph(size=1000)) as server:
        client = server.client()
        by_alias = client.predict(request(strings(jpeg()))).outputs
        in_graph = client.predict(request(strings(jpeg()), "Placeholder:0")).outputs
        assert (list(by_alias), list(in_graph)) == (["output_alias"], [STOCK])
        assert array_of(by_alias["output_alias"]).tolist() == array_of(in_graph[STOCK]).tolist()


def test_features_are_not_called_what_the_stock_network_makes_of_them(tmp_path: Any) -> None:
    with pipeline_server(tmp_path, weights=featurizer_graph()) as server:
        client = server.client()
        by_alias = client.predict(request(strings(jpeg()))).outputs
        in_graph = client.predict(request(strings(jpeg()), "Placeholder:0")).outputs
        assert (list(by_alias), list(in_graph)) == (["output_alias"], ["features"])
        assert array_of(by_alias["output_alias"]).shape == (1, 1, 1, 2048)
        asked = request(strings(jpeg()), output_filter=[STOCK])
        assert "not found in signature" in refused(lambda: client.predict(asked))[1]


@pytest.mark.parametrize("renamed", [False, True])
def test_boxes_are_many_tensors_under_the_names_of_the_stock_network(tmp_path: Any, renamed: bool) -> None:
    names = FEATURIZERS["SSDVGG"].outputs
    weights = boxes_graph([f"out{at}" for at in range(len(names))] if renamed else names)
    with pipeline_server(tmp_path, weights=weights, pipeline={"featurizer": "SSDVGG"}) as server:
        client = server.client()
        shapes = {name: (1, at + 1, 3) for at, name in enumerate(names)}
        for name in ("images", "Placeholder:0", "brainwave_ssd_vgg_1_Version_0.1_input_1:0"):
            outputs = client.predict(request(strings(jpeg(RED)), name)).outputs
            assert {each: array_of(outputs[each]).shape for each in outputs} == shapes
        chosen = client.predict(request(strings(jpeg(RED)), output_filter=[names[3]])).outputs
        assert list(chosen) == [names[3]]
        means = np.array([255, 0, 0]) - FEATURIZERS["SSDVGG"].means
        np.testing.assert_allclose(array_of(chosen[names[3]]), np.tile(means, (1, 4, 1)), atol=2)
        answer = server.http("POST", "/score", jpeg(RED), **{"Content-Type": "image/jpeg"})[2]
        assert {each: np.shape(values) for each, values in json.loads(answer).items()} == shapes


def test_tensors_may_be_called_otherwise(tmp_path: Any) -> None:
    names = {"inputTensor": "photo", "outputTensor": "species"}
    with pipeline_server(tmp_path, classifier=classifier_graph(), pipeline=names) as server:
        client = server.client()
        assert list(client.predict(request(strings(jpeg()), "photo")).outputs) == ["species"]
        assert "'photo' is needed" in refused(lambda: client.predict(request()))[1]
