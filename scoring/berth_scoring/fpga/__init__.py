"""Deep networks on exclusive devices: a pipeline behind the protocol of TensorFlow Serving."""
