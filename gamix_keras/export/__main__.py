"""``python -m gamix_keras.export REQUEST``: how ``export_run`` calls itself under the TensorFlow backend."""

import json
import sys

from gamix_keras.export.run import answer

print(json.dumps(answer(sys.argv[1])))
