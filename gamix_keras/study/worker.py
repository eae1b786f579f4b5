"""The process of one job: `python -m gamix_keras.study.worker`, with the job as the first line of its input.

With a process for each run, memory is freed after it, and every run may have its own backend. The worker ends with the
process that started it, because its input ends then.
"""

import os
import sys
import threading
import traceback

from gamix_keras.config import UserError
from gamix_keras.study.job import Job


def work(job: Job) -> None:
    """Train and evaluate a run, from its newest checkpoint if it has one."""
    from gamix_keras import evaluation, metrics
    from gamix_keras.runs import session

    run, asked = job.open_run(), job.protocol
    settings = evaluation.Settings(samplers=asked.samplers, extractor=asked.extractors, count=asked.count)
    # Raises before hours of training, rather than after, if the extractor's weights are missing.
    for name in evaluation.judges.names_of(asked.extractors):
        metrics.feature_extractor(name)
    session.train(run, verbose=2)
    evaluation.evaluate(run, settings, lambda line: print(f"{line} ...", flush=True))


def main() -> int:
    """Run the job and return the exit code; if it fails, the last printed line says why."""
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
