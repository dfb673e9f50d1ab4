"""Train a classifier on the iris data; save it for score.py (joblib) and by its format alone (ONNX).

uv run --group examples python examples/iris/train.py examples/iris/out
"""

import sys
from pathlib import Path

import joblib
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)

iris = load_iris()
features = iris.data.astype("float32")
species = iris.target_names[iris.target]
model = LogisticRegression(max_iter=1000).fit(features, species)
print(f"accuracy on the training data: {model.score(features, species):.3f}")

joblib.dump(model, folder / "model.joblib")

# zipmap=False: probabilities as one tensor instead of a list of dictionaries.
onnx = to_onnx(model, features[:1], options={"zipmap": False})
(folder / "model.onnx").write_bytes(onnx.SerializeToString())
