#!/usr/bin/env bash
# TensorFlow 2.21.0, oneDNN on (its default on x86 processors with AVX512 or AMX): a convolution of a batch of 0 images
# returns the shape of its *input*, (0, 64, 64, 3), where 2 images give (2, 32, 32, 32) and the kernels without oneDNN
# give (0, 32, 32, 32). Nothing is raised there; the next layer fails with a sentence about the depth of its input, or a
# concatenation with other images does, far from the cause. One expects the shape that the operation declares.
# It matters if a batch is split by a condition (only some images are judged) and a part may be empty.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet tensorflow==2.21.0
cat > "$folder/try.py" <<'PYTHON'
import tensorflow as tf

kernel = tf.ones((3, 3, 3, 32))
print(tf.__version__, *(tf.nn.conv2d(tf.zeros((n, 64, 64, 3)), kernel, 2, "SAME").shape for n in (2, 0)))
PYTHON
run() { TF_CPP_MIN_LOG_LEVEL=3 TF_ENABLE_ONEDNN_OPTS=$1 "$folder/venv/bin/python" "$folder/try.py" 2> /dev/null; }
with=$(run 1) without=$(run 0)
echo "oneDNN on:  $with"
echo "oneDNN off: $without"
[ "$with" = "2.21.0 (2, 32, 32, 32) (0, 64, 64, 3)" ]
[ "$without" = "2.21.0 (2, 32, 32, 32) (0, 32, 32, 32)" ]
