"""Table of benchmarks, with the reader, metrics, submission format and official files of each."""

from vqa_rnn.benchmarks.annotations import read_annotations
from vqa_rnn.benchmarks.benchmark import Benchmark, Submission
from vqa_rnn.benchmarks.table import BENCHMARKS

__all__ = ["BENCHMARKS", "Benchmark", "Submission", "read_annotations"]
