"""Words of the data section that are not ours, or not yet."""

from __future__ import annotations

from dataclasses import replace

from nnspec.errors import Place, Problem
from nnspec.spec import edits
from nnspec.spec.explain import unknown
from nnspec.spec.source import Mapping as MappingNode

_SOURCE = "sources of this version: digits, iris, inline, csv, npz, parquet, idx, image_folder, files"

LATER: dict[str, str] = {
    **dict.fromkeys(
        ("text", "mnist", "fashion_mnist", "cifar10", "cifar100"), _SOURCE
    ),
    "pair": "one source is read in this version",
    "date": "turn it into numbers first, or drop it",
}

ELSEWHERE: dict[str, str] = {  # what is no key, and where it is said
    **dict.fromkeys(("sample_weight", "sample_weights", "weight", "weights"), "a column called sample_weight says what each row weighs"),
}

FOREIGN: dict[str, str] = {
    "val": "validation",
    "valid": "validation",
    "dev": "validation",
    "training": "train",
    "testing": "test",
    "stratified": "stratify",
    "kfold": "folds",
    "k_folds": "folds",
    "n_splits": "folds",
    "groups": "group",
    "group_by": "group",
    "sort": "order",
    "order_by": "order",
    "normalize": "standardize",
    "standard_scaler": "standardize",
    "StandardScaler": "standardize",
    "zscore": "standardize",
    "minmax": "min_max",
    "augmentation": "augment",
    "transforms_train": "augment",
    "RandomFlip": "flip",
    "RandomHorizontalFlip": "flip",
    "RandomCrop": "crop",
    "RandomRotation": "rotate",
    "rotation": "rotate",
    "RandomZoom": "scale",
    "zoom": "scale",
    "RandomBrightness": "brightness",
    "RandomContrast": "contrast",
    "GaussianNoise": "noise",
    "gaussian_noise": "noise",
    "RandomErasing": "cutout",
    "MixUp": "mixup",
    "num_workers": "workers",
    "oversample": "balance",
    "min_max_scaler": "min_max",
    "MinMaxScaler": "min_max",
    "OneHotEncoder": "one_hot",
    "onehot": "one_hot",
    "dummies": "one_hot",
    "feature_range": "range",
    "Rescaling": "rescale",
    "rescaling": "rescale",
    "scaling": "rescale",
    "preprocess": "prepare",
    "preprocessing": "prepare",
    "transform": "prepare",
    "transforms": "prepare",
    "sep": "separator",
    "delimiter": "separator",
    "label": "target",
    "labels": "target",
    "file": "path",
    "filename": "path",
    "numeric": "number",
    "float": "number",
    "int": "number",
    "numerical": "number",
    "categorical": "category",
    "string": "category",
    "class": "category",
    "ignore": "drop",
    "skip": "drop",
    "features": "columns",
    "iris_dataset": "iris",
    "ImageFolder": "image_folder",
    "image_dataset_from_directory": "image_folder",
    "flow_from_directory": "image_folder",
    "folder": "image_folder",
    "directory": "path",
    "root_dir": "path",
    "img_size": "size",
    "image_size": "size",
    "target_size": "size",
    "input_size": "size",
    "color_mode": "channels",
    "mode": "channels",
    "grayscale": "gray",
    "photo": "image",
    "img": "image",
    "ubyte": "idx",
    "pq": "parquet",
    "tsv": "csv",
    "numpy": "npz",
    "npy": "npz",
    "fillna": "missing",
    "impute": "missing",
}


def not_ours(word: str, known: tuple[str, ...], place: Place, what: str) -> Problem:
    """The problem of a word that the data section does not know: for later, foreign, or misspelt."""
    if word in LATER:
        return Problem(f"{word}: not in this version", place, hint=LATER[word], rule="not-in-this-version")
    if FOREIGN.get(word) in known:
        problem = unknown(word, known, place, what, "unknown-key")
        return Problem(
            problem.message,
            place,
            wanted=problem.wanted,
            hint=f"in nnspec this is '{FOREIGN[word]}'",
            rule=problem.rule,
            edits=(edits.word(place, word, FOREIGN[word]),),
        )
    problem = unknown(word, known, place, what, "unknown-key")
    return replace(problem, hint=ELSEWHERE[word]) if word in ELSEWHERE else problem


def only(node: MappingNode, known: tuple[str, ...], what: str, problems: list[Problem]) -> MappingNode:
    """The mapping without the keys that are not known; each of those becomes a problem."""
    problems += [not_ours(key, known, node.keys[key], what) for key in node.pairs if key not in known]
    pairs = {key: value for key, value in node.pairs.items() if key in known}
    return MappingNode(node.place, pairs, {key: node.keys[key] for key in pairs}, node.flow)
