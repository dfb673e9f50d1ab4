import json
import time

import numpy

VALUES = {
    "none": None,
    "true": True,
    "integer": 7,
    "float": 0.1,
    "not a number": float("nan"),
    "string": "setosa",
    "unicode": "Grüße",
    "list": [1, 2.5, "a", None],
    "object": {"b": 1, "a": {"deep": [True]}},
    "number keys": {1: "one"},
    "tuple": (1, 2),
    "encoded": json.dumps({"result": [1]}),
    "empty string": "",
    "bytes": b"abc",
    "array": numpy.arange(3),
    "array as list": numpy.arange(3).tolist(),
    "numpy scalar": numpy.float32(1.5),
    "set": {1},
}


def init():
    pass


def run(raw_data):
    if raw_data == "raise":
        raise ValueError("a secret of the script")
    if raw_data == "sleep":
        time.sleep(5)
    return VALUES[raw_data]
