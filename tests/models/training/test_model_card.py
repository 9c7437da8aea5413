"""The shipped model card, compared with the shipped preset."""

from models.preset import DEFAULT_PRESET, read_preset
from models.training.model_card import CARD, render_card


def test_the_shipped_card_matches_the_shipped_preset() -> None:
    shipped = (DEFAULT_PRESET / CARD).read_text(encoding="utf-8")
    by_hand = {"data": "<BY HAND>", "initial_weights": "<BY HAND>", "choices": "<BY HAND>"}

    filled = render_card(read_preset(DEFAULT_PRESET), **by_hand)

    for part in filled.split("<BY HAND>"):
        assert part in shipped
