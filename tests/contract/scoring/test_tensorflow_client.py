"""The published client of TensorFlow Serving talks to our server, and its messages are those of ours."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fpga_pipelines import classifier_graph, jpeg, pipeline_server
from google.protobuf.descriptor import Descriptor
from scoring_servers import peer_python

from berth_scoring.fpga.wire import prediction_service_pb2 as serving
from berth_scoring.fpga.wire import tensor_pb2 as wire

PEER = Path(__file__).parents[2] / "peers/tensorflow_serving"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the published client saw of our server."""
    try:
        python = peer_python(PEER)
    except subprocess.CalledProcessError:
        pytest.skip("the published client cannot be installed here")
    folder = tmp_path_factory.mktemp("client")
    (folder / "green.jpg").write_bytes(jpeg((0, 255, 0)))
    with pipeline_server(folder, classifier=classifier_graph()) as server:
        command = [str(python), str(PEER / "client.py"), str(server.port), str(folder / "green.jpg")]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_the_published_client_gets_an_answer(told: Any) -> None:
    scores = np.frombuffer(bytes.fromhex(told["content"]), np.float32).reshape(told["shape"])
    assert (told["version"], told["dtype"], scores.shape) == (3, wire.DT_FLOAT, (1, 3))
    assert scores[0].argmax() == 1


def test_the_published_client_reads_the_description(told: Any) -> None:
    assert told["inputs"] == {"images": wire.DT_STRING}
    assert told["outputs"] == {"output_alias": wire.DT_FLOAT}


def test_our_types_have_their_numbers(told: Any) -> None:
    ours = dict(wire.DataType.items())
    assert ours.items() <= told["types"].items()


def test_our_methods_are_methods_of_the_service(told: Any) -> None:
    methods = serving.DESCRIPTOR.services_by_name["PredictionService"].methods
    assert {method.name for method in methods} <= set(told["methods"])


def messages(descriptors: list[Descriptor]) -> Iterator[Descriptor]:
    for descriptor in descriptors:
        yield descriptor
        yield from messages(list(descriptor.nested_types))


def test_our_fields_have_their_names_numbers_and_types(told: Any) -> None:
    ours = [
        *serving.DESCRIPTOR.message_types_by_name.values(),
        *wire.DESCRIPTOR.message_types_by_name.values(),
    ]
    compared = 0
    for message in messages(ours):
        theirs = told["fields"][message.full_name]
        for field in message.fields:
            assert theirs[field.name] == [field.number, field.type, field.is_repeated], field.full_name
            compared += 1
    assert compared > 40
