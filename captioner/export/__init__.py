"""The model for other runtimes: as ONNX, which onnxruntime reads from Python, C++, Java, browsers and phones."""
