import asyncio
import contextlib
import pickle
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies
from onnx import TensorProto, helper
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from berth_scoring.config import ModelSource, RequestLimits
from berth_scoring.execution import InlineQueue, WorkQueue
from berth_scoring.formats import onnx as onnx_format
from berth_scoring.formats import sklearn as sklearn_format
from berth_scoring.formats.base import InputError, ModelLoadError, TensorSpec
from berth_scoring.formats.service import (
    Call,
    ModelService,
    answer_together,
    join,
    rows_stand_alone,
    seconds_per_row,
    split,
)
from berth_scoring.formats.tensors import array_of, check_shape
from berth_scoring.messages import Refusal, Request

ROWS = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]])


class Doubler:
    """Refuses negative values; remembers how many rows each call had."""

    platform = "test"
    inputs = (TensorSpec("x", np.dtype(np.float64), (None, None)),)
    outputs = (TensorSpec("y", np.dtype(np.float64), (None, None)),)
    primary = defaults = ("y",)
    max_batch = 256

    def __init__(self) -> None:
        self.calls: list[int] = []

    def predict(self, inputs: Mapping[str, Any], outputs: tuple[str, ...]) -> dict[str, Any]:
        rows = inputs["x"]
        self.calls.append(len(rows))
        if (rows < 0).any():
            raise InputError("negative")
        return dict.fromkeys(outputs, rows * 2)


class Sideways(Doubler):
    """Answers with a row per feature, so that joined requests look as if they could be taken apart."""

    def predict(self, inputs: Mapping[str, Any], outputs: tuple[str, ...]) -> dict[str, Any]:
        return dict.fromkeys(outputs, inputs["x"].T)


class Running(Doubler):
    """Adds each row to those before it: the first dimension is time."""

    def predict(self, inputs: Mapping[str, Any], outputs: tuple[str, ...]) -> dict[str, Any]:
        return dict.fromkeys(outputs, inputs["x"].cumsum(axis=0))


class Summer(Doubler):
    """Has one answer for all rows, so that joined requests cannot be taken apart."""

    def predict(self, inputs: Mapping[str, Any], outputs: tuple[str, ...]) -> dict[str, Any]:
        self.calls.append(len(inputs["x"]))
        return {name: np.array([inputs["x"].sum()]) for name in outputs}


def call(*rows: list[float]) -> Call:
    return Call({"x": np.array(rows, float)}, ("y",))


batches = st.lists(
    st.integers(1, 3).flatmap(
        lambda width: numpy_strategies.arrays(
            st.sampled_from([np.float64, np.int64]),
            st.tuples(st.integers(1, 4), st.just(width)),
            elements=st.integers(-2, 9),
        )
    ),
    min_size=1,
    max_size=8,
)


@given(batches)
def test_answering_together_is_answering_each_alone(arrays: list[Any]) -> None:
    calls = [Call({"x": array}, ("y",)) for array in arrays]
    together = answer_together(Doubler(), calls)
    alone = [answer_together(Doubler(), [each])[0] for each in calls]
    for one, other in zip(together, alone, strict=True):
        if isinstance(one, Exception) or isinstance(other, Exception):
            assert (type(one), str(one)) == (type(other), str(other))
        else:
            np.testing.assert_array_equal(one["y"], other["y"])
            assert one["y"].dtype == other["y"].dtype


@given(st.lists(st.integers(1, 5), min_size=1, max_size=10))
def test_splitting_undoes_joining(lengths: list[int]) -> None:
    calls = [
        call(*[[float(index), float(row)] for row in range(length)]) for index, length in enumerate(lengths)
    ]
    parts = split({"y": join(calls).inputs["x"]}, lengths)
    for part, each in zip(parts, calls, strict=True):
        np.testing.assert_array_equal(part["y"], each.inputs["x"])


def test_requests_of_one_shape_share_a_call_and_others_do_not() -> None:
    model = Doubler()
    answer_together(model, [call([1, 2]), call([3]), call([4, 5], [6, 7])])
    assert model.calls == [3, 1]


def test_one_bad_request_alone_gets_the_error() -> None:
    good, bad, other = answer_together(Doubler(), [call([1]), call([-1]), call([2])])
    assert isinstance(bad, InputError)
    assert not isinstance(good, Exception)
    assert not isinstance(other, Exception)
    assert (good["y"].tolist(), other["y"].tolist()) == ([[2]], [[4]])


def test_answers_that_cannot_be_taken_apart_are_computed_one_by_one() -> None:
    one, two = answer_together(Summer(), [call([1]), call([2])])
    assert not isinstance(one, Exception)
    assert not isinstance(two, Exception)
    assert (one["y"].tolist(), two["y"].tolist()) == ([1], [2])


