# The public names. ``__init__.py`` imports each on first use; type checkers read this file.

from .answering.answer import Answer
from .answering.huggingface import HuggingFaceSession
from .answering.occlusion import explain
from .answering.pictures import draw
from .answering.protocol import About, AnySession
from .answering.session import Session, load
from .benchmarks import read_annotations
from .checkpoint import Run, load_run
from .commands.evaluate import evaluate
from .commands.predict import predict
from .commands.preprocess import preprocess
from .commands.train import train
from .config import Config
from .config.files import load_config
from .errors import UserError
from .features.store import FeatureStore, open_store
from .models.attention import (
    ATTENTIONS,
    Attended,
    BilinearAttention,
    CoAttention,
    GlimpseAttention,
    MeanPooling,
    RecurrentAttention,
    StackedAttention,
    TopDownAttention,
)
from .models.fusion import (
    FUSIONS,
    BlockFusion,
    CompactFusion,
    ConcatFusion,
    FactorisedFusion,
    GatedFusion,
    LowRankFusion,
    MutanFusion,
    ProductFusion,
    SumFusion,
    TuckerFusion,
)
from .models.reasoning import REASONING, Film, Mac, Mcan, Reasoned, RelationNetwork, WordAttention
from .models.text_encoder import EncodedTexts
from .records import Annotations, Prediction, Question, Round
from .rnn import CELLS, Cell, RecurrentNetwork
from .sequences.draw import Draw
from .sequences.glimpses import GlimpseReader
from .sequences.language_model import LanguageModel
from .sequences.seq2seq import Seq2Seq
from .sequences.video import VideoModel

__version__: str
__all__ = [
    "ATTENTIONS",
    "CELLS",
    "FUSIONS",
    "REASONING",
    "About",
    "Annotations",
    "Answer",
    "AnySession",
    "Attended",
    "BilinearAttention",
    "BlockFusion",
    "Cell",
    "CoAttention",
    "CompactFusion",
    "ConcatFusion",
    "Config",
    "Draw",
    "EncodedTexts",
    "FactorisedFusion",
    "FeatureStore",
    "Film",
    "GatedFusion",
    "GlimpseAttention",
    "GlimpseReader",
    "HuggingFaceSession",
    "LanguageModel",
    "LowRankFusion",
    "Mac",
    "Mcan",
    "MeanPooling",
    "MutanFusion",
    "Prediction",
    "ProductFusion",
    "Question",
    "Reasoned",
    "RecurrentAttention",
    "RecurrentNetwork",
    "RelationNetwork",
    "Round",
    "Run",
    "Seq2Seq",
    "Session",
    "StackedAttention",
    "SumFusion",
    "TopDownAttention",
    "TuckerFusion",
    "UserError",
    "VideoModel",
    "WordAttention",
    "draw",
    "evaluate",
    "explain",
    "load",
    "load_config",
    "load_run",
    "open_store",
    "predict",
    "preprocess",
    "read_annotations",
    "train",
]
