"""V1, V2 and `/score` of models that are served by their format alone."""

import functools
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression

from berth_scoring.app import Application
from berth_scoring.config import ModelSource, RequestLimits
from berth_scoring.execution import InlineQueue, WorkQueue
from berth_scoring.formats import onnx as onnx_format
from berth_scoring.formats import sklearn as sklearn_format
from berth_scoring.formats.service import ModelService
from berth_scoring.messages import Refusal
from berth_scoring.metrics import Metrics
from berth_scoring.protocols.routes import model_routes, score_handlers, score_schema
from berth_scoring.protocols.v1 import rows_of
from berth_scoring.routes import RouteFactory, azure_routes
from berth_scoring.swagger import Service, Swagger, documents

SETOSA, VIRGINICA = [5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]


@pytest.fixture(scope="module")
def named_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier whose classes are strings."""
    folder = tmp_path_factory.mktemp("named")
    fitted = LogisticRegression().fit([[0.0], [1.0]], ["no", "yes"])
    joblib.dump(fitted, folder / "model.joblib")
    return folder


@pytest.fixture(scope="module")
def scaling_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph that multiplies rows by a scalar and shifts them, and adds all of them up."""
    folder = tmp_path_factory.mktemp("scaling")
    value = functools.partial(helper.make_tensor_value_info, elem_type=TensorProto.INT32)
    nodes = [
        helper.make_node("Mul", ["x", "by"], ["product"]),
        helper.make_node("Add", ["product", "shift"], ["scaled"]),
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
    ]
    inputs = [value("x", shape=["n", 2]), value("by", shape=[]), value("shift", shape=["n", 2])]
    outputs = [value("scaled", shape=["n", 2]), value("total", shape=[])]
    graph = helper.make_graph(nodes, "scaling", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "model.onnx")
    return folder


@pytest.fixture
async def serve(
    background: Callable[..., None],
    client: Callable[[Application], Any],
    sklearn_folder: Path,
    onnx_folder: Path,
    named_folder: Path,
    scaling_folder: Path,
) -> AsyncIterator[Callable[..., Any]]:
    queue, inline = WorkQueue(RequestLimits()), InlineQueue()
    loaders = {
        "sklearn": (sklearn_format.load, sklearn_folder),
        "onnx": (onnx_format.load, onnx_folder),
        "named": (sklearn_format.load, named_folder),
        "scaling": (onnx_format.load, scaling_folder),
    }

    def start(*formats: str) -> Any:
        services = []
        for name in formats:
            load, folder = loaders[name]
            source = ModelSource(name=name, version="7", uri="file:///x", format=name)
            services.append(ModelService(source, load(folder, 1), queue, inline))
        make = RouteFactory(Metrics())
        swagger = Swagger(documents(Service(), score_schema(), None))
        routes = azure_routes(make, score_handlers(services), swagger, []) | model_routes(make, services)
        background(queue.work)
        return client(Application(routes, make.fallback()))

    yield start
    queue.close()


def post(value: Any) -> bytes:
    return json.dumps(value).encode()


def tensor(**changes: Any) -> dict[str, Any]:
    return {"name": "X", "shape": [1, 4], "datatype": "FP32", "data": SETOSA} | changes


@pytest.mark.parametrize("name", ["sklearn", "onnx"])
async def test_v1_predicts_rows(serve: Any, name: str) -> None:
    answer = await serve(name)("POST", f"/v1/models/{name}:predict", post({"instances": [SETOSA, VIRGINICA]}))
    assert (answer.status, answer.json) == (200, {"predictions": [0, 2]})


@pytest.mark.parametrize("name", ["sklearn", "onnx"])
async def test_score_answers_a_list_to_clients_of_azure_ml(serve: Any, name: str) -> None:
    answer = await serve(name)("POST", "/score", post({"data": [SETOSA, VIRGINICA]}))
    assert (answer.status, answer.json) == (200, [0, 2])
    assert answer.header("x-ms-run-function-failed") == "False"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "The body is empty"),
        (b"{", "The body is not JSON"),
        (b"[]", "The body must be a JSON object"),
        (b"{}", "instances is missing"),
        (b'{"instances": 1}', "instances: not an array"),
        (b'{"instances": []}', "expected shape [-1, 4]"),
        (b'{"instances": [[1, 2, 3]]}', "the model takes 4 features per row, these rows have 3"),
        (b'{"instances": [[1, 2, 3, "x"]]}', "found 'x' at [0][3]"),
        (b'{"instances": [[1, 2, 3, NaN]]}', "not JSON"),
        (b'{"instances": [[1, 2, 3, 4], [1]]}', "rows differ in length"),
    ],
)
async def test_v1_names_what_is_wrong(serve: Any, body: bytes, text: str) -> None:
    answer = await serve("sklearn")("POST", "/v1/models/sklearn:predict", body)
    assert answer.status == 400
    assert text in answer.json["error"]


