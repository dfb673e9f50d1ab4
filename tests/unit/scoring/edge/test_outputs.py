import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_scoring.azureml import to_response
from berth_scoring.edge.outputs import (
    LARGEST_MESSAGE,
    answered,
    json_texts,
    refused,
    size_beyond_limit,
    too_large,
)
from berth_scoring.edge.topics import write_properties
from berth_scoring.messages import Refusal, Response

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)
)


@given(st.lists(values, max_size=5))
def test_a_list_of_json_texts_makes_a_message_of_each(given_values: list[Any]) -> None:
    texts = [json.dumps(value) for value in given_values]
    outputs = answered(to_response(texts), {}, one_each=True)
    assert [json.loads(output.body) for output in outputs] == given_values


@given(values.filter(lambda value: not isinstance(value, list)))
def test_what_is_no_list_is_one_message(value: object) -> None:
    (output,) = answered(to_response(value), {}, one_each=True)
    assert json.loads(output.body) == ({} if value is None else value)


@pytest.mark.parametrize("value", [["setosa"], ["1", 2], [{"a": 1}], [["1"]], ["[1"]])
def test_a_list_of_other_things_is_one_message(value: object) -> None:
    assert json_texts(json.dumps(value).encode()) is None


@pytest.mark.parametrize("body", [b"[no JSON", b"[" * 100_000, b"[\xff]", b'["\xff"]'])
def test_a_body_of_a_script_s_own_may_only_look_like_a_list(body: bytes) -> None:
    (output,) = answered(Response(200, body), {}, one_each=True)
    assert output.body == body


@pytest.mark.parametrize("text", ["[" * 100_000, "\ud800", '"unfinished'])
def test_texts_that_cannot_be_read_make_one_message(text: str) -> None:
    (output,) = answered(to_response([text]), {}, one_each=True)
    assert json.loads(output.body) == [text]


def test_half_a_character_is_escaped() -> None:
    (output,) = answered(to_response(['"\ud800"']), {}, one_each=True)
    assert json.loads(output.body) == "\ud800"


def test_a_model_answers_in_one_message() -> None:
    (output,) = answered(to_response(["1", "2"]), {}, one_each=False)
    assert json.loads(output.body) == ["1", "2"]


def test_properties_go_along_but_for_those_of_the_system() -> None:
    received = {
        "$.mid": "m",
        "$.cdid": "d",
        "$.cmid": "p",
        "$.ct": "text/plain",
        "source": "pump",
        "AzureMLResponse": "x",
    }
    first, second = answered(to_response(["1", "2"]), received, one_each=True)
    assert first.properties == {
        "$.ct": "application/json",
        "$.ce": "utf-8",
        "$.mid": "m:0",
        "$.cid": "m",
        "source": "pump",
        "AzureMLResponse": "OK",
    }
    assert second.properties["$.mid"] == "m:1"
    assert first.is_ok


def test_a_script_s_own_response_keeps_its_content_type() -> None:
    (output,) = answered(Response(200, b"\x89PNG", [(b"content-type", b"image/png")]), {}, one_each=True)
    assert output.properties["$.ct"] == "image/png"
    assert output.body == b"\x89PNG"


def test_a_failure_is_told_by_property_and_body() -> None:
    (output,) = answered(Response(418, b"no"), {}, one_each=True)
    assert output.properties["AzureMLResponse"] == "the script answered with status 418"
    assert output.body == b"no"
    refusal = refused(Refusal(400, "w" * 1000), {"$.mid": "m"})
    assert refusal.properties["AzureMLResponse"] == "w" * 256
    assert json.loads(refusal.body) == {"message": "w" * 1000}
    assert refusal.properties["$.cid"] == "m"
    assert not refusal.is_ok
    assert "%3F" in write_properties(refused(Refusal(400, "\ud800"), {}).properties)


def test_what_a_hub_would_not_take_is_measured_with_its_topic() -> None:
    assert size_beyond_limit("t" * 100, b"x" * (LARGEST_MESSAGE - 104)) is None
    assert size_beyond_limit("t" * 100, b"x" * (LARGEST_MESSAGE - 103)) == LARGEST_MESSAGE + 1
    assert size_beyond_limit("t" * 0x10000, b"") == 0x10004
    assert not too_large(300_000).is_ok
