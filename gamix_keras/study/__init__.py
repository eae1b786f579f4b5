"""Studies: one question, a list of rows, a run for each row and seed, one table and one figure.

    DIR/runs/ROW-seedN/     an ordinary run, trained and evaluated
    DIR/logs/ROW-seedN.log  what it printed
    DIR/study.json          settings, and the numbers of every run and row
    DIR/table.md            the table
    DIR/distances.png, DIR/psnr.png

What is finished is not repeated, and what was interrupted goes on from its checkpoint: the same command again does it.
"""

from gamix_keras.study.job import Job, Protocol
from gamix_keras.study.plan import STUDIES, Row, Study, plan_jobs, select_rows
from gamix_keras.study.run import run_study

__all__ = ["STUDIES", "Job", "Protocol", "Row", "Study", "plan_jobs", "run_study", "select_rows"]