async def test_v2_infers_and_gives_back_the_id(serve: Any) -> None:
    body = {"id": "42", "inputs": [tensor(shape=[2, 4], data=[SETOSA, VIRGINICA])]}
    answer = await serve("onnx")("POST", "/v2/models/onnx/infer", post(body))
    assert (answer.json["id"], answer.json["model_name"], answer.json["model_version"]) == ("42", "onnx", "7")
    label, probabilities = answer.json["outputs"]
    assert label == {"name": "label", "datatype": "INT64", "shape": [2], "data": [0, 2]}
    assert (probabilities["datatype"], probabilities["shape"], len(probabilities["data"])) == (
        "FP32",
        [2, 3],
        6,
    )


async def test_v2_answers_only_the_outputs_asked_for(serve: Any) -> None:
    body = {"inputs": [tensor(datatype="FP64")], "outputs": [{"name": "predict_proba"}]}
    answer = await serve("sklearn")("POST", "/v2/models/sklearn/versions/7/infer", post(body))
    assert [output["name"] for output in answer.json["outputs"]] == ["predict_proba"]


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ([], "inputs must be an array of tensors"),
        ([1], "inputs[0] must be an object"),
        ([tensor(datatype="FLOAT")], "inputs[0].datatype must be one of"),
        ([tensor(datatype="BYTES", data=["a"] * 4)], "inputs[0].datatype: input 'X' takes FP32, not BYTES"),
        ([tensor(shape=[1, -4])], "inputs[0].shape must be an array of up to 32 whole numbers above 0"),
        ([tensor(shape=[1] * 70, data=[1])], "inputs[0].shape must be an array of up to 32 whole numbers"),
        ([tensor(shape=[0, 10**15], data=[])], "inputs[0].shape must be an array of up to 32 whole numbers"),
        ([tensor(), tensor(name="bogus")], "inputs: 2 tensors, but the model takes one each of X"),
        ([tensor(shape=[2, 4])], "inputs[0].data: 4 values do not fill the shape [2, 4]"),
        ([tensor(shape=[4, 1])], "inputs[0].shape: expected shape [-1, 4] for input 'X', found [4, 1]"),
        ([tensor(data=1)], "inputs[0].data must be an array"),
        ([tensor(data=[1, 2, 3, None])], "inputs[0].data: expected numbers, found None at [3]"),
    ],
)
async def test_v2_names_what_is_wrong(serve: Any, inputs: Any, text: str) -> None:
    answer = await serve("onnx")("POST", "/v2/models/onnx/infer", post({"inputs": inputs}))
    assert answer.status == 400
    assert text in answer.json["error"]


SCALING = [
    {"name": "x", "shape": [2, 2], "datatype": "INT32", "data": [1, 2, 3, 4]},
    {"name": "by", "shape": [], "datatype": "INT32", "data": [10]},
    {"name": "shift", "shape": [2, 2], "datatype": "INT32", "data": [1, 1, 1, 1]},
]


async def test_v2_serves_models_with_scalars(serve: Any) -> None:
    answer = await serve("scaling")("POST", "/v2/models/scaling/infer", post({"inputs": SCALING}))
    assert answer.json["outputs"] == [
        {"name": "scaled", "datatype": "INT32", "shape": [2, 2], "data": [11, 21, 31, 41]},
        {"name": "total", "datatype": "INT32", "shape": [], "data": [10]},
    ]


async def test_v2_refuses_whole_numbers_that_the_model_cannot_hold(serve: Any) -> None:
    large = {"name": "by", "shape": [], "datatype": "INT64", "data": [2**32 + 1]}
    body = post({"inputs": [SCALING[0], large, SCALING[2]]})
    answer = await serve("scaling")("POST", "/v2/models/scaling/infer", body)
    assert (answer.status, answer.json) == (400, {"error": "inputs[1].data: a value does not fit int32"})


async def test_v2_refuses_tensors_that_differ_in_their_rows(serve: Any) -> None:
    longer = SCALING[2] | {"shape": [3, 2], "data": [1] * 6}
    answer = await serve("scaling")(
        "POST", "/v2/models/scaling/infer", post({"inputs": [*SCALING[:2], longer]})
    )
    assert (answer.status, answer.json) == (
        400,
        {"error": "inputs: the tensors differ in their number of rows"},
    )


