"""The messages that are checked in are those of the descriptions beside them."""

from pathlib import Path
from types import ModuleType

import pytest
from grpc_tools import protoc

from berth_sandbox.fpga import wire as of_the_kubelet
from berth_scoring.fpga import wire as of_tensorflow_serving


@pytest.mark.parametrize("wire", [of_tensorflow_serving, of_the_kubelet], ids=["scoring", "sandbox"])
def test_generated_messages_are_those_of_their_descriptions(tmp_path: Path, wire: ModuleType) -> None:
    folder = Path(next(iter(wire.__path__)))
    root = folder.parents[2]
    files = [str(path.relative_to(root)) for path in sorted(folder.glob("*.proto"))]
    includes = Path(protoc.__file__).parent / "_proto"
    options = [f"-I{root}", f"-I{includes}", f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"]
    assert protoc.main(["protoc", *options, *files]) == 0
    generated = sorted(tmp_path.rglob("*_pb2.py*"))
    assert len(generated) == 2 * len(files) > 0
    for path in generated:
        committed = root / path.relative_to(tmp_path)
        assert committed.read_text() == path.read_text(), f"run `make wire`: {committed.name}"
