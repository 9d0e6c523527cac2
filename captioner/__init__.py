"""Captioner: says in a sentence what is in a photograph and shows, word by word, where it looked."""

from .captioner import Caption, Captioner, Explanation
from .config import SearchConfig
from .errors import CaptionerError, CheckpointError, DataError, PhotoError, SettingError
from .overlay import attention_figure, attention_walk, overlay_attention, save_walk
from .photo import SUFFIXES as PHOTO_SUFFIXES
from .photo import open_photo

__version__ = "0.1.0"

__all__ = [
    "PHOTO_SUFFIXES",
    "Caption",
    "Captioner",
    "CaptionerError",
    "CheckpointError",
    "DataError",
    "Explanation",
    "PhotoError",
    "SearchConfig",
    "SettingError",
    "attention_figure",
    "attention_walk",
    "open_photo",
    "overlay_attention",
    "save_walk",
]
