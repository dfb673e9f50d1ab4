"""The messages that are checked in are those of the descriptions beside them."""

from pathlib import Path

from grpc_tools import protoc

from berth_scoring.fpga import wire

FOLDER = Path(next(iter(wire.__path__)))
ROOT = FOLDER.parents[2]


def test_generated_messages_are_those_of_their_descriptions(tmp_path: Path) -> None:
    files = [str(path.relative_to(ROOT)) for path in sorted(FOLDER.glob("*.proto"))]
    includes = Path(protoc.__file__).parent / "_proto"
    options = [f"-I{ROOT}", f"-I{includes}", f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"]
    assert protoc.main(["protoc", *options, *files]) == 0
    generated = sorted(tmp_path.rglob("*_pb2.py*"))
    assert len(generated) == 2 * len(files)
    for path in generated:
        committed = ROOT / path.relative_to(tmp_path)
        assert committed.read_text() == path.read_text(), f"run `make wire`: {committed.name}"
