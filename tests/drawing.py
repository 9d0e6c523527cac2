"""Drawn pictures and small models, made for the tests."""

import io
import random
from pathlib import Path

import torch
from PIL import Image, ImageDraw

from captioner import Captioner
from captioner.checkpoint import Checkpoint, model_tensors, save_checkpoint
from captioner.config import CaptionerConfig, DecoderConfig, EncoderConfig
from captioner.model import CaptionModel
from captioner.vocabulary import SPECIAL_WORDS, Vocabulary

COLOURS = {"red": (220, 30, 30), "green": (30, 170, 60), "blue": (40, 60, 220), "yellow": (240, 220, 40)}
SHAPES = ("circle", "square", "triangle")
WORDS = (*SPECIAL_WORDS, "a", "the", *COLOURS, *SHAPES, "is", "on", "white", "ground", "dog", "cat", "'s", "runs")


def draw(colour: str, shape: str, size: tuple[int, int] = (96, 96), seed: int = 0) -> Image.Image:
    """A coloured shape on a light ground; the seed moves it a little."""
    chance = random.Random(seed)
    image = Image.new("RGB", size, tuple(chance.randint(225, 255) for _ in range(3)))
    side = min(size) * chance.uniform(0.45, 0.65)
    left, top = chance.uniform(0, size[0] - side), chance.uniform(0, size[1] - side)
    box = (left, top, left + side, top + side)
    pen = ImageDraw.Draw(image)
    if shape == "circle":
        pen.ellipse(box, COLOURS[colour])
    elif shape == "square":
        pen.rectangle(box, COLOURS[colour])
    else:
        pen.polygon([(left, top + side), (left + side, top + side), (left + side / 2, top)], COLOURS[colour])
    return image


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """An image as the bytes of a file of this kind."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def drawn_data(folder: Path, copies: int, start: int = 0) -> dict:
    """Draw every colour and shape several times into a folder; returns COCO captions for them."""
    folder.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for colour in COLOURS:
        for shape in SHAPES:
            for seed in range(start, start + copies):
                name = f"{colour}_{shape}_{seed}.png"
                draw(colour, shape, seed=seed).save(folder / name)
                images.append({"id": len(images) + 1, "file_name": name})
                for text in (f"A {colour} {shape}.", f"A {shape} is {colour}."):
                    entry = {"id": len(annotations) + 1, "image_id": len(images), "caption": text}
                    annotations.append(entry)
    return {"images": images, "annotations": annotations}


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
