from db.frames import ClassifiedFrame

FRAME = ClassifiedFrame(3, (0.1, 0.2, 0.7), "results/a-heatmap.png", "results/a-lesion.png")


def test_a_frame_is_read_as_it_was_written() -> None:
    assert ClassifiedFrame.from_json(FRAME.to_json()) == FRAME


def test_a_frame_of_an_early_version_has_no_lesion_probability() -> None:
    entry = {"frame": 1, "probabilities": [0.8, 0.1, 0.1], "heatmap": "results/b.png"}
    frame = ClassifiedFrame.from_json(entry)
    assert frame == ClassifiedFrame(1, (0.8, 0.1, 0.1), "results/b.png")
    assert frame.to_json() == entry
