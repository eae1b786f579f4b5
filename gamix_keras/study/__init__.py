"""Studies: one question, a list of rows, a run for each row and seed, a table and figures.

    DIR/runs/ROW-seedN/     an ordinary run, trained and evaluated
    DIR/logs/ROW-seedN.log  what it printed
    DIR/study.json          settings, and the numbers of every run and row
    DIR/table.md            the table
    DIR/distances.png, DIR/psnr.png

The same command again resumes a study: finished runs are not repeated, interrupted runs go on from their checkpoints.
"""

from gamix_keras.study.job import Job, Protocol
from gamix_keras.study.plan import STUDIES, Row, Study, plan_jobs, select_rows
from gamix_keras.study.run import run_study

__all__ = ["STUDIES", "Job", "Protocol", "Row", "Study", "plan_jobs", "run_study", "select_rows"]
