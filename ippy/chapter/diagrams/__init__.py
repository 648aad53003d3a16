"""The architecture diagrams of the book, and the vocabulary that they are drawn with."""

from ippy.chapter.diagrams.convolutional import show_convolutional_networks
from ippy.chapter.diagrams.transformer import show_vision_transformer
from ippy.chapter.diagrams.unrolled import show_unrolled_network

__all__ = ["show_convolutional_networks", "show_unrolled_network", "show_vision_transformer"]
