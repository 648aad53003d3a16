"""What the notebooks share: plots, quick questions, and figures that can be touched."""
