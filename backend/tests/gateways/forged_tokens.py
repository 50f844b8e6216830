"""Tokens, good and forged: what tests of the gateway and of the API try."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

SECRET = "a shared secret of more than thirty-two bytes"
ISSUER, AUDIENCE = "https://login.example.org/", "numen"
TENANT = uuid4()
NOW = datetime.now(UTC).replace(microsecond=0)  # the library reads the machine's clock
Claims = dict[str, Any]


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """One per name: making one takes a tenth of a second."""
    assert name
    return rsa.generate_private_key(65537, 2048)


EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()


def claims(**changes: Any) -> Claims:
    """Good claims, changed; None takes one away."""
    good: Claims = {
        "sub": "auth0|42",
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": int(NOW.timestamp()) - 10,
        "exp": int(NOW.timestamp()) + 7200,
        "tenant_id": str(TENANT),
        "role": "admin",
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def part(value: Any) -> str:
    """One part of a token: JSON or bytes in base64url."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def handmade(header: Any, payload: Any, secret: bytes | None = SECRET.encode()) -> str:
    """A token as no library would make it, signed with HMAC-SHA-256 or not at all."""
    signed = f"{part(header)}.{part(payload)}"
    signature = b"" if secret is None else hmac.digest(secret, signed.encode(), hashlib.sha256)
    return f"{signed}.{part(signature)}"


def signed(payload: Claims, key: Any, algorithm: str, **header: Any) -> str:
    """Well signed, whatever it says: the library's own `encode` checks some claims."""
    return jwt.PyJWS().encode(json.dumps(payload).encode(), key, algorithm, {"typ": "JWT", **header})


def by_secret(**changes: Any) -> str:
    """Signed with the shared secret."""
    return signed(claims(**changes), SECRET, "HS256")


def by_key(name: str = "one", kid: str | None = None, algorithm: str = "RS256", **changes: Any) -> str:
    """Signed with the key of this name."""
    return signed(claims(**changes), rsa_key(name), algorithm, kid=kid or name)


def published(name: str = "one", **changes: Any) -> Claims:
    """A key as a provider publishes it."""
    described = RSAAlgorithm.to_jwk(rsa_key(name).public_key(), as_dict=True)
    return {**described, "kid": name, "use": "sig", "alg": "RS256", **changes}


HS = {"alg": "HS256", "typ": "JWT"}
OTHER_SECRET = b"another secret of more than thirty-two bytes"


def wrong_claims() -> dict[str, Claims]:
    """Well signed, and yet not to be let in."""
    later, now = int(NOW.timestamp()) + 7200, int(NOW.timestamp())
    return {
        "no exp": {"exp": None},
        "no iat": {"iat": None},
        "no sub": {"sub": None},
        "no iss": {"iss": None},
        "no aud": {"aud": None},
        "no tenant": {"tenant_id": None},
        "exp as text": {"exp": str(later)},
        "exp as a list": {"exp": [later]},
        "exp true": {"exp": True},
        "exp infinite": {"exp": float("inf")},
        "exp not a number": {"exp": float("nan")},
        "exp in the year 30000": {"exp": 10**12},
        "exp of three hundred digits": {"exp": 10**300},
        "expired a second ago": {"exp": now - 1},
        "expired now": {"exp": now},
        "expired a year ago": {"exp": now - 31_536_000},
        "exp below zero": {"exp": -1},
        "iat as text": {"iat": str(now)},
        "iat true": {"iat": True},
        "iat tomorrow": {"iat": now + 86_400},
        "nbf tomorrow": {"nbf": now + 86_400},
        "nbf as a word": {"nbf": "soon"},
        "another issuer": {"iss": "https://evil.example.org/"},
        "an issuer that begins like ours": {"iss": f"{ISSUER}evil"},
        "an issuer without its slash": {"iss": ISSUER.rstrip("/")},
        "a list of issuers": {"iss": [ISSUER]},
        "another audience": {"aud": "other"},
        "other audiences": {"aud": ["other", "numen2"]},
        "no audience in the list": {"aud": []},
        "an audience that is an object": {"aud": {AUDIENCE: True}},
        "an empty sub": {"sub": ""},
        "sub as a number": {"sub": 42},
        "sub as an object": {"sub": {"id": "auth0|42"}},
        "a tenant that is no UUID": {"tenant_id": "*"},
        "an empty tenant": {"tenant_id": ""},
        "two tenants": {"tenant_id": [str(TENANT), str(uuid4())]},
        "a tenant as a number": {"tenant_id": TENANT.int},
        "an unknown role": {"role": "root"},
        "an empty role": {"role": ""},
        "a list of roles": {"role": ["owner"]},
        "a role in upper case": {"role": "OWNER"},
    }