async def test_v1_refuses_what_only_v2_can_express(serve: Any) -> None:
    body = post({"instances": [{"x": [1, 2], "by": 3, "shift": [1, 1]}]})
    answer = await serve("scaling")("POST", "/v1/models/scaling:predict", body)
    assert answer.status == 400
    assert "input 'by' is a scalar, not one per row: use V2" in answer.json["error"]


def test_v1_cannot_answer_outputs_that_differ_in_their_rows() -> None:
    assert rows_of({"a": np.array([1, 2]), "b": np.array([3, 4])}) == [{"a": 1, "b": 3}, {"a": 2, "b": 4}]
    for other in (np.array(3), np.array([3])):
        with pytest.raises(Refusal, match="The outputs a, b differ in their number of rows: use V2"):
            rows_of({"a": np.array([1, 2]), "b": other})


@pytest.mark.parametrize("names", [[[]], [{}], [None], [1]])
async def test_v2_refuses_an_output_whose_name_is_none(serve: Any, names: list[Any]) -> None:
    body = {"inputs": [tensor()], "outputs": [{"name": name} for name in names]}
    answer = await serve("onnx")("POST", "/v2/models/onnx/infer", post(body))
    assert answer.status == 400
    assert "outputs[0].name: the model has no output" in answer.json["error"]


async def test_v2_answers_with_the_usual_outputs_where_none_are_named(serve: Any) -> None:
    body = {"inputs": [tensor()], "outputs": []}
    answer = await serve("onnx")("POST", "/v2/models/onnx/infer", post(body))
    assert [output["name"] for output in answer.json["outputs"]] == ["label", "probabilities"]


async def test_v2_describes_a_classifier_of_strings(serve: Any) -> None:
    call = serve("named")
    metadata = (await call("GET", "/v2/models/named")).json
    assert metadata["outputs"][0] == {"name": "predict", "datatype": "BYTES", "shape": [-1]}
    body = post({"inputs": [{"name": "input", "shape": [1, 1], "datatype": "FP64", "data": [1.0]}]})
    [output] = (await call("POST", "/v2/models/named/infer", body)).json["outputs"]
    assert (output["datatype"], output["data"]) == ("BYTES", ["yes"])


async def test_v2_refuses_an_unknown_output(serve: Any) -> None:
    body = {"inputs": [tensor()], "outputs": [{"name": "colour"}]}
    answer = await serve("onnx")("POST", "/v2/models/onnx/infer", post(body))
    assert answer.json == {
        "error": "outputs[0].name: the model has no output 'colour', but label, probabilities"
    }


async def test_v2_describes_server_and_models(serve: Any) -> None:
    call = serve("onnx", "sklearn")
    assert (await call("GET", "/v2")).json["name"] == "berth-scoring"
    assert (await call("GET", "/v2/health/live")).json == {"live": True}
    assert (await call("GET", "/v2/health/ready")).json == {"ready": True}
    assert (await call("GET", "/v2/models/onnx/ready")).json == {"name": "onnx", "ready": True}
    metadata = (await call("GET", "/v2/models/onnx/versions/7")).json
    assert metadata["versions"] == ["7"]
    assert metadata["inputs"] == [{"name": "X", "datatype": "FP32", "shape": [-1, 4]}]
    sklearn = (await call("GET", "/v2/models/sklearn")).json
    assert [output["shape"] for output in sklearn["outputs"]] == [[-1], [-1, 3]]


async def test_v1_lists_models_and_their_status(serve: Any) -> None:
    call = serve("onnx", "sklearn")
    assert (await call("GET", "/v1/models")).json == {"models": ["onnx", "sklearn"]}
    assert (await call("GET", "/v1/models/sklearn")).json == {"name": "sklearn", "ready": True}
    assert (await call("GET", "/v1/models/other")).status == 404
    assert (await call("GET", "/v1/models/sklearn:predict")).status == 405


async def test_score_is_refused_where_it_would_be_ambiguous(serve: Any) -> None:
    answer = await serve("onnx", "sklearn")("POST", "/score", post({"data": [SETOSA]}))
    assert answer.status == 404
    assert "/v1/models/onnx:predict, /v1/models/sklearn:predict" in answer.json["message"]


async def test_a_model_that_fails_is_an_internal_error_without_its_details(serve: Any) -> None:
    class Broken:
        def predict(self, *_: Any) -> Any:
            raise RuntimeError("secret")

    call = serve("sklearn")
    route = call.application._routes["/v1/models/sklearn:predict"]
    service = route.handlers["POST"].__self__._service
    service.model._methods["predict"] = Broken().predict
    answer = await call("POST", "/v1/models/sklearn:predict", post({"instances": [SETOSA]}))
    assert (answer.status, "secret" in answer.body.decode()) == (500, False)
    assert answer.json["error"].startswith("An unexpected internal error")
