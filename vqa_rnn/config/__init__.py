"""All options: typed, frozen, validated. The defaults live here and nowhere else. A file a section; `files` composes them."""

from vqa_rnn.config.attention import Attention, NoAttention, StackedAttention, TopDownAttention
from vqa_rnn.config.dataset import (
    ClevrDataset,
    ClevrDialogDataset,
    DaquarDataset,
    Dataset,
    DatasetOptions,
    EasyVqaDataset,
    JsonlDataset,
    SlakeDataset,
    VisdialDataset,
    Visual7wDataset,
    VqaDataset,
    VqaRadDataset,
)
from vqa_rnn.config.features import OWN_OPTIONS, PRESET_OPTIONS, REGION_OPTIONS, SUFFIXES, FeaturesConfig, Intensity
from vqa_rnn.config.fusion import ConcatFusion, Fusion, ProductFusion
from vqa_rnn.config.heads import ChoiceHead, ClassifierHead, GenerativeHead, Head, MlpChoiceHead
from vqa_rnn.config.history import (
    HierarchicalAttentionHistory,
    HierarchicalHistory,
    History,
    LateFusionHistory,
    MemoryHistory,
    NoHistory,
)
from vqa_rnn.config.model import ModelConfig
from vqa_rnn.config.paths import run_path, store_path
from vqa_rnn.config.reasoning import Reasoning
from vqa_rnn.config.section import Positive, Section, Share
from vqa_rnn.config.text import CellName, RecurrentOptions, TextConfig, TextEncoderConfig
from vqa_rnn.config.training import (
    AdamaxOptimizer,
    AdamOptimizer,
    AdamWOptimizer,
    ConstantSchedule,
    CosineSchedule,
    Optimizer,
    Schedule,
    SgdOptimizer,
    StepSchedule,
    TrainingConfig,
)
from vqa_rnn.config.whole import Config, EvaluationConfig, RunConfig

__all__ = [
    "OWN_OPTIONS",
    "PRESET_OPTIONS",
    "REGION_OPTIONS",
    "SUFFIXES",
    "AdamOptimizer",
    "AdamWOptimizer",
    "AdamaxOptimizer",
    "Attention",
    "CellName",
    "ChoiceHead",
    "ClassifierHead",
    "ClevrDataset",
    "ClevrDialogDataset",
    "ConcatFusion",
    "Config",
    "ConstantSchedule",
    "CosineSchedule",
    "DaquarDataset",
    "Dataset",
    "DatasetOptions",
    "EasyVqaDataset",
    "EvaluationConfig",
    "FeaturesConfig",
    "Fusion",
    "GenerativeHead",
    "Head",
    "HierarchicalAttentionHistory",
    "HierarchicalHistory",
    "History",
    "Intensity",
    "JsonlDataset",
    "LateFusionHistory",
    "MemoryHistory",
    "MlpChoiceHead",
    "ModelConfig",
    "NoAttention",
    "NoHistory",
    "Optimizer",
    "Positive",
    "ProductFusion",
    "Reasoning",
    "RecurrentOptions",
    "RunConfig",
    "Schedule",
    "Section",
    "SgdOptimizer",
    "Share",
    "SlakeDataset",
    "StackedAttention",
    "StepSchedule",
    "TextConfig",
    "TextEncoderConfig",
    "TopDownAttention",
    "TrainingConfig",
    "VisdialDataset",
    "Visual7wDataset",
    "VqaDataset",
    "VqaRadDataset",
    "run_path",
    "store_path",
]
