"""``weights``: where parameters come from instead of their initialisers, and under which names."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from nnspec.errors import Place, Problem, SpecError
from nnspec.records import dataclass
from nnspec.spec.explain import describe, validate
from nnspec.spec.model import Config
from nnspec.spec.renames import table
from nnspec.spec.source import Mapping, Node, Scalar, Sequence


class Renames:
    """Marks a field that a file may hold: the text that names it is replaced by what it holds before it is checked."""


class Weights(Config):
    """Weights from a file or a folder, loaded when the model is compiled; a resumed run has its checkpoint's.

    ``from`` is the folder of a run or of a saved model (its last weights; ``FOLDER/best.safetensors`` are its best), a safetensors
    file, or an ONNX file; relative to the spec. ``layout`` says whose names and axes it has: ``nnspec``, ``torch`` or ``keras``; of an ONNX
    file PyTorch's: its initialisers with a fraction and an axis are the weights, by their names there.

    ``rename: {pattern: name}`` changes names in order, each rule over what those before it made. Names are segments between
    ``/`` and ``.``; a pattern begins where the name begins and ends where a segment ends, what comes behind it stays. A ``*``
    stands for characters within one segment; the first star of the new name is what the first star stood for, and so on, and
    ``*+1`` is that number plus one. ``{"features.*.": "stage_*/"}`` makes ``stage_3/weight`` of ``features.3.weight``; what becomes
    ``null`` is left out. ``rename: renames/yolov8.yaml`` is a file of such pairs, for a family of which no member needs all;
    ``nnspec zoo`` says which table and which layout belong to a published network.

    ``strict`` (true): every weight is used and every parameter filled. With ``strict: false`` what fits by its name is taken.
    ``except`` are patterns over names after renaming: such parameters stay as initialised, such weights are left out.
    """

    source: Annotated[str, Field(alias="from", min_length=1, max_length=4096)]
    layout: Literal["nnspec", "torch", "keras"] = "nnspec"
    rename: Annotated[dict[str, str | None], Renames()] = {}
    strict: bool = True
    leave: Annotated[tuple[str, ...], Field(alias="except")] = ()


@dataclass(frozen=True)
class Transfer:
    """Weights as a spec asks for them: what it says, with the path worked out, and where each of it stands."""

    weights: Weights
    path: Path
    node: Mapping
    table: Path | None = None  # the file of ``rename``

    @property
    def place(self) -> Place:
        """Where the file is named."""
        return self.node.pairs["from"].place

    def at(self, key: str, part: int | str) -> Place:
        """Where one of the renames, or of the exceptions, stands."""
        held = self.node.pairs.get(key)
        if isinstance(held, Mapping) and isinstance(part, str):
            return held.keys.get(part, held.place)
        if isinstance(held, Sequence) and isinstance(part, int):
            return held.items[part].place
        return held.place if held is not None else self.place

    def to_tree(self) -> dict[str, Any]:
        """The section in its canonical spelling, its path absolute."""
        w = self.weights
        tree: dict[str, Any] = {"from": str(self.path)}
        names = str(self.table) if self.table else dict(w.rename)
        for key, value, default in (("layout", w.layout, "nnspec"), ("rename", names, {}), ("strict", w.strict, True),
                                    ("except", list(w.leave), [])):  # fmt: skip
            if value != default:
                tree[key] = value
        return tree


def transfer(node: Node, folder: Path, what: str = "'weights'") -> Transfer:
    """The section ``weights``; a text alone is its ``from``. Raises SpecError."""
    if isinstance(node, Scalar) and isinstance(node.value, str):
        node = Mapping(node.place, {"from": node}, {"from": node.place}, True)
    if not isinstance(node, Mapping):
        raise SpecError(
            Problem(f"{what} does not fit", node.place, found=describe(node), wanted="{from: FILE or the folder of a run}", rule="bad-value")
        )
    named, file = node.pairs.get("rename"), None
    if isinstance(named, Scalar) and isinstance(named.value, str):
        pairs, file = table(named, folder)
        node = Mapping(node.place, {**node.pairs, "rename": pairs}, node.keys, node.flow)
    weights = validate(Weights, node, node.place, what)
    if "\x00" in weights.source:
        raise SpecError(Problem(f"'from' of {what} does not fit", node.pairs["from"].place, wanted="a path", rule="bad-value"))
    return Transfer(weights, folder / Path(weights.source).expanduser(), node, file)
