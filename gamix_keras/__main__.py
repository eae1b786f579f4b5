"""`python -m gamix_keras` is `gamix-keras`."""

import sys

from gamix_keras.cli.main import main

sys.exit(main())
