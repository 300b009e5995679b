"""Where the work runs: ONNX Runtime sessions, devices, seeds."""
