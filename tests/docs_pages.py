"""The pages of the reference, made from the declarations: ``NNSPEC_WRITE_GOLDEN=1 pytest tests/test_docs.py`` writes them."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from inspect import cleandoc
from itertools import product
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BeforeValidator

from nnspec import errors
from nnspec.compiler import loads
from nnspec.data import config as data
from nnspec.data.augment import Augmentation
from nnspec.data.source_kinds import Source
from nnspec.errors import SpecError
from nnspec.ir.op import REGISTRY
from nnspec.layers.activations import Activation
from nnspec.layers.initializers import Initializer
from nnspec.layers.layer import Entry
from nnspec.layers.windows import ENDS, Ends
from nnspec.spec.described import about
from nnspec.spec.model import Config, Kind
from nnspec.spec.settings import Checkpoint, EarlyStopping, Settings
from nnspec.spec.transfer import Weights
from nnspec.spec.write import flow
from nnspec.training.losses import Loss
from nnspec.training.metrics import Metric
from nnspec.training.optimizers import Optimizer, WeightDecay
from nnspec.training.schedules import Schedule
from nnspec.training.stretches import Stretch
from nnspec.view.describe import shape
from nnspec.view.described import value_text
from tests import docs_examples
from tests.docs_kin import FAMILIES, Kin, cell

MADE = "<!-- made from the declarations by tests/docs_pages.py -->\n"
SHAPES = ("[8]", "[6, 8]", "[8, 8, 4]", "[4, 8, 8, 4]")
TYPES = {
    "WeightDecay": "number, or [decay](training.md#decay-of-weights)", "Span": "epochs, or `500 steps`", "Activation": "[activation](layers.md#activations)",
    "EarlyStopping": "whole number, or [early_stopping](#early_stopping)", "Checkpoint": "`best`, `last`, or [checkpoint](#checkpoint)",
    "Bound": "text or number: `\"<= 1e5\"`", "Sweep": "`{over: {key: values}}`",
}  # fmt: skip
VALUES = {
    "units": "10", "filters": "8", "kernel": "3", "size": "2", "factor": "2", "groups": "2", "shape": "[4, 2]", "axes": "[1]", "rate": "0.5",
    "formula": '"x * sigmoid(x)"', "dtype": "float32", "vocabulary": "100", "equation": '"i,j->ij"', "minimum": "0", "maximum": "6", "scale": "2",
    "depth": "10", "k": "2", "of": "relu", "at": "0", "start": "0", "stop": "2", "value": "1.0", "parts": "2", "axis": "0", "padding": "1", "stop_at": "2",
}  # fmt: skip


def pages() -> dict[str, str]:
    """Every page by its file's name."""
    return {
        "layers.md": "\n".join(_layers()),
        "training.md": "\n".join(_training()),
        "data.md": "\n".join(_data()),
        "keys.md": "\n".join(_keys()),
        "ops.md": "\n".join(_ops()),
    }


def _layers() -> Iterator[str]:
    yield "# Layers\n"
    yield MADE
    yield ("An entry of `layers` is `name`, `name: primary` or `name: {key: value}`; the primary field is set in **bold**. Shapes leave the batch out. "
           "Every example is checked as it stands here, on an input of the shape at its left.\n")  # fmt: skip
    own = {k: m for k, m in Entry.registry.items() if k not in Activation.activations}
    yield f"[Activations](#activations) are layers, too. {_index(own)}\n"
    for kind, member in sorted(own.items()):
        yield from _section(kind, member, example(kind, member))
    yield "## Activations\n"
    yield "A layer each, and a value of `activation`: `activation: {leaky_relu: 0.2}`.\n"
    for kind, member in sorted(Activation.activations.items()):
        yield from _section(kind, member, docs_examples.activations()[kind], "###")


def _index(members: Mapping[str, Any]) -> str:
    return " · ".join(f"[{kind}](#{kind})" for kind in sorted(members))


def _section(kind: str, member: type[Config], example_: str = "", mark: str = "##") -> Iterator[str]:
    yield f"{mark} {kind}\n"
    if text := _doc(member):
        yield text + "\n"
    family = family_of(member)
    kin = FAMILIES.get(family, {}).get(kind, Kin())
    if any(kin):
        yield _elsewhere(kin) + "\n"
    rows = list(_fields(member, kind, family, kin))
    if rows:
        heads = ["field", "value", "default", *(["Keras"] if kin.keras else []), *(["PyTorch"] if kin.torch else []), "what it is"]
        yield f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}"
        yield "\n".join(rows) + "\n"
    if example_:
        yield example_ + "\n"


def family_of(member: type[Config]) -> str:
    """What family a kind is of; what is of none is one of its own."""
    own = next((base.__name__.lower() for base in member.__mro__[1:] if "registry" in base.__dict__ and base is not Kind), "")
    return {"entry": "layer", "augmentation": "augment"}.get(own, own) or member.__name__.lower()


def _elsewhere(kin: Kin) -> str:
    """Who does the same in Keras and PyTorch, and what differs there."""
    named = [f"{library}: `{name}`" for library, name in (("Keras", kin.keras), ("PyTorch", kin.torch)) if name]
    return " ".join(part for part in (f"{' · '.join(named)}." if named else "", kin.differs) if part)


