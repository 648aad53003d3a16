"""Ways into the course from outside, scans of one's own, and out of it: models as ONNX files."""
