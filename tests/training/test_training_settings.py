"""Settings of the trainings: what they have in common, and the keys by which a training is found again."""

import pytest
from inlay.nodes import load_pack
from inlay.training.exemplar_settings import ExemplarSettings
from inlay.training.settings import TrainingSettings
from inlay.training.subject_settings import SubjectSettings

NODES = {"train.exemplar": ExemplarSettings, "train.subject_lora": SubjectSettings}
#: Computed before `extend_mask` became `mask_jitter`, and before settings were a pydantic model.
KEYS = {
    (ExemplarSettings, 0.0): "7b00a5843a0a4f4bb911a0eb9d7dc4767e1cdd8c0f4c727a0c3af0f299aea7fb",
    (ExemplarSettings, 0.5): "a2bfc0a1d2b1bc1871e90161eecd95d6393133d09d33d7e7b7cd6a5f911e8410",
    (SubjectSettings, 0.0): "07a6ed7a8055e1820889c2bf6fbddb633c432aa9f0b40f7eb812561150c6c797",
    (SubjectSettings, 0.5): "c4fa2f30af17ed7b6d2cf0fc675641740acf09002989971cc272303cf2d20ddb",
}


@pytest.mark.parametrize(("settings", "decay"), KEYS, ids=str)
def test_a_training_begun_by_an_earlier_release_is_found_again(settings, decay):
    assert settings(decay=decay).key(64, "abcde") == KEYS[settings, decay]


@pytest.mark.parametrize(("settings", "decay"), KEYS, ids=str)
def test_free_settings_leave_the_key_as_it_is_and_the_length_does_where_the_rate_does_not_fall(settings, decay):
    free = {"resume": False, "save_every": 7, "sample_every": 7, "micro_batch": 2, "checkpointing": True, "prefix": "x"}
    free |= {"half": False} if settings is ExemplarSettings else {"patience": 3, "layout": "kohya"}
    assert set(free) == settings.FREE
    assert settings(decay=decay, **free).key(64, "abcde") == KEYS[settings, decay]
    longer = settings(decay=decay, **{settings.LENGTH: 7}).key(64, "abcde")
    assert (longer == KEYS[settings, decay]) == (decay == 0)
    assert settings(decay=decay).key(72, "abcde") != KEYS[settings, decay] != settings(decay=decay).key(64, "abcdf")


@pytest.mark.parametrize("name", NODES)
def test_a_node_has_the_settings_of_its_training_in_their_order(name):
    spec, settings = load_pack()[name], NODES[name]
    assert tuple(spec.params.model_fields) == settings.ORDER
    assert set(TrainingSettings.model_fields) < set(settings.ORDER)
    for field, info in spec.params.model_fields.items():
        assert info.default == settings.model_fields[field].default, field
