"""What was played, by what the client tells and by the clock."""

from __future__ import annotations

from backend.services.voice.playback import Playback
from backend.services.voice.timeline import BYTES_A_MS


class Clock:
    def __init__(self) -> None:
        self.ms = 1000.0

    def __call__(self) -> float:
        return self.ms / 1000


def played(sent_ms: int = 0) -> tuple[Playback, Clock]:
    clock = Clock()
    playback = Playback(clock)
    if sent_ms:
        playback.send(sent_ms * BYTES_A_MS)
    return playback, clock


def ms(size: float) -> int:
    return round(size / BYTES_A_MS)


def test_nothing_was_sent() -> None:
    playback, clock = played()
    clock.ms += 500
    assert (playback.heard, playback.surely, playback.ahead, playback.left) == (0, 0, 0.0, 0.0)
    playback.tell(700)
    assert playback.heard == 0


def test_a_client_that_tells_nothing_plays_in_time() -> None:
    playback, clock = played(300)
    assert (ms(playback.heard), round(playback.ahead, 3), round(playback.left, 3)) == (0, 0.3, 0.3)
    clock.ms += 120
    assert (ms(playback.heard), round(playback.left, 3)) == (120, 0.18)
    clock.ms += 1000
    assert (ms(playback.heard), playback.left) == (300, 0.0)


def test_when_the_buffer_ran_dry_the_clock_starts_anew() -> None:
    playback, clock = played(100)
    clock.ms += 600
    playback.send(100 * BYTES_A_MS)
    clock.ms += 40
    assert (ms(playback.heard), round(playback.left, 3)) == (140, 0.06)


def test_a_client_that_tells_is_believed() -> None:
    playback, clock = played(1000)
    clock.ms += 500
    playback.tell(350)
    assert (ms(playback.heard), ms(playback.surely)) == (350, 350)
    clock.ms += 40
    assert (ms(playback.heard), ms(playback.surely)) == (390, 350)
    clock.ms += 400
    assert (ms(playback.heard), ms(playback.surely)) == (450, 350)
    playback.tell(300)
    assert ms(playback.surely) == 350
    playback.tell(5000)
    clock.ms += 50
    assert (ms(playback.heard), ms(playback.surely)) == (1000, 1000)


def test_a_client_that_lags_is_waited_for() -> None:
    playback, clock = played(1000)
    clock.ms += 800
    playback.tell(500)
    assert round(playback.left, 3) == 1.5
    playback.tell(939)
    clock.ms += 1499
    assert playback.left > 0
    playback.tell(940)
    assert playback.left == 0


def test_a_client_that_lags_too_much_is_not() -> None:
    playback, clock = played(1000)
    for told in range(100, 600, 100):
        clock.ms += 590
        playback.tell(told)
    assert round(playback.left, 3) == 0.05
    clock.ms += 50
    assert playback.left == 0


def test_a_client_that_has_fallen_silent_is_not_waited_for() -> None:
    playback, clock = played(5000)
    playback.tell(100)
    clock.ms += 4999
    assert 0 < playback.left < 0.002
    clock.ms += 2
    assert playback.left == 0


def test_a_pause_stops_the_clock_and_a_rewind_plays_again() -> None:
    playback, clock = played(1000)
    clock.ms += 400
    playback.pause()
    clock.ms += 5000
    assert (ms(playback.heard), playback.ahead, playback.left) == (400, 0.0, 0.0)
    playback.rewind(350 * BYTES_A_MS)
    assert (ms(playback.sent), ms(playback.most), ms(playback.heard)) == (350, 1000, 400)
    playback.send(200 * BYTES_A_MS)
    clock.ms += 30
    assert (ms(playback.heard), round(playback.left, 3)) == (400, 0.17)
    clock.ms += 70
    assert (ms(playback.heard), round(playback.left, 3)) == (450, 0.1)


def test_what_is_told_in_a_pause_is_what_counts() -> None:
    playback, clock = played(1000)
    playback.tell(300)
    clock.ms += 60
    playback.pause()
    clock.ms += 50
    assert (ms(playback.heard), ms(playback.surely)) == (360, 300)
    playback.tell(380)
    assert (ms(playback.heard), ms(playback.surely)) == (380, 380)


def test_in_the_end_everything_was_played() -> None:
    playback, _ = played(1000)
    playback.tell(950)
    playback.finish()
    assert (ms(playback.heard), playback.left) == (1000, 0.0)
