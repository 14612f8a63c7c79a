"""The benchmarks, a row each: what reads them, measures them, writes their submission, and where their files come from."""

from vqa_rnn.benchmarks.annotations import read_annotations
from vqa_rnn.benchmarks.benchmark import Benchmark, Submission
from vqa_rnn.benchmarks.table import BENCHMARKS

__all__ = ["BENCHMARKS", "Benchmark", "Submission", "read_annotations"]