def _doc(member: type[Any]) -> str:
    """The docstring in Markdown; one that was inherited says nothing of its own."""
    own = member.__dict__.get("__doc__") or ""
    return re.sub(r"``([^`]*)``", r"`\1`", cleandoc(own))


def _fields(member: type[Config], kind: str = "", family: str = "", kin: Kin | None = None) -> Iterator[str]:
    primary = getattr(member, "primary", None)
    kin = kin or Kin()
    shown = [(name, field) for name, field in member.model_fields.items() if name not in ("called", "body")]
    for name, field in sorted(shown, key=lambda item: (item[0] != primary, not item[1].is_required())):
        word = field.alias or name
        default = "required" if field.is_required() else f"`{value_text(field.get_default(call_default_factory=True))}`"
        value = _type(Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation)
        theirs = [cell(library, kin, kind, word, family) for library in ("keras", "torch") if getattr(kin, library)]
        cells = (f"**{word}**" if name == primary else word, value, default, *theirs, about(word, kind, family).replace("|", "\\|"))
        yield f"| {' | '.join(cells)} |".replace("``", "")


def _type(annotation: Any) -> str:
    """A type in the words of a spec's author."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        for part in args[1:]:
            if isinstance(reader := getattr(part, "func", None), Ends):
                return ", ".join([*(f"`{word}`" for word in reader.words), "whole number", f"or `{ENDS[reader.axes]}`"])
        alone = any(isinstance(part, BeforeValidator) for part in args[1:])
        if alone and get_origin(args[0]) is tuple and not isinstance(get_args(args[0])[0], tuple):
            of = get_args(args[0])
            one = _type(of[0])
            return one if len(of) == 1 else f"{one}, or a list{'' if of[1] is Ellipsis else f' of {len(of)}'}"
        inner, bounds = _type(args[0]), [b for part in args[1:] for b in _bounds(part)]
        return f"{inner}{' ' + ', '.join(bounds) if bounds else ''}"
    if origin is Literal:
        return " or ".join(f"`{flow(a)}`" for a in args)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type(a) for a in args if a is not type(None)))
    if origin is tuple:
        return "a list of " + (_type(args[0]) if len(args) == 2 and args[1] is Ellipsis else f"{len(args)}: {_type(args[0])}" if args else "values")
    if origin is dict:
        return f"a mapping to {_type(args[1])}"
    names = {int: "whole number", float: "number", bool: "`true` or `false`", str: "text", Any: "value"}
    if annotation in names:
        return names[annotation]
    name = getattr(annotation, "__name__", str(annotation))
    return TYPES.get(name) or name.replace("_", " ").lower()


def _bounds(part: Any) -> Iterator[str]:
    for key, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
        value = getattr(part, key, None)
        if value is not None and not callable(value) and value != 10_000_000:
            yield f"{sign} {value:g}"
    for inner in getattr(part, "metadata", ()):
        yield from _bounds(inner)


def example(kind: str, member: type[Entry]) -> str:
    """An entry that fits an input, with the shape that it gives."""
    if kind in docs_examples.LAYERS:
        return _shown(*docs_examples.LAYERS[kind])
    required = [name for name, field in member.model_fields.items() if field.is_required()]
    if any(name not in VALUES for name in required):
        return ""
    given = ", ".join(f"{name}: {VALUES[name]}" for name in required)
    entry = kind if not required else f"{kind}: {VALUES[required[0]]}" if required == [member.primary] else f"{kind}: {{{given}}}"
    least = member.inputs[0]
    for of, dtype in product(SHAPES, ("float32", "int32")):
        names = ["x", "y", "z"][: max(least, 1)]
        if least > 1:
            written = f"{kind}: {{{given}{', ' * bool(given)}from: [{', '.join(names)}]}}"
        else:
            written = entry
        body = f"{{{written}}}" if ":" in written else written
        stated = "" if dtype == "float32" else f", dtype: {dtype}"
        inputs = ", ".join(f"{n}: {{shape: {of}{stated}}}" for n in names)
        text = f"nnspec: 1\ninputs: {{{inputs}}}\nlayers: [{body}]\n"
        try:
            loads(text)
        except (SpecError, errors.DataError):
            continue
        return _shown(written, dict.fromkeys(names, of if dtype == "float32" else (of, dtype)))
    return ""


def _shown(written: str, inputs: Mapping[str, Any]) -> str:
    """An entry as it stands in a spec, with the shapes that go in and come out: it is checked here."""
    entry = f"{{{written}}}" if ":" in written else written
    stated = {name: (of, "") if isinstance(of, str) else of for name, of in inputs.items()}
    listed = ", ".join(f"{name}: {{shape: {of}{f', dtype: {dtype}' * bool(dtype)}}}" for name, (of, dtype) in (stated or {"x": ("[8]", "")}).items())
    layers = entry if inputs else f"{entry}, math: {{formula: a + mean(b), from: {{a: x, b: {written.split(':')[0]}_1}}}}"
    nodes = loads(f"nnspec: 1\ninputs: {{{listed}}}\nlayers: [{layers}]\n").built.network.nodes
    data = next(node for node in nodes.values() if node["kind"] == written.split(":")[0])
    cost = f", {data['parameters']:,} parameters" if data["parameters"] else ""
    given = ", ".join(f"{of[1:-1].replace(', ', ' x ')}{' ' * bool(dtype)}{dtype}" for of, dtype in stated.values())
    return f"```yaml\n- {written}   # {given}{' ' * bool(given)}-> {shape(data['shape'])}{cost}\n```"


def _training() -> Iterator[str]:
    yield "# Losses, metrics, optimizers, schedules\n"
    yield MADE
    groups: Iterable[tuple[str, str, type[Kind]]] = (
        ("Losses", "Beside its own fields a loss has `from`, `target`, `weight` (a number or a schedule) and `name`.", Loss),
        ("Metrics", "Beside its own fields a metric has `from`, `target` and `name`.", Metric),
        ("Optimizers", "", Optimizer),
        ("Schedules", "Lengths are epochs, or `500 steps`.", Schedule),
        ("Initializers", "Values of `init: {kernel: he_normal}`; a number, or the numbers themselves, may stand there, too.", Initializer),
    )
    says: Mapping[type[Kind], Callable[[str], str]] = {
        Loss: docs_examples.loss, Metric: lambda kind: docs_examples.metrics()[kind], Optimizer: docs_examples.optimizer, Schedule: docs_examples.schedule,
        Initializer: docs_examples.initializer,
    }  # fmt: skip
    for title, text, family in groups:
        yield f"## {title}\n"
        if text:
            yield text + "\n"
        if family is Optimizer:
            yield _doc(Optimizer) + "\n"
        for kind, member in sorted(family.registry.items()):
            yield from _section(kind, member, says[family](kind), mark="###")
    yield from _section("Decay of weights", WeightDecay)
    yield from _section("A stretch of a schedule", Stretch)


def _data() -> Iterator[str]:
    yield "# Data\n"
    yield MADE
    yield "Every example is checked as it stands, beside files of these names.\n"
    for title, family, examples in (
        ("Sources", Source, docs_examples.DATA), ("Types of columns", data.ColumnKind, docs_examples.DATA),
        ("Preparation", data.Prepare, docs_examples.PREPARE), ("Augmentation", Augmentation, docs_examples.AUGMENT),
    ):  # fmt: skip
        yield f"## {title}\n"
        for kind, member in sorted(family.registry.items()):
            yield from _section(kind, member, data_example(examples[kind], title), "###")
    yield from _section("split", data.Split, data_example(docs_examples.DATA["split"]))
    yield from _section("Loading", data.Loading, data_example(docs_examples.DATA["loading"]))


def data_example(written: str, title: str = "") -> str:
    """An example of data as it stands in a spec."""
    if title in ("Preparation", "Augmentation"):
        key = "prepare" if title == "Preparation" else "augment"
        written = f"{'iris' if key == 'prepare' else 'digits'}\n{key}: [{written}]"
    lines = written.split("\n")
    if ":" not in lines[0] and len(lines) > 1:
        lines[0] += ": {}"
    body = f" {written}" if lines == [written] and ":" not in written else "".join(f"\n  {line}" for line in lines)
    return f"```yaml\ndata:{body}\n```"


def _keys() -> Iterator[str]:
    yield "# Keys at the top of a spec\n"
    yield MADE
    yield ("Beside these: `vars`, `data` ([data](data.md)), `inputs`, `layers` ([layers](layers.md)), `blocks`, `include`, `networks`, `outputs`, "
           "`loss`, `metrics`, `optimizer`, `schedule` ([training](training.md)), `weights`, and `x-…` for tools of your own.\n")  # fmt: skip
    yield from _section("Plain keys", Settings)
    for name, member in (("early_stopping", EarlyStopping), ("checkpoint", Checkpoint), ("weights", Weights)):
        yield from _section(name, member)
    yield "## Errors\n"
    yield "One clear error has file, line and column, what was found and what was wanted; the exit status says of what sort it is.\n"
    yield "| error | status | meaning |\n| --- | --- | --- |"
    kinds = [getattr(errors, n) for n in dir(errors) if n.endswith("Error")]
    own = [k for k in kinds if isinstance(k, type) and issubclass(k, errors.NnspecError) and k is not errors.NnspecError]
    yield "\n".join(f"| `{k.__name__}` | {k.status} | {_doc(k)} |" for k in sorted(own, key=lambda k: (k.status, k.__name__))) + "\n"


def _ops() -> Iterator[str]:
    yield "# Ops\n"
    yield MADE
    yield "What layers are built from: the one language that gradients, passes, backends and exporters speak.\n"
    yield "| op | what it gives | ONNX |\n| --- | --- | --- |"
    rows = []
    for name, op in sorted(REGISTRY.items()):
        if op.__module__.startswith("nnspec.ops") and (first := _doc(op).split("\n\n")[0].replace("\n", " ").replace("|", "\\|")):
            rows.append(f"| {name} | {first} | {op.onnx or ''} |")
    yield "\n".join(rows) + "\n"
