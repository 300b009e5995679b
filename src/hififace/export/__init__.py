"""From a PyTorch network to a bundle of ONNX graphs, each checked before it is called exported."""