@pytest.mark.parametrize(
    ("model", "expected"), [(Doubler, True), (Sideways, False), (Running, False), (Summer, False)]
)
def test_rows_stand_alone_where_each_gets_the_answer_it_gets_alone(
    model: type[Doubler], expected: bool
) -> None:
    assert rows_stand_alone(model()) is expected


@pytest.mark.parametrize("model", [Sideways, Running])
async def test_no_request_gets_what_belongs_to_another(model: type[Doubler]) -> None:
    source = ModelSource(name="m", version="1", uri="file:///x")
    service = ModelService(source, model(), WorkQueue(RequestLimits()), InlineQueue())
    request = Request("POST", "/")
    rows = [np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])]
    answers = await asyncio.gather(*(service.predict(request, {"x": row}, ("y",)) for row in rows))
    alone = [model().predict({"x": row}, ("y",)) for row in rows]
    assert [answer["y"].tolist() for answer in answers] == [answer["y"].tolist() for answer in alone]


def test_a_model_that_refuses_a_row_of_zeros_is_never_quick() -> None:
    class Picky(Doubler):
        inputs = (TensorSpec("z", np.dtype(np.float64), (None, 2)),)

    assert seconds_per_row(Picky(), 1) == float("inf")
    assert seconds_per_row(Doubler(), 256) < 0.01


def test_a_row_is_measured_among_others() -> None:
    class Slow(Doubler):
        def __init__(self, once: float, per_row: float) -> None:
            super().__init__()
            self._seconds = once, per_row

        def predict(self, inputs: Mapping[str, Any], outputs: tuple[str, ...]) -> dict[str, Any]:
            once, per_row = self._seconds
            end = time.perf_counter() + once + per_row * len(inputs["x"])
            while time.perf_counter() < end:
                pass
            return super().predict(inputs, outputs)

    assert seconds_per_row(Slow(0, 100e-6), 256) > 90e-6
    assert 5e-6 < seconds_per_row(Slow(100e-6, 0), 256) < 50e-6
    assert seconds_per_row(Slow(100e-6, 0), 1) >= 100e-6
    assert seconds_per_row(Slow(300e-6, 0), 256) == float("inf")


def test_a_classifier_predicts_and_tells_probabilities_when_asked(sklearn_folder: Path) -> None:
    model = sklearn_format.load(sklearn_folder, 1)
    assert model.inputs == (TensorSpec("input", np.dtype(np.float64), (None, 4)),)
    assert [spec.shape for spec in model.outputs] == [(None,), (None, 3)]
    answer = model.predict({"input": ROWS}, ("predict", "predict_proba"))
    assert answer["predict"].tolist() == [0, 2]
    np.testing.assert_allclose(answer["predict_proba"].sum(axis=1), 1)


def test_a_classifier_of_several_outputs_tells_probabilities_row_by_row(tmp_path: Path) -> None:
    features = np.array([[0.0], [1.0], [2.0], [3.0]])
    fitted = DecisionTreeClassifier().fit(features, [[0, 1], [0, 0], [1, 0], [1, 0]])
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(fitted))
    model = sklearn_format.load(tmp_path, 1)
    answer = model.predict({"input": features[:3]}, ("predict_proba",))["predict_proba"]
    assert answer.tolist() == [[[1, 0], [0, 1]], [[1, 0], [1, 0]], [[0, 1], [1, 0]]]
    assert rows_stand_alone(model)


def test_a_regressor_in_a_pickle_is_served(tmp_path: Path) -> None:
    fitted = LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0])
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(fitted))
    model = sklearn_format.load(tmp_path, 1)
    assert [spec.name for spec in model.outputs] == ["predict"]
    np.testing.assert_allclose(model.predict({"input": np.array([[2.0]])}, ("predict",))["predict"], [5.0])


def test_values_that_the_estimator_refuses_are_an_input_error(sklearn_folder: Path) -> None:
    model = sklearn_format.load(sklearn_folder, 1)
    with pytest.raises(InputError, match="NaN"):
        model.predict({"input": np.full((1, 4), np.nan)}, ("predict",))


def test_a_folder_with_two_models_is_ambiguous(tmp_path: Path, classifier: LogisticRegression) -> None:
    for name in ("a.pkl", "b.pkl"):
        (tmp_path / name).write_bytes(pickle.dumps(classifier))
    with pytest.raises(ModelLoadError, match=r"found a.pkl, b.pkl"):
        sklearn_format.load(tmp_path, 1)


def test_what_cannot_predict_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps({"weights": 1}))
    with pytest.raises(ModelLoadError, match="a dict has no predict method"):
        sklearn_format.load(tmp_path, 1)


