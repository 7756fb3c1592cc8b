"""Names and numbers of layers."""

import pytest

from stylegan2.editing.layers import layer_presets, layers_text, parse_layers


def test_presets_of_the_published_size_are_the_published_ones():
    assert layer_presets(14) == {
        "all": tuple(range(14)),
        "coarse": (0, 1),
        "middle": (2, 3, 4, 5),
        "fine": tuple(range(6, 14)),
    }


def test_presets_that_a_small_model_does_not_have_are_left_out():
    assert layer_presets(6) == {"all": (0, 1, 2, 3, 4, 5), "coarse": (0, 1), "middle": (2, 3, 4, 5)}
    with pytest.raises(ValueError, match="'fine': expected one of all, coarse, middle, or numbers"):
        parse_layers("fine", 6)


@pytest.mark.parametrize("layers", ["coarse", "0-3,7", (0, 3), [5, 2]])
def test_layers_as_text_are_the_same_layers(layers):
    assert parse_layers(layers_text(layers), 10) == parse_layers(layers, 10)


def test_the_smaller_number_comes_first():
    with pytest.raises(ValueError, match="layers '0,5-2': expected the smaller number first, as in 2-5"):
        parse_layers("0,5-2", 10)


@pytest.mark.parametrize("num_ws", [8, 10, 18])
def test_presets_part_the_layers_of_any_model(num_ws):
    presets = layer_presets(num_ws)
    assert presets["coarse"] + presets["middle"] + presets["fine"] == presets["all"] == tuple(range(num_ws))


@pytest.mark.parametrize(
    ("given", "found"),
    [("coarse", (0, 1)), ("3", (3,)), ("0-4", (0, 1, 2, 3, 4)), ("2, 5-7", (2, 5, 6, 7)), ([7, 2, 2], (2, 7))],
)
def test_layers_are_found(given, found):
    assert parse_layers(given, 10) == found


@pytest.mark.parametrize("given", ["12", "0-5000000", "99999999999999999999"])
def test_too_large_a_number_is_told_the_models_largest(given):
    with pytest.raises(ValueError, match=f"layers '{given}': a model with 10 codes has no layers .*; expected 0 to 9"):
        parse_layers(given, 10)


@pytest.mark.parametrize("given", ["", "top", "1-2-3", "-1", "7-3", "10", [10], [-1], []])
def test_what_is_wrong_is_named(given):
    with pytest.raises(ValueError, match="layers"):
        parse_layers(given, 10)
