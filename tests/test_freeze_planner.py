"""The freeze planner shows what `requires_grad` says, names what changes nothing, and follows its sliders."""

import copy
import pickle
from dataclasses import dataclass

import pytest
import torch
from PIL import Image
from tiny_panels import check_controls
from tiny_training import fine_tuner, source

from stylegan2.checkpoints import Checkpoint
from stylegan2.course.exercises import EXERCISES
from stylegan2.networks import build
from stylegan2.panels import freeze_planner as planner
from stylegan2.panels.freeze_plan import FROZEN, SOURCE, TRAINS, Blueprint, call, notes, wiring
from stylegan2.transfer import FreezeD, FreezeFC, FreezeG, FreezeSG, FreezeStyle, Method, StructureLoss

COMBINATIONS = [
    [],
    [FreezeD(16)],
    [FreezeG(8)],
    [FreezeG(4, mapping=False)],
    [FreezeStyle(3)],
    [FreezeFC()],
    [FreezeD(8), FreezeSG(8, 4)],
    [FreezeG(8), FreezeStyle(4)],
    [FreezeD(16), FreezeG(8), StructureLoss((4,))],
]
every_combination = pytest.mark.parametrize("methods", COMBINATIONS, ids=call)


@pytest.fixture(scope="module")
def start() -> Checkpoint:
    return source()


@pytest.fixture(scope="module")
def blueprint(start) -> Blueprint:
    return Blueprint.of(start)


@every_combination
def test_states_are_those_of_a_trainer(methods, start, blueprint, tmp_path):
    trainer, plan = fine_tuner(tmp_path, *methods, start=start), blueprint.plan(methods)
    assert plan.frozen == trainer.frozen
    own = {f"mapping.{n}": p for n, p in trainer.g.mapping.layers.named_parameters()}
    own |= {n.removeprefix("synthesis.blocks."): p for n, p in trainer.g.named_parameters() if n.startswith("synth")}
    theirs = {n.removeprefix("blocks."): p for n, p in trainer.d.named_parameters()}
    for parts, parameters in ((plan.g, own), (plan.d, theirs)):
        for name, part in parts.items():
            inside = [p for n, p in parameters.items() if n == name or n.startswith(f"{name}.")]
            assert part.parameters == sum(p.numel() for p in inside) > 0, name
            assert part.frozen == sum(p.numel() for p in inside if not p.requires_grad), name
        assert sum(part.parameters for part in parts.values()) == sum(p.numel() for p in parameters.values())


@every_combination
def test_codes_are_those_that_can_move(methods, start, blueprint, tmp_path):
    trainer, plan = fine_tuner(tmp_path, *methods, start=start), blueprint.plan(methods)
    ws = trainer.g.mapping(torch.randn(2, trainer.g.z_dim))
    learning = [p for p in trainer.g.mapping.parameters() if p.requires_grad]
    for code, state in enumerate(plan.codes):
        moves = False
        if learning and ws.requires_grad:
            gradients = torch.autograd.grad(ws[:, code].sum(), learning, retain_graph=True, allow_unused=True)
            moves = any(g is not None and g.any() for g in gradients)
        assert moves == (state == TRAINS), (code, state)
    assert (SOURCE in plan.codes) == (plan.copied > 0)


@every_combination
def test_wiring_is_that_of_the_network(methods, start):
    """Nudging one code changes the block of the first layer that it drives, and none below."""
    g = start.g_ema
    ws = g.mapping(torch.randn(1, g.z_dim, generator=torch.Generator().manual_seed(0))).clone()
    first = {}
    for name, code in wiring(g.synthesis.resolutions).items():
        first.setdefault(code, int(name.split(".")[0]))
    assert sorted(first) == list(range(g.num_ws))
    before = g.synthesis(ws, "const", return_rgbs=True)[1]
    for code, resolution in first.items():
        nudged = ws.clone()
        nudged[:, code] += 1
        after = g.synthesis(nudged, "const", return_rgbs=True)[1]
        assert min(r for r in after if not torch.equal(after[r], before[r])) == resolution, code


def test_networks_stay_as_they_are(start, blueprint):
    before = [p.requires_grad for n in (start.g_ema, start.d) for p in n.parameters()]
    values = copy.deepcopy(start.g_ema.state_dict())
    planner.diagram(start, [FreezeD(8), FreezeSG(8, 4)])
    assert [p.requires_grad for n in (start.g_ema, start.d) for p in n.parameters()] == before
    assert all(torch.equal(v, values[k]) for k, v in start.g_ema.state_dict().items())
    assert type(start.g_ema.mapping).__name__ == "MappingNetwork"
    assert blueprint.plan([]).frozen == []  # neither does a blueprint remember


def test_a_blueprint_holds_no_numbers(blueprint):
    assert all(t.is_meta for n in blueprint.networks() for t in n.state_dict().values())
    assert len(pickle.dumps(blueprint)) < 100_000


def test_a_large_model_needs_no_more(tmp_path):
    g, d = build(128, "pocket")
    plan = Blueprint(g, d).plan([FreezeD(64), FreezeSG(8, 4)])
    assert sum(p.parameters for p in plan.g.values()) == 1_142_797
    assert sum(p.frozen for p in plan.d.values()) == 37_328
    assert plan.frozen_codes == [0, 1, 2, 3]
    assert plan.codes == (SOURCE,) * 4 + (TRAINS,) * 8


# ------------------------------------------------------------------------------------------------------------ in words


