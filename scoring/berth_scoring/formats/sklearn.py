"""scikit-learn estimators saved by joblib or pickle."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from berth_scoring.formats.base import InputError, ModelLoadError, Tensors, TensorSpec, only_file

SUFFIXES = (".joblib", ".pkl", ".pickle")
MAX_BATCH = 256


class SklearnModel:
    """Anything with a `predict` that takes rows of features."""

    platform = "sklearn"
    primary = ("predict",)
    defaults = ("predict",)
    max_batch = MAX_BATCH

    def __init__(self, estimator: Any) -> None:  # noqa: ANN401 - scikit-learn has no types
        self._methods = {"predict": estimator.predict}
        if hasattr(estimator, "predict_proba"):
            self._methods["predict_proba"] = lambda rows: _rows_first(estimator.predict_proba(rows))
        features = getattr(estimator, "n_features_in_", None)
        self.inputs = (TensorSpec("input", np.dtype(np.float64), (None, features)),)
        self.outputs = tuple(_output_spec(name, estimator) for name in self._methods)

    def predict(self, inputs: Mapping[str, NDArray[Any]], outputs: tuple[str, ...]) -> Tensors:
        """Call the method that each wanted output is named after."""
        (rows,) = inputs.values()
        try:
            return {name: np.asarray(self._methods[name](rows)) for name in outputs}
        except ValueError as error:
            raise InputError(str(error)) from error


def load(folder: Path, _threads: int) -> SklearnModel:
    """Load the one estimator in `folder`."""
    estimator = joblib.load(only_file(folder, SUFFIXES))
    if not hasattr(estimator, "predict"):
        raise ModelLoadError(f"a {type(estimator).__name__} has no predict method")
    return SklearnModel(estimator)


def _rows_first(answer: Any) -> Any:  # noqa: ANN401 - scikit-learn has no types
    # Classifiers of several outputs answer with a list, which holds the rows of each output.
    several = isinstance(answer, list) and np.ndim(answer[0]) > 1
    return np.stack(answer, axis=1) if several else answer


def _output_spec(name: str, estimator: Any) -> TensorSpec:  # noqa: ANN401 - scikit-learn has no types
    classes = getattr(estimator, "classes_", None)
    if name == "predict_proba":
        columns = len(classes) if isinstance(classes, np.ndarray) else None
        return TensorSpec(name, np.dtype(np.float64), (None, columns))
    dtype = classes.dtype if isinstance(classes, np.ndarray) else np.dtype(np.float64)
    return TensorSpec(name, dtype, (None,))
