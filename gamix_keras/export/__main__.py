"""`python -m gamix_keras.export REQUEST`: the process that `export_run` starts to export on the TensorFlow backend."""

import json
import sys

from gamix_keras.export.run import answer

print(json.dumps(answer(sys.argv[1])))