@pytest.mark.parametrize(
    ("methods", "idle"),
    [
        ([FreezeG(8), FreezeStyle(4)], [FreezeStyle(4)]),  # the original's bug
        ([FreezeSG(8, 4)], []),
        ([FreezeG(8, mapping=False), FreezeStyle(2)], []),
        ([FreezeG(4), FreezeG(8)], [FreezeG(4)]),
        ([FreezeD(8), FreezeD(16)], [FreezeD(16)]),
        ([FreezeG(8), StructureLoss((4,))], []),
        ([Method()], [Method]),
    ],
    ids=str,
)
def test_what_changes_nothing_is_found(methods, idle, blueprint):
    found = blueprint.idle(methods)
    assert found == idle or [type(m) for m in found] == idle


def test_the_bug_is_told_in_words(blueprint):
    methods = [FreezeD(16), FreezeG(8), FreezeStyle(4)]
    kind, sentence = notes(blueprint.plan(methods), blueprint.idle(methods))[0]
    assert kind == "bad" and "FreezeStyle(4) changes nothing" in sentence and "mapping is frozen" in sentence


@pytest.mark.parametrize(
    ("methods", "kind", "words"),
    [
        ([FreezeSG(8, 4)], "good", "codes (0-3)"),
        ([FreezeSG(8, 2)], "plain", "codes 2-3, which drive frozen layers"),
        ([FreezeSG(8, 3)], "plain", "codes 3, which"),
        ([FreezeStyle(2)], "plain", "Codes 0-1 stay"),
        ([FreezeFC()], "plain", "All codes stay"),
        ([FreezeD(16)], "plain", "whole generator learns"),
        ([StructureLoss((4,))], "plain", "structure"),
        ([FreezeG(16)], "bad", "Nothing of the generator"),
    ],
)
def test_notes(methods, kind, words, blueprint):
    found = notes(blueprint.plan(methods), blueprint.idle(methods))
    assert any(k == kind and words in sentence for k, sentence in found), found


@dataclass(frozen=True)
class Odd(Method):
    """A method of a user's own."""

    first: int
    second: str = "x"


def test_call_is_python_that_makes_the_methods():
    for methods in [*COMBINATIONS, [FreezeG(4, mapping=False), StructureLoss((4, 8), weight=2.0, relative=True)]]:
        names = {m.__name__: m for m in (FreezeD, FreezeG, FreezeStyle, FreezeFC, FreezeSG, StructureLoss)}
        assert eval(call(methods), names) == methods
    assert call([FreezeD(32), FreezeSG(8, 4)]) == "[FreezeD(32), FreezeSG(8, 4)]"
    assert call([Odd(1), Odd(2, "y")]) == "[Odd(1), Odd(2, second='y')]"


def test_exercise_about_equal_trainings_has_the_right_answer(blueprint):
    asked = {
        "a": [FreezeG(8), FreezeStyle(4)],
        "b": [FreezeSG(8, 4)],
        "c": [FreezeG(8, mapping=False)],
        "d": [FreezeG(8, mapping=False), FreezeFC()],
    }
    wanted = blueprint.plan([FreezeG(8)]).effect
    same = {letter for letter, methods in asked.items() if blueprint.plan(methods).effect == wanted}
    assert same == EXERCISES["04-same"].reference


@pytest.mark.parametrize("max_resolution", [4, 8])
def test_exercise_about_the_number_of_codes_has_the_right_answer(max_resolution, blueprint):
    held = blueprint.plan([FreezeG(max_resolution, mapping=False)]).frozen_codes
    assert held == list(range(int(EXERCISES["04-codes"].reference(max_resolution))))


# ------------------------------------------------------------------------------------------------- picture and panel


def test_every_control_changes_the_picture_and_the_call(start):
    panel = planner.planner_panel(start)
    code = panel.box.children[0].children[-1]
    panel.update()
    assert "[FreezeD(8), FreezeSG(8, 4)]" in code.value
    check_controls(panel, {"freeze_d": 16, "freeze_g": 4, "freeze_mapping": True, "k": 2})
    assert "[FreezeD(16), FreezeG(4), FreezeStyle(2)]" in code.value


def test_every_position_of_the_panel_can_be_drawn(start):
    panel = planner.planner_panel(start)
    codes = panel.controls["k"].max
    for freeze_g in (0, 4, 8, 16):
        for mapping in (False, True):
            for k in (0, 3, codes):
                picture = panel.render(freeze_d=8, freeze_g=freeze_g, freeze_mapping=mapping, k=k)
                plan = Blueprint.of(start).plan(planner.methods_for(8, freeze_g, mapping, k))
                assert picture.width > 400 and (plan.g["mapping"].state == FROZEN) == (mapping or k == codes)


def test_pictures_of_any_methods_have_one_size(blueprint):
    face = Image.new("RGB", (16, 16))
    methods = {k: planner.methods_for(freeze_d=16, freeze_g=8, freeze_mapping=True, k=k) for k in (0, 4)}
    pictures = {k: planner.block_diagram(blueprint, each, face, room=2) for k, each in methods.items()}
    assert pictures[0].size == pictures[4].size and pictures[0].tobytes() != pictures[4].tobytes()


def test_a_model_without_discriminator_is_refused(start):
    with pytest.raises(ValueError, match="no discriminator"):
        planner.planner_panel(Checkpoint(g_ema=start.g_ema))


def test_impossible_methods_are_refused(start):
    with pytest.raises(ValueError, match="no resolution 64"):
        planner.diagram(start, [FreezeG(64)])
