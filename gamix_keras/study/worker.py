"""The process of one job: ``python -m gamix_keras.study.worker``, with the job as the first line of its input.

A process for each run gives its memory back, and lets every run have its own backend. It ends with the process that
started it: its input ends then.
"""

import os
import sys
import threading
import traceback

from gamix_keras.config import UserError
from gamix_keras.study.job import Job


def work(job: Job) -> None:
    """Train and evaluate a run, from wherever it is."""
    from gamix_keras import evaluation, metrics
    from gamix_keras.runs import session

    run, asked = job.open_run(), job.protocol
    settings = evaluation.Settings(samplers=asked.samplers, extractor=asked.extractor, count=asked.count)
    # Made to be thrown away: weights that are missing are told before hours of training, not after.
    metrics.feature_extractor(asked.extractor)
    session.train(run, verbose=2)
    evaluation.evaluate(run, settings, lambda line: print(f"{line} ...", flush=True))


def main() -> int:
    """Do the job; the last line that is printed tells what went wrong, if anything."""
    job = Job.from_json(sys.stdin.readline())
    threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        work(job)
    except Exception as error:
        traceback.print_exc()
        text = " ".join(str(error).split())
        print(text if isinstance(error, UserError) else f"{type(error).__name__}: {text}", file=sys.stderr)
        return 1
    return 0


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