def forged_for_a_secret() -> dict[str, str]:
    """For a deployment with a shared secret."""
    good = by_secret()
    head, body, signature = good.split(".")
    return {name: by_secret(**changes) for name, changes in wrong_claims().items()} | {
        "empty": "",
        "dots": "..",
        "one part": "abc",
        "two parts": f"{head}.{body}",
        "four parts": f"{good}.{signature}",
        "no signature": f"{head}.{body}.",
        "a changed body": f"{head}.{part(claims(role='owner'))}.{signature}",
        "a changed header": f"{part({**HS, 'x': 1})}.{body}.{signature}",
        "half a signature": f"{head}.{body}.{signature[:20]}",
        "another signature": f"{head}.{body}.{part(b'x' * 32)}",
        "spaces": f" {good}",
        "a line break": f"{good}\n",
        "alg none": handmade({"alg": "none"}, claims(), None),
        "alg None": handmade({"alg": "None"}, claims(), None),
        "alg nOnE with a signature": handmade({"alg": "nOnE"}, claims()),
        "no alg": handmade({"typ": "JWT"}, claims()),
        "alg empty": handmade({"alg": ""}, claims()),
        "alg null": handmade({"alg": None}, claims()),
        "alg a list": handmade({"alg": ["HS256"]}, claims()),
        "alg HS512 named, HS256 done": handmade({"alg": "HS512"}, claims()),
        "HS384 of the right secret": signed(claims(), SECRET + SECRET, "HS384"),
        "RS256 of our own key": signed(claims(), rsa_key("forger"), "RS256"),
        "another secret": handmade(HS, claims(), OTHER_SECRET),
        "an empty secret": handmade(HS, claims(), b""),
        "a secret in the header": handmade(
            {**HS, "jwk": {"kty": "oct", "k": part(OTHER_SECRET)}}, claims(), OTHER_SECRET
        ),
        "a kid that is a path": handmade({**HS, "kid": "../../dev/null"}, claims(), b""),
        "a header that is a list": handmade(["HS256"], claims()),
        "a body that is a list": handmade(HS, [claims()]),
        "a body that is no JSON": handmade(HS, b"{"),
        "a header that is no JSON": f"{part(b'{')}.{body}.{signature}",
        "a deep body": handmade(HS, b"[" * 2000 + b"]" * 2000),
        "an unknown critical extension": handmade({**HS, "crit": ["x"]}, claims()),
        "a detached body": handmade({**HS, "b64": False, "crit": ["b64"]}, claims()),
        "over 8 KB": by_secret(padding="x" * 8192),
        "no ASCII": f"{head}.{body}.{signature}é",
        "a lone surrogate": f"{good}\ud800",
        "NUL": f"{good}\0",
    }


def forged_for_keys() -> dict[str, str]:
    """For a deployment with published keys, of which "one" is published."""
    public = rsa_key("one").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = rsa_key("one").public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    head, body, signature = by_key().split(".")
    own = RSAAlgorithm.to_jwk(rsa_key("forger").public_key(), as_dict=True)
    evil = "http://127.0.0.1:9/evil"

    def signed_by_forger(**header: Any) -> str:
        return signed(claims(), rsa_key("forger"), "RS256", **{"kid": "one", **header})

    return {name: by_key(**changes) for name, changes in wrong_claims().items()} | {
        "the public key as a secret, PEM": handmade({"alg": "HS256", "kid": "one"}, claims(), public),
        "the public key as a secret, stripped": handmade({"alg": "HS256", "kid": "one"}, claims(), public.strip()),
        "the public key as a secret, DER": handmade({"alg": "HS256", "kid": "one"}, claims(), der),
        "alg none": handmade({"alg": "none", "kid": "one"}, claims(), None),
        "no alg": handmade({"kid": "one"}, claims()),
        "the secret of another deployment": handmade({"alg": "HS256", "kid": "one"}, claims()),
        "no kid": signed(claims(), rsa_key("one"), "RS256"),
        "an unknown kid": by_key("one", kid="two"),
        "an empty kid": handmade({"alg": "RS256", "kid": ""}, claims()),
        "kid a number": handmade({"alg": "RS256", "kid": 1}, claims()),
        "kid a list": handmade({"alg": "RS256", "kid": ["one"]}, claims()),
        "kid null": handmade({"alg": "RS256", "kid": None}, claims()),
        "another key under a known kid": by_key("forger", kid="one"),
        "its own key in the header": signed_by_forger(jwk=own),
        "its own address of keys": signed_by_forger(jku=evil),
        "its own certificate": signed_by_forger(x5u=evil, x5c=["MIIB"]),
        "PS256 of the RS256 key": by_key(algorithm="PS256"),
        "RS512 of the RS256 key": by_key(algorithm="RS512"),
        "ES256 of an unknown key": signed(claims(), EC_KEY, "ES256", kid="one"),
        "a changed body": f"{head}.{part(claims(role='owner'))}.{signature}",
        "an empty signature": f"{head}.{body}.",
        "a signature of nought": f"{head}.{body}.{part(bytes(256))}",
        "a short signature": f"{head}.{body}.{part(b'1')}",
        "over 8 KB": by_key(padding="x" * 8192),
    }
