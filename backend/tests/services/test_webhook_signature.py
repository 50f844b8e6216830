"""Signatures of events: the published vectors fit, and nothing that was forged does."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.services.webhook_signature import TOLERANCE, SignedEvent, new_secret, secret_text, signature

# The example of the Standard Webhooks specification and of its reference libraries.
SECRET = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
ID, TIMESTAMP, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
NOW = datetime.fromtimestamp(int(TIMESTAMP), UTC)
EVENT = SignedEvent(ID, TIMESTAMP, SIGNATURE, BODY)
DIGEST = SIGNATURE.removeprefix("v1,")
OTHER = base64.b64encode(bytes(32)).decode()


def test_the_published_vector() -> None:
    assert signature(SECRET, ID, TIMESTAMP, BODY) == SIGNATURE
    assert EVENT.fits(SECRET, NOW)


@given(st.binary(min_size=1, max_size=64), st.from_regex(r"[a-zA-Z0-9_-]{1,40}", fullmatch=True), st.binary())
def test_what_is_signed_is_what_the_standard_says(secret: bytes, event_id: str, body: bytes) -> None:
    signed = b".".join((event_id.encode(), TIMESTAMP.encode(), body))
    expected = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    assert signature(secret, event_id, TIMESTAMP, body) == f"v1,{expected}"
    assert SignedEvent(event_id, TIMESTAMP, f"v1,{expected}", body).fits(secret, NOW)


@pytest.mark.parametrize(
    "signatures",
    [
        f"v1,{OTHER} {SIGNATURE}",
        f"{SIGNATURE} v1,{OTHER}",
        f"v1a,{OTHER} v2,{DIGEST} {SIGNATURE}",
        f"{SIGNATURE} {SIGNATURE}",
        f"nonsense  {SIGNATURE} ",
    ],
)
def test_one_of_several_fits(signatures: str) -> None:
    """A secret that is being changed: the sender signs with the old one and the new."""
    assert replace(EVENT, signatures=signatures).fits(SECRET, NOW)


@pytest.mark.parametrize("seconds", [-300, -299, 0, 299, 300])
def test_within_five_minutes(seconds: int) -> None:
    assert timedelta(seconds=300) == TOLERANCE
    assert EVENT.fits(SECRET, NOW + timedelta(seconds=seconds))


def by(secret: bytes, event_id: str = ID, timestamp: str = TIMESTAMP, body: bytes = BODY) -> SignedEvent:
    """An event with a signature that fits it, made with this secret."""
    return SignedEvent(event_id, timestamp, signature(secret, event_id, timestamp, body), body)


def digest(algorithm: str, signed: bytes = f"{ID}.{TIMESTAMP}.".encode() + BODY) -> str:
    return base64.b64encode(hmac.digest(SECRET, signed, algorithm)).decode()


FORGED = {
    "another body": replace(EVENT, body=b'{"test": 2432232315}'),
    "a body with a space less": replace(EVENT, body=b'{"test":2432232314}'),
    "a body with a line end": replace(EVENT, body=BODY + b"\n"),
    "no body": replace(EVENT, body=b""),
    "another id": replace(EVENT, id="msg_another"),
    "an id in capitals": replace(EVENT, id=ID.upper()),
    "an id with a space": replace(EVENT, id=f"{ID} "),
    "no id": replace(EVENT, id=""),
    "another second": replace(EVENT, timestamp="1614265331"),
    "a timestamp with a zero before it": replace(EVENT, timestamp=f"0{TIMESTAMP}"),
    "no timestamp": replace(EVENT, timestamp=""),
    "no signature": replace(EVENT, signatures=""),
    "no version": replace(EVENT, signatures=DIGEST),
    "an empty version": replace(EVENT, signatures=f",{DIGEST}"),
    "a version that is another kind": replace(EVENT, signatures=f"v1a,{DIGEST}"),
    "a version in capitals": replace(EVENT, signatures=f"V1,{DIGEST}"),
    "a version to come": replace(EVENT, signatures=f"v2,{DIGEST}"),
    "an empty signature": replace(EVENT, signatures="v1,"),
    "a signature that is cut": replace(EVENT, signatures=SIGNATURE[:-1]),
    "half a signature": replace(EVENT, signatures=SIGNATURE[:25]),
    "a signature with more behind it": replace(EVENT, signatures=f"{SIGNATURE}="),
    "a signature with a comma behind it": replace(EVENT, signatures=f"{SIGNATURE},"),
    "other bits that decode to the same": replace(EVENT, signatures=f"{SIGNATURE[:-2]}F="),
    "the other base64 alphabet": replace(EVENT, signatures=SIGNATURE.replace("+", "-").replace("/", "_")),
    "hexadecimal": replace(EVENT, signatures=f"v1,{base64.b64decode(DIGEST).hex()}"),
    "a tab between two": replace(EVENT, signatures=f"v1,{OTHER}\t{SIGNATURE}"),
    "a comma between two": replace(EVENT, signatures=f"v1,{OTHER},{SIGNATURE}"),
    "no letters of any alphabet": replace(EVENT, signatures="v1,\N{SNOWMAN}\xff"),
    "a signature of nothing": replace(EVENT, signatures=f"v1,{digest('sha256', b'')}"),
    "a signature of the body alone": replace(EVENT, signatures=f"v1,{digest('sha256', BODY)}"),
    "another hash": replace(EVENT, signatures=f"v1,{digest('sha512')}"),
    "an older hash": replace(EVENT, signatures=f"v1,{digest('sha1')}"),
    "a hash without the secret": replace(
        EVENT, signatures=f"v1,{base64.b64encode(hashlib.sha256(ID.encode() + BODY).digest()).decode()}"
    ),
    "another secret": by(new_secret()),
    "no secret": by(b""),
    "the secret as it is written": by(base64.b64encode(SECRET)),
    "the secret with what stands before it": by(secret_text(SECRET).encode()),
    "more signatures than anybody sends": replace(EVENT, signatures=f"{'v1,x ' * 900}{SIGNATURE}"),
    # What fits, and is refused all the same.
    "an id with a dot": by(SECRET, event_id="msg.1"),
    "parts that are divided another way": by(SECRET, event_id=f"{ID}.{TIMESTAMP}", timestamp="1614265330"),
    "a long id": by(SECRET, event_id="x" * 256),
    "an id that is no text": by(SECRET, event_id="msg_\xe9"),
    "five minutes and a second ago": by(SECRET, timestamp="1614265029"),
    "five minutes and a second to come": by(SECRET, timestamp="1614265631"),
    "a moment in milliseconds": by(SECRET, timestamp=f"{TIMESTAMP}000"),
    "a moment with a fraction": by(SECRET, timestamp=f"{TIMESTAMP}.5"),
    "a negative moment": by(SECRET, timestamp=f"-{TIMESTAMP}"),
    "a moment with a sign": by(SECRET, timestamp=f"+{TIMESTAMP}"),
    "a moment with spaces": by(SECRET, timestamp=f" {TIMESTAMP}"),
    "a moment in other digits": by(SECRET, timestamp="".join(chr(0x0660 + int(one)) for one in TIMESTAMP)),
    "a moment in words": by(SECRET, timestamp="nan"),
    "a moment of very many digits": by(SECRET, timestamp="9" * 5_000),
}


@pytest.mark.parametrize("name", FORGED)
def test_what_was_forged_does_not_fit(name: str) -> None:
    assert len(FORGED) >= 30
    assert FORGED[name] != EVENT
    assert not FORGED[name].fits(SECRET, NOW)


def test_secrets_are_new_long_and_written_as_the_standard_says() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    for one in secrets:
        assert len(one) == 32
        assert secret_text(one).startswith("whsec_")
        assert base64.b64decode(secret_text(one).removeprefix("whsec_"), validate=True) == one


def test_what_is_shown_of_an_event_is_not_its_body() -> None:
    assert "2432232314" not in repr(EVENT)
