"""The retry schedule of webhooks as a setting."""

from __future__ import annotations

import pytest

from postroom.base.errors import SettingsInvalid
from postroom.base.settings import Settings, load_settings
from postroom.channels.patience import backoffs
from postroom.outbox.model import Channel
from postroom.resilience.backoff import Schedule


def test_the_steps_are_those_of_the_contract_unless_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().webhook.steps_s == (5, 300, 1_800, 7_200, 18_000, 36_000, 36_000)
    monkeypatch.setenv("POSTROOM_WEBHOOK__STEPS_S", "0.5,2,30")
    schedule = backoffs(load_settings())[Channel.WEBHOOK]
    assert schedule == Schedule((0.5, 2, 30))
    assert schedule.attempts_max == 4


@pytest.mark.parametrize("steps", ["", "1,x", "0", "-1", "1,,2"])
def test_steps_that_are_no_times_are_refused(monkeypatch: pytest.MonkeyPatch, steps: str) -> None:
    monkeypatch.setenv("POSTROOM_WEBHOOK__STEPS_S", steps)
    with pytest.raises(SettingsInvalid, match="POSTROOM_WEBHOOK__STEPS_S"):
        load_settings()
