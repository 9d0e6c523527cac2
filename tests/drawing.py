"""Small models whose words are those of drawn pictures, made for the tests."""

import io
from pathlib import Path

import torch
from PIL import Image

from captioner import Captioner
from captioner.checkpoint import Checkpoint, model_tensors, save_checkpoint
from captioner.config import CaptionerConfig, DecoderConfig, EncoderConfig
from captioner.model import CaptionModel
from captioner.vocabulary import SPECIAL_WORDS, Vocabulary
from train.data.drawn import COLOURS, SHAPES

WORDS = (*SPECIAL_WORDS, "a", "the", *COLOURS, *SHAPES, "is", "on", "white", "ground", "dog", "cat", "'s", "runs")


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """An image as the bytes of a file of this kind."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def tiny_model(cell: str = "lstm", attention: str = "additive", seed: int = 0, **decoder: object) -> CaptionModel:
    """An untrained small model of the test vocabulary."""
    torch.manual_seed(seed)
    encoder = EncoderConfig("squeezenet1_1", image_size=64)
    settings = {"grid_channels": 512, "width": 24, "embedding_width": 16, "attention_width": 12} | decoder
    return CaptionModel(CaptionerConfig(encoder, DecoderConfig(cell, attention, **settings)), len(WORDS)).eval()


def save_tiny(folder: Path) -> str:
    """A checkpoint of `tiny_model`; returns its path."""
    path, model = folder / "tiny.safetensors", tiny_model()
    save_checkpoint(Checkpoint(model.config, Vocabulary(WORDS), model_tensors(model)), path)
    return str(path)


def tiny_captioner(**settings: object) -> Captioner:
    """An untrained small captioner: its sentences mean nothing, but its promises hold."""
    return Captioner(tiny_model(**settings), Vocabulary(WORDS), "cpu")
