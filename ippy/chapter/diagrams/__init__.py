"""The architecture diagrams of the book, and the vocabulary that they are drawn with."""

from ippy.chapter.diagrams.convolutional import show_convolutional_networks
from ippy.chapter.diagrams.transformer import show_vision_transformer

__all__ = ["show_convolutional_networks", "show_vision_transformer"]
