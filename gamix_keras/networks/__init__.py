"""Encoders, decoders and critics, one family per file."""

from gamix_keras.networks.convnet import ConvDecoder, ConvEncoder
from gamix_keras.networks.infogan import InfoGANDecoder, InfoGANEncoder
from gamix_keras.networks.mlp import MLPDecoder, MLPEncoder, SecondStageDecoder, SecondStageEncoder
from gamix_keras.networks.patchgan import PatchGANCritic
from gamix_keras.networks.projected import ProjectedCritic
from gamix_keras.networks.resnet import ResNetDecoder, ResNetEncoder
from gamix_keras.networks.transformer import TransformerDecoder, TransformerEncoder
from gamix_keras.networks.wae import WAEDecoder, WAEEncoder

__all__ = [
    "ConvDecoder",
    "ConvEncoder",
    "InfoGANDecoder",
    "InfoGANEncoder",
    "MLPDecoder",
    "MLPEncoder",
    "PatchGANCritic",
    "ProjectedCritic",
    "ResNetDecoder",
    "ResNetEncoder",
    "SecondStageDecoder",
    "SecondStageEncoder",
    "TransformerDecoder",
    "TransformerEncoder",
    "WAEDecoder",
    "WAEEncoder",
]