def test_a_graph_of_a_classifier_answers_v1_with_its_label_and_v2_with_all(onnx_folder: Path) -> None:
    model = onnx_format.load(onnx_folder, 1)
    assert (model.primary, model.defaults) == (("label",), ("label", "probabilities"))
    assert model.max_batch > 1
    rows = {model.inputs[0].name: ROWS.astype(np.float32)}
    assert model.predict(rows, ("label",))["label"].tolist() == [0, 2]


def test_a_graph_for_one_row_at_a_time_is_not_batched(tmp_path: Path) -> None:
    save_graph(tmp_path, rows=1)
    assert onnx_format.load(tmp_path, 1).max_batch == 1


def test_a_graph_refuses_wrong_values_as_an_input_error(tmp_path: Path) -> None:
    save_graph(tmp_path, rows="n")
    model = onnx_format.load(tmp_path, 1)
    with pytest.raises(InputError):
        model.predict({"a": np.zeros((1, 3), np.float32), "b": np.zeros((1, 2), np.float32)}, ("sum",))


def test_a_broken_file_does_not_load(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"nonsense")
    with pytest.raises(Exception, match=r"(?i)protobuf"):
        onnx_format.load(tmp_path, 1)


def save_graph(folder: Path, rows: int | str) -> None:
    tensor = helper.make_tensor_value_info
    inputs = [tensor(name, TensorProto.FLOAT, [rows, 2]) for name in "ab"]
    outputs = [tensor(name, TensorProto.FLOAT, [rows, 2]) for name in ("sum", "difference")]
    nodes = [
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("Sub", ["a", "b"], ["difference"]),
    ]
    graph = helper.make_graph(nodes, "two", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "model.onnx")


FLOATS = TensorSpec("x", np.dtype(np.float32), (None, 4))


@pytest.mark.parametrize(
    ("values", "dtype", "message"),
    [
        ([[1, 2], [3]], np.float32, "instances: the rows differ in length or depth"),
        ([[1, 2], [3, "a"]], np.float32, r"instances: expected numbers, found 'a' at \[1\]\[1\]"),
        ([[1, None]], np.float32, r"instances: expected numbers, found None at \[0\]\[1\]"),
        ([[1, True]], np.bool_, r"instances: expected booleans, found 1 at \[0\]\[0\]"),
        ([[1.5]], np.int64, r"instances: expected whole numbers, found 1.5 at \[0\]\[0\]"),
        ([[300]], np.int8, "instances: a value does not fit int8"),
        ([[-1]], np.uint8, "instances: a value does not fit uint8"),
        ([[1]], np.object_, r"instances: expected strings, found 1 at \[0\]\[0\]"),
        ({"a": 1}, np.float32, "instances: expected numbers, found {'a': 1} at the top"),
    ],
)
def test_a_wrong_value_is_refused_by_its_place(values: Any, dtype: Any, message: str) -> None:
    with pytest.raises(Refusal, match=message) as caught:
        array_of(values, np.dtype(dtype), "instances")
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            (1, 3),
            r"expected shape \[-1, 4\] for input 'x', found \[1, 3\]: the model takes 4 features per row",
        ),
        ((4,), r"found \[4\]: a single row is a list in a list"),
        ((1, 4, 1), r"found \[1, 4, 1\]"),
        ((0, 4), "there are no rows"),
    ],
)
def test_a_wrong_shape_is_refused_with_the_one_expected(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(Refusal, match=message):
        check_shape(np.zeros(shape), FLOATS, "instances")


@given(
    numpy_strategies.arrays(
        np.float64, st.tuples(st.integers(1, 5), st.just(4)), elements=st.floats(-1e6, 1e6)
    )
)
def test_an_array_survives_json(array: Any) -> None:
    read = array_of(array.tolist(), np.dtype(np.float64), "data")
    np.testing.assert_array_equal(read, array)
    check_shape(read, FLOATS, "data")


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4))
def test_whole_numbers_of_64_bits_stay_exact(values: list[int]) -> None:
    assert array_of(values, np.dtype(np.uint64), "data").tolist() == values


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_what_is_too_large_for_a_short_float_is_infinite() -> None:
    assert array_of([1e300], np.dtype(np.float32), "data").tolist() == [float("inf")]


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3), st.lists, max_leaves=8
    )
)
def test_any_json_becomes_a_tensor_of_the_type_or_is_refused(values: Any) -> None:
    for dtype in (np.float32, np.int8, np.uint64, np.bool_, np.object_):
        with contextlib.suppress(Refusal):
            assert array_of(values, np.dtype(dtype), "data").dtype == dtype
