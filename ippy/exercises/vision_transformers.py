"""Exercises on Vision Transformers, pencil and paper."""

from __future__ import annotations

from ippy.exercises import attention, patches
from ippy.exercises.core import Exercise
from ippy.exercises.judging import choice, number

EXERCISES = (
    *patches.EXERCISES,
    *attention.EXERCISES,
    Exercise(
        name="crossover",
        kind="number",
        hints=(
            "Set the cost of attention equal to the cost of everything else, 2N²d = 4Nd² + 2Ndm, "
            "and divide by what both sides share.",
            "What remains is linear in N, and d and m decide alone.",
        ),
        why="Below this length a block spends most of its multiplications on its matrices, above "
        "it on attention. Our slices at P = 8 are above, at P = 16 below: there, cheaper kinds of "
        "attention would save next to nothing. (In our whole model the decoder counts too, so at "
        "P = 8 attention is only a fifth of the total.)",
        judge=number(
            512,
            tolerance=0.5,
            mistakes={
                "There attention costs as much as the projections alone, or as the MLP alone (with "
                "m = 2d that is the same). Together they are the rest.": 256,
                "You seem to have doubled the MLP: its two matrices are both in 2Ndm already.": 768,
                "Attention is 2N²d: one product for the scores, one for the weighted mean. You "
                "seem to have counted one of them.": 1024,
            },
        ),
    ),
    Exercise(
        name="key-bias",
        kind="choice",
        hints=(
            "Write the score of query i and key j with the new key, k_j + b, and multiply out. "
            "Which of the two terms depends on j?",
            "The softmax runs over j. What does it do to a number that is added to all scores of "
            "one row?",
        ),
        why="The bias of the keys is a parameter that can do nothing: some models leave it out. "
        "The same rule, softmax(s + c) = softmax(s), is what makes a softmax safe to compute.",
        judge=choice(
            "b",
            wrong={
                "a": "The scores do change. But look at what the softmax makes of the change: how "
                "does it differ from key to key?",
                "c": "The direction of b matters for how much the scores change, not for whether "
                "the weights do. Multiply out q·(k + b).",
                "d": "A temperature multiplies the scores. Here something is added to them.",
            },
        ),
    ),
    Exercise(
        name="pixel-order",
        kind="choice",
        hints=(
            "The shuffled patch is Π vec(x) with a permutation matrix Π, the same for all patches. "
            "What does the embedding E make of it?",
            "E is learned. Is there another matrix E' that gives the same tokens as before?",
        ),
        why="Inside a patch a ViT has no notion of neighbours: 64 pixels are 64 numbers to it, and "
        "everything about their layout is learned. A convolution has it built in, and needs "
        "less data for that reason.",
        judge=choice(
            "a",
            wrong={
                "b": "Attention compares tokens, and tokens are made by E, which is trained on the "
                "shuffled patches. Could E undo the shuffling?",
                "c": "Positions say where a *patch* comes from. The shuffling here is inside the "
                "patches, and the same in all of them.",
                "d": "The embedding is one matrix, written as a convolution whose stride is its "
                "kernel. Does it know which of its columns are neighbours?",
            },
        ),
    ),
)
